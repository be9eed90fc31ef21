"""Trials by Cerebro: shared outputs, early stops, trained models, own strategies."""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from feeds import simulate
from runs.backtest import strategy_defaults, trading_start
from runs.engine import run
from runs.markets import LoadOptions, as_market
from runs.settings import Account
from runs.study import CerebroEvaluator, OwnStrategy, TrialSetup, daily_returns, known_settings, output_needs
from runs.study import model_cache as models_module
from runs.study.early_stop import checkpoint_times
from runs.study.model_cache import ModelCache, training_data
from runs.study.span import split
from scorenet import ConfigError, ScoreModel, TooFewBars
from scorenet.evaluation import forget_outputs
from strategies import DailyReturns
from tests.conftest import TINY

OWN = Path(__file__).parents[1] / "optimize" / "own.py"
HOUR = 3_600_000


@pytest.fixture(scope="module")
def frame():
    return simulate("planted", seed=6, bars=420)


@pytest.fixture
def setup(frame, tiny_model):
    start = trading_start(tiny_model, [frame], None)
    return TrialSetup(
        frames=(frame,), account=Account(), params=strategy_defaults(), model=tiny_model, start=start
    )


def test_outputs_are_computed_once_and_travel_with_the_evaluator(setup, monkeypatch):
    forget_outputs()
    evaluator = CerebroEvaluator.prepare(setup, output_needs(["forward"], ["proportional"]))
    sent = pickle.dumps(evaluator)
    forget_outputs()  # as a new process
    monkeypatch.setattr(ScoreModel, "_evaluate", lambda *args, **kwargs: pytest.fail("evaluated again"))
    (found,) = pickle.loads(sent).evaluate([{"density_quantile": 0.2}])  # noqa: S301 - written above
    assert found.status == "complete"
    assert found.metrics["n_orders"] > 0
    assert not np.isnan(found.metrics["sharpe_ratio"])


def test_daily_returns_are_those_of_the_analyzer(setup, frame):
    evaluator = CerebroEvaluator.prepare(setup, output_needs(["forward"], ["proportional"]))
    (found,) = evaluator.evaluate([{}])
    result = run([frame], Account(), *_strategy(setup), since=setup.start)
    growth = result.equity["equity"].to_numpy()
    assert np.prod(1 + found.returns) == pytest.approx(growth[-1] / growth[0], rel=1e-12)
    assert found.metrics["total_return"] == pytest.approx(growth[-1] / growth[0] - 1, rel=1e-12)


def _strategy(setup):
    from strategies import ScoreStrategy

    return ScoreStrategy, setup.given(setup.params, setup.model)


def test_days_end_at_midnight_and_a_ruined_account_earns_nothing():
    closes = np.arange(1, 73) * HOUR
    equity = np.concatenate([np.linspace(100, 124, 24), np.linspace(124, 62, 24), np.zeros(24)])
    assert daily_returns(closes, equity).tolist() == pytest.approx([0.24, -0.5, -1.0])
    assert daily_returns(closes + 47 * HOUR, equity)[0] == pytest.approx(0.0 + 124 / 100 - 1, abs=1.0)
    assert DailyReturns is not None


def test_a_bad_value_is_a_failed_row_and_the_others_run(setup):
    evaluator = CerebroEvaluator.prepare(setup, output_needs(["forward"], ["proportional"]))
    found = evaluator.evaluate([{"density_quantile": 7.0}, {"seed": 1}, {"cooldown": 6}])
    assert [o.status for o in found] == ["failed", "failed", "complete"]
    assert found[0].reason.startswith("ValueError: density_quantile: expected a number between 0 and 1")
    assert "a model setting needs a model" in found[1].reason


def test_a_trial_below_the_floor_is_stopped_there(setup, frame):
    last = int(frame["timestamp"].iloc[-1]) + HOUR
    checks = checkpoint_times(setup.start, last)
    evaluator = CerebroEvaluator.prepare(setup, output_needs(["forward"], ["proportional"]), checks)
    (whole,) = evaluator.evaluate([{}])
    assert len(whole.early) == 2
    first, second = whole.early
    floors = {"passed": (first, second), "first": (first + 0.01,), "second": (first, second + 0.01)}
    found = {name: evaluator.evaluate([{}], given)[0] for name, given in floors.items()}
    assert found["passed"].status == "complete"
    assert found["passed"].metrics == whole.metrics
    assert (found["first"].status, found["first"].early) == ("pruned", (first,))
    assert (found["second"].status, found["second"].early) == ("pruned", (first, second))
    assert found["second"].reason.startswith(f"Sharpe ratio {second:.2f} at checkpoint 2")


