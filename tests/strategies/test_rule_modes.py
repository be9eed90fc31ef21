"""Every position rule decides the same in all modes and bar by bar, and nothing depends on later bars."""

import pandas as pd
import pytest

from feeds import ReplayData, simulate
from runs.engine import Modes, run
from runs.settings import Account
from strategies import ScoreStrategy
from tests.chapter_rules import CHAPTER
from tests.strategies.market import with_attrs

BASE = {"confidence_threshold": 0.1, "rebalance_band": 0.0, "cooldown": 0, "target_volatility": 1.0}
SETS = {
    "kelly, held, steps": {"position_rule": "kelly", "forecast_window": None, "exposure_step": 0.1},
    "cvar, band of costs": {"position_rule": "cvar", "cost_band": 0.1, "forecast_window": 3},
    "chapter, held, novelty": {"forecast_window": 12, "novelty_scaling": 0.2, "close_quantile": 0.02},
}
BAR_BY_BAR = {
    "next": Modes(runonce=False, preload=False, exactbars=1),
    "live": Modes(feed=ReplayData),
}
TABLES = ("decisions", "orders", "equity")


@pytest.fixture(scope="module")
def frame():
    whole = simulate("regimes", seed=11, bars=110, symbol="A", sigma=0.01)
    return with_attrs(whole.drop(index=[60, 61]).reset_index(drop=True), whole)


def play(frame, model, rules, modes=None):
    params = {**CHAPTER, **BASE, **SETS[rules], "model": model, "kelly_fraction": 20.0}
    return run([frame], Account(), ScoreStrategy, params, modes=modes)


@pytest.fixture(scope="module")
def batch(frame, tiny_model):
    return {name: play(frame, tiny_model, name) for name in SETS}


def test_each_set_of_rules_trades_in_its_own_way(batch):
    targets = {name: tuple(result.decisions["target"]) for name, result in batch.items()}
    assert len(set(targets.values())) == len(SETS)
    assert min(len(result.orders) for result in batch.values()) >= 5
    steps = batch["kelly, held, steps"].decisions.query("reason == 'trade'")["target"] / 0.1
    assert (steps - steps.round()).abs().max() < 1e-9


@pytest.mark.parametrize("modes", BAR_BY_BAR)
@pytest.mark.parametrize("rules", SETS)
def test_bar_by_bar_the_decisions_are_those_of_the_batch(frame, tiny_model, batch, rules, modes):
    found = play(frame, tiny_model, rules, BAR_BY_BAR[modes])
    for name in TABLES:
        one, other = getattr(batch[rules], name), getattr(found, name)
        pd.testing.assert_frame_equal(one, other, check_exact=True, obj=name)


@pytest.mark.parametrize("rules", SETS)
def test_nothing_up_to_a_bar_depends_on_later_bars(frame, tiny_model, batch, rules):
    for bars in (40, 75, 101):
        part = play(with_attrs(frame.iloc[:bars].reset_index(drop=True), frame), tiny_model, rules)
        cut = part.equity["time"].iloc[-1]
        for name in TABLES:
            whole = getattr(batch[rules], name)
            assert whole[whole["time"] <= cut].equals(getattr(part, name)), f"{name} at {bars} bars"


def test_the_record_has_what_the_rule_gave_before_filters(frame, tiny_model, batch):
    plain = {
        **CHAPTER,
        "confidence_threshold": 0.0,
        "density_quantile": 0.0,
        "rebalance_band": 0.0,
        "cooldown": 0,
    }
    free = run([frame], Account(), ScoreStrategy, {**plain, "model": tiny_model}).decisions
    traded = free["reason"] == "trade"
    pd.testing.assert_series_equal(
        free["unfiltered"][traded], free["target"][traded], check_names=False, check_exact=True
    )
    strict = run([frame], Account(), ScoreStrategy, {**plain, "density_quantile": 0.5, "model": tiny_model})
    refused = strict.decisions["reason"] == "out_of_distribution"
    assert 20 < refused.sum() < 80
    pd.testing.assert_series_equal(strict.decisions["unfiltered"], free["unfiltered"], check_exact=True)
    unknown = free["reason"].isin(["warmup", "stale"])
    assert free["unfiltered"].isna().equals(unknown)
    assert free["expected_return"].isna().equals(unknown)
