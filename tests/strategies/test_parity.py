"""All modes of Cerebro give the same result: preload, runonce, exactbars, live feed."""

import itertools

import pandas as pd
import pytest

from feeds import ReplayData, simulate
from runs.engine import Modes, run
from runs.settings import Account
from strategies import ScoreStrategy
from tests.chapter_rules import CHAPTER
from tests.strategies.market import with_attrs

MODES = [
    Modes(runonce=runonce, preload=preload, exactbars=exactbars)
    for runonce, preload, exactbars in itertools.product((True, False), (True, False), (0, 1, -1))
]
TABLES = ("decisions", "orders", "trades", "equity", "funding")
# Every rule with a state between bars is switched on.
RULES = {
    **CHAPTER,
    "confidence_threshold": 0.2,
    "density_quantile": 0.1,
    "density_adaptation": 0.02,
    "novelty_scaling": 0.2,
    "consistency_window": 3,
    "consistency_share": 0.9,
    "score_variance_scaling": 0.05,
    "rebalance_band": 0.15,
    "cooldown": 2,
    "max_drawdown_stop": 0.9,
    "stale_after": 2,
}


@pytest.fixture(scope="module")
def markets():
    """Two symbols: the second begins 30 bars later and has a gap of seven bars, the first a gap of one bar."""
    one = simulate("regimes", seed=11, bars=200, symbol="A", sigma=0.01)
    two = simulate("regimes", seed=12, bars=200, symbol="B", sigma=0.01)
    first = one.drop(index=[120]).reset_index(drop=True)
    second = two.drop(index=[*range(30), *range(100, 107)]).reset_index(drop=True)
    return {"one": [one], "two": [with_attrs(first, one), with_attrs(second, two)]}


def play(frames, model, signal, modes):
    account = Account(taker=0.001, slippage=0.001, lot_step=0.01)
    return run(frames, account, ScoreStrategy, {**RULES, "model": model, "signal": signal}, modes=modes)


@pytest.fixture(scope="module")
def reference(markets, tiny_model):
    return {name: play(frames, tiny_model, "forward", Modes()) for name, frames in markets.items()}


def assert_same(one, other):
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(one, name), getattr(other, name), check_exact=True, obj=name)
    assert one.in_distribution == other.in_distribution


def test_the_reference_runs_have_something_to_compare(reference):
    for name, result in reference.items():
        reasons = {
            "warmup",
            "trade",
            "hold",
            "out_of_distribution",
            "low_confidence",
            "inconsistent",
            "cooldown",
        }
        assert reasons <= set(result.decisions["reason"]), name
        assert min(len(result.orders), len(result.trades), len(result.funding)) >= 3, name
    assert "stale" in set(reference["two"].decisions["reason"])


@pytest.mark.parametrize("modes", MODES, ids=lambda m: f"{m.runonce:d}{m.preload:d}{m.exactbars}")
@pytest.mark.parametrize("name", ["one", "two"])
def test_every_mode_gives_the_same_run(markets, reference, tiny_model, name, modes):
    assert_same(reference[name], play(markets[name], tiny_model, "forward", modes))


@pytest.mark.parametrize("name", ["one", "two"])
def test_bar_by_bar_as_from_a_live_feed_gives_the_same_run(markets, reference, tiny_model, name):
    live = Modes(feed=ReplayData)
    assert_same(reference[name], play(markets[name], tiny_model, "forward", live))


def test_the_state_signal_too(markets, tiny_model):
    batch = play(markets["two"], tiny_model, "state", Modes())
    assert len(batch.orders) >= 5
    assert_same(batch, play(markets["two"], tiny_model, "state", Modes(feed=ReplayData)))
    assert_same(
        batch, play(markets["two"], tiny_model, "state", Modes(runonce=False, preload=False, exactbars=1))
    )
