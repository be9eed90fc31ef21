"""Warnings of a run, by the tables of small runs whose answer is known."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from runs.folder.run_warnings import after_run


def run_of(inside, position, orders=1):
    known = [None if share is None else bool(share) for share in inside]
    decisions = pd.DataFrame(
        {
            "symbol": ["A"] * len(known),
            "in_distribution": pd.array(known, dtype="boolean"),
            "position": position,
        }
    )
    return SimpleNamespace(orders=[1] * orders, decisions=decisions, notes=(), insurance=0.0)


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.0, True), (0.026, True), (0.474, True), (0.476, False), (0.95, False)],
)
def test_a_market_that_the_model_does_not_know_is_said(share, said):
    """At a density quantile of 5 %, about 95 % of the bars of a known market are in distribution; half is 47.5 %."""
    inside = np.arange(1_000) < round(1_000 * share)
    told = after_run(run_of(inside, 0.0), 0.05)
    assert any(f"Only {100 * share:.1f} % of the bars resemble" in text for text in told) is said
    assert not after_run(run_of(inside, 0.0))


def test_bars_without_a_state_are_not_unfamiliar():
    assert not after_run(run_of([None, None, True], 0.0), 0.05)
    assert not after_run(run_of([None, None], 0.0), 0.05)


@pytest.mark.parametrize(
    ("position", "text"), [(0.456, "+46% of the equity in A"), (-1.2, "-120% of the equity in A")]
)
def test_a_holding_at_the_end_is_said(position, text):
    told = after_run(run_of([True, True], [0.0, position]))
    assert told == [f"The run ends with {text}: its profit so far is in the equity and in no closed trade."]
    assert not after_run(run_of([True, True], [position, 0.001]))
    assert not after_run(run_of([True, True], [position, float("nan")]))


def test_a_run_without_orders_is_said():
    assert after_run(run_of([True], 0.0, orders=0)) == [
        "The strategy never traded; the decisions by reason say why."
    ]
