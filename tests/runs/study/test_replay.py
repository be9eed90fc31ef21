"""Trials by the compiled replay: the outcomes of Cerebro, and a difference that is found."""

import dataclasses

import numpy as np
import pytest

from feeds import simulate
from runs.backtest import strategy_defaults, trading_start
from runs.optimize.confirm import ReplayMismatch, confirm
from runs.search import SearchSpace
from runs.settings import Account
from runs.study import CerebroEvaluator, ReplayEvaluator, Study, TrialSetup
from runs.study.own_strategy import OwnStrategy
from runs.study.replay import not_replayed
from tests.runs.study.test_cerebro import OWN

NEEDS = [("forward", False)]
TRIALS = [
    {"density_quantile": 0.2, "cooldown": 6},
    {"taker": 0.002, "slippage": 0.001, "cash": 500.0},
    {"position_rule": "confidence", "confidence_threshold": 0.4, "forecast_window": 1},
    {"margin_mode": "isolated"},  # not compiled: a Cerebro run
    {"density_quantile": 9.0},  # impossible
]


@pytest.fixture(scope="module")
def setup(tiny_model):
    frame = simulate("planted", seed=6, bars=400)
    start = trading_start(tiny_model, [frame], None)
    return TrialSetup(
        frames=(frame,), account=Account(), params=strategy_defaults(), model=tiny_model, start=start
    )


@pytest.fixture(scope="module")
def replayed(setup):
    return ReplayEvaluator.prepare(setup, NEEDS, threads=1)


def test_a_replayed_trial_is_the_cerebro_trial(setup, replayed):
    found = replayed.evaluate(TRIALS)
    wanted = CerebroEvaluator.prepare(setup, NEEDS).evaluate(TRIALS)
    assert [o.status for o in found] == ["complete"] * 4 + ["failed"]
    assert found[4].reason == wanted[4].reason
    for ours, theirs in zip(found[:4], wanted[:4], strict=True):
        np.testing.assert_allclose(ours.returns, theirs.returns, rtol=1e-9, atol=1e-13)
        known = {name: value for name, value in ours.metrics.items() if value is not None}
        assert len(known) >= 15
        assert known == pytest.approx({name: theirs.metrics[name] for name in known}, rel=1e-8, abs=1e-10)
        assert theirs.metrics["n_orders"] > 0


def test_a_difference_to_cerebro_is_found(setup, replayed):
    result, *_ = setup.run(TRIALS[0])
    assert replayed.difference(TRIALS[0], result) == ""
    equity = result.equity.copy()
    equity.loc[200, "equity"] *= 1 + 1e-8
    assert "equity at" in replayed.difference(TRIALS[0], dataclasses.replace(result, equity=equity))
    orders = result.orders.copy()
    orders.loc[3, "size"] *= 1 + 1e-6
    said = replayed.difference(TRIALS[0], dataclasses.replace(result, orders=orders))
    assert said.startswith("order 3 has size")
    fewer = dataclasses.replace(result, orders=result.orders.iloc[1:].reset_index(drop=True))
    assert "orders, Cerebro has" in replayed.difference(TRIALS[0], fewer)


def test_a_mismatch_of_one_of_the_best_is_an_error(setup, replayed, monkeypatch):
    space = SearchSpace.parse(["density_quantile=0,0.2"])
    study = Study(space, replayed).run()

    class Prepared:
        evaluator, request = replayed, dataclasses.make_dataclass("Request", ["confirm"])(5)

    Prepared.setup = setup
    result, *_ = confirm(study, Prepared)
    assert len(result.equity) == len(setup.run({})[0].equity)
    monkeypatch.setattr(ReplayEvaluator, "difference", lambda *args: "order 0 has size 1")
    with pytest.raises(ReplayMismatch, match="order 0 has size 1; report this"):
        confirm(study, Prepared)


@pytest.mark.parametrize(
    ("dimension", "strategy", "reason"),
    [
        ("margin_mode=cross,isolated", None, "margin_mode 'isolated' is not compiled"),
        ("portfolio_volatility=0,0.2", None, "portfolio_volatility needs the covariance"),
        ("cooldown=0,6", None, None),
        ("loudness=1,2", "Louder", "the strategy Louder is your own"),
    ],
)
def test_what_cannot_be_replayed_is_said_before_the_search(setup, dimension, strategy, reason):
    from runs.study import known_settings

    own = None if strategy is None else OwnStrategy.parse(f"{OWN}:{strategy}")
    space = SearchSpace.parse([dimension], known=known_settings(own))
    found = not_replayed(dataclasses.replace(setup, strategy=own), space)
    assert found == reason or (reason and found.startswith(reason))
