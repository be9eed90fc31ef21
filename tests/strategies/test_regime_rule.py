"""The rule `regimes`: positions only in the named regimes, in every mode; names are checked at the start."""

import pandas as pd
import pytest

from feeds import ReplayData
from runs.engine import Modes, run
from runs.settings import Account
from scorenet import ConfigError
from scorenet.regimes.filter import WINDOW
from strategies import Rules, ScoreStrategy, decide
from tests.chapter_rules import CHAPTER
from tests.conftest import regime_market
from tests.strategies.test_decision import rules, seen

OPEN = {
    **CHAPTER,
    "confidence_threshold": 0.0,
    "density_quantile": 0.0,
    "rebalance_band": 0.0,
    "cooldown": 0,
    "target_volatility": None,
}


@pytest.fixture(scope="module")
def frame():
    return regime_market(bars=330, seed=3, stay=0.97)


def play(frame, model, regimes, modes=None):
    return run([frame], Account(), ScoreStrategy, {**OPEN, "model": model, "regimes": regimes}, modes=modes)


@pytest.fixture(scope="module")
def calm_only(frame, regime_model):
    return play(frame, regime_model, (0,))


def test_a_bar_outside_the_regimes_closes_the_position():
    outside = seen(outside_regimes=True, exposure=0.5)
    assert decide(rules(), outside) == (0.0, "regime")
    assert decide(rules(), outside._replace(outside_regimes=False)).reason == "trade"
    # The data must be known first; the density is asked later.
    assert decide(rules(), outside._replace(drift=True)).reason == "drift"
    assert decide(rules(density_quantile=0.6), outside).reason == "regime"


def test_it_acts_where_the_model_says_so_and_nowhere_else(frame, regime_model, calm_only):
    x, back = regime_model.features.compute({**frame}), regime_model.lookback
    labels = regime_model.regimes(x[back:], frame["timestamp"].to_numpy()[back:])
    decided = calm_only.decisions.iloc[back:]
    known = decided.iloc[WINDOW - 1 :]
    refused = (known["reason"] == "regime").to_numpy()
    assert 20 < refused.sum() < len(refused) - 20
    assert (refused == (labels[WINDOW - 1 :] != 0)).all()
    assert (known["target"][refused] == 0.0).all()
    # Before the filter has seen its window, no regime is known.
    assert (decided.iloc[: WINDOW - 1]["reason"] == "regime").all()


def test_all_regimes_trade_as_without_the_rule_and_the_rule_off_refuses_nothing(frame, regime_model):
    every, off = play(frame, regime_model, (0, 1, 2)), play(frame, regime_model, ())
    late = slice(regime_model.lookback + WINDOW, None)
    assert every.decisions["reason"].iloc[late].equals(off.decisions["reason"].iloc[late])
    assert "regime" not in set(off.decisions["reason"])


@pytest.mark.parametrize("modes", [Modes(runonce=False, preload=False, exactbars=1), Modes(feed=ReplayData)])
def test_bar_by_bar_the_decisions_are_those_of_the_batch(frame, regime_model, calm_only, modes):
    found = play(frame, regime_model, (0,), modes)
    for name in ("decisions", "orders", "equity"):
        pd.testing.assert_frame_equal(getattr(calm_only, name), getattr(found, name), check_exact=True)


def test_with_too_few_bars_no_regime_is_known(frame, regime_model):
    found = play(frame.iloc[:60], regime_model, (0, 1, 2))
    assert found.decisions["reason"].tolist() == ["warmup"] * 20 + ["regime"] * 40
    assert not len(found.orders)


def test_a_wrong_name_is_found_at_the_start(frame, regime_model):
    with pytest.raises(ConfigError, match=f"did you mean {regime_model.regime_map.names[2]!r}"):
        play(frame, regime_model, (regime_model.regime_map.names[2][:-1],))
    for wrong in ("calm market", 3, (1.5,), (True,)):
        with pytest.raises(ValueError, match="regimes: expected a list of names or numbers"):
            Rules(regimes=wrong)