# Models ---------------------------------------------------------------------------------------------------------


def test_a_model_is_trained_once_for_its_settings_and_data(tmp_path, frame, tiny_model, monkeypatch):
    trained = []

    def learn(markets, config, **how):
        trained.append(config.seed)
        return tiny_model

    monkeypatch.setattr(models_module, "learn", learn)
    data = ({"source": "s", "sha256": "abc", "timeframe": "1h"},)
    cache = ModelCache(tmp_path / "models", TINY, (as_market(frame),), data)
    for seed in (1, 2, 1):
        assert cache.get({"seed": seed}).fingerprint == tiny_model.fingerprint
    assert trained == [1, 2]
    models_module._loaded.clear()  # as another process, or a second study
    cache.get({"seed": 1})
    assert trained == [1, 2]
    other = ModelCache(tmp_path / "models", TINY, (as_market(frame),), ({**data[0], "sha256": "xyz"},))
    other.get({"seed": 1})
    assert trained == [1, 2, 1], "other bars make another model"
    monkeypatch.setattr(models_module, "_code", lambda: "another version")
    assert cache.path({"seed": 1}) != other.path({"seed": 1})
    with pytest.raises(ConfigError, match="steps"):
        cache.get({"state.steps": -1})


def test_models_learn_from_the_bars_of_the_base_model(tiny_model):
    source = "simulated:planted?seed=5&bars=300"
    from dataclasses import replace

    from feeds import load_bars
    from runs.markets import describe

    entry = describe(load_bars(source), source)
    model = replace(tiny_model, info={**tiny_model.info, "data": [entry]})
    (found,), described = training_data(model, LoadOptions(progress=False))
    assert described == (entry,)
    assert len(found.bars["close"]) == 300
    changed = replace(tiny_model, info={**tiny_model.info, "data": [{**entry, "sha256": "0"}]})
    with pytest.raises(ConfigError, match="has other bars now"):
        training_data(changed, LoadOptions(progress=False))
    with pytest.raises(ConfigError, match="does not name them"):
        training_data(tiny_model, LoadOptions(progress=False))


# Own strategies -------------------------------------------------------------------------------------------------


def test_the_parameters_of_a_users_strategy_are_settings():
    own = OwnStrategy.parse(f"{OWN}:Crossing")
    assert own.parameters == {"period": 10, "share": 0.5, "broken": False}
    assert own.takes == ()
    assert known_settings(own).find("period") == ("strategy", "period")
    assert known_settings(own).find("taker") == ("account", "taker")
    louder = OwnStrategy.parse(f"{OWN}:Louder")
    assert louder.takes == ("model", "trade_from")
    known = known_settings(louder)
    known.check({"loudness": -3.0})
    with pytest.raises(ConfigError, match="density_quantile"):
        known.check({"density_quantile": 3.0})


# The held-out part ----------------------------------------------------------------------------------------------


def test_the_held_out_part_begins_where_the_search_ends(frame):
    start = int(frame["timestamp"].iloc[20]) + HOUR
    spans = split([frame], start, "0.25")
    assert len(spans.closes) == 300
    assert spans.held_out == spans.closes[-1] + HOUR
    assert int(spans.seen[0]["timestamp"].iloc[-1]) + HOUR == spans.closes[-1]
    assert spans.seen[0].attrs == frame.attrs
    date = pd.Timestamp(spans.held_out - HOUR, unit="ms").isoformat()
    assert split([frame], start, date).held_out == spans.held_out
    whole = split([frame], start, "0")
    assert whole.held_out is None
    assert len(whole.closes) == 400


@pytest.mark.parametrize(
    ("holdout", "error", "message"),
    [
        ("1", ConfigError, "a share from 0 to below 1"),
        ("2031-01-01", ConfigError, "expected a date from"),
        ("0.01", TooFewBars, "measure the held-out part"),
        ("0.99", TooFewBars, "measure the search"),
    ],
)
def test_an_impossible_held_out_part_is_said(frame, holdout, error, message):
    with pytest.raises(error, match=message):
        split([frame], int(frame["timestamp"].iloc[20]) + HOUR, holdout)
