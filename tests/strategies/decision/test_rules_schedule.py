"""Rules that change on the way hold from their bar on, in all modes, and nothing that was remembered is lost."""

import pandas as pd
import pytest

from feeds import ReplayData, simulate
from runs.engine import Modes, run
from runs.settings import Account
from scorenet import ConfigError
from strategies import ScoreStrategy
from strategies.decision import HeldForecasts
from strategies.decision.forecast import Forecast
from strategies.decision.rules_schedule import RulesSchedule

HOUR = 3_600_000
MODES = [Modes(), Modes(runonce=False, preload=False, exactbars=1), Modes(feed=ReplayData)]
OPEN = {"density_quantile": 0.0, "close_quantile": 0.0, "rebalance_band": 0.0, "forecast_window": 4}
LATER = {"max_exposure": 0.02, "forecast_window": 1, "position_rule": "confidence"}


@pytest.fixture(scope="module")
def frames():
    return [simulate("planted", seed=seed, bars=120, symbol=name) for seed, name in ((7, "A"), (8, "B"))]


def play(frames, model, modes=None, **params):
    params = {**OPEN, **params, "model": model}
    return run(frames, Account(), ScoreStrategy, params, modes=modes)


def close_of(frame, row):
    return int(frame["timestamp"].iloc[row]) + HOUR


@pytest.mark.parametrize("modes", MODES, ids=["once", "next", "live"])
def test_new_rules_hold_from_their_bar_on(frames, tiny_model, modes):
    switch = close_of(frames[0], 80)
    changed = play(frames, tiny_model, modes, rules_from=[(switch, LATER)]).decisions
    first, second = play(frames, tiny_model).decisions, play(frames, tiny_model, **LATER).decisions
    old = changed["time"] < pd.Timestamp(switch, unit="ms", tz="UTC")
    columns = ["time", "symbol", "reason", "target", "unfiltered"]
    pd.testing.assert_frame_equal(changed[old][columns], first[old][columns])
    assert changed[old]["target"].abs().max() > 0.02
    # The bar of the switch is the first under the new rules: no window of earlier forecasts, another rule, its cap.
    pd.testing.assert_series_equal(changed[~old]["unfiltered"], second[~old]["unfiltered"])
    assert 0 < changed[~old]["target"].abs().max() <= 0.02


def test_no_change_and_a_change_to_the_same_rules_are_equal(frames, tiny_model):
    same = {"density_quantile": 0.05, "density_adaptation": 0.02, "drift_alarm": 0.2, "drift_window": 400}
    plain = play(frames, tiny_model, **same)
    times = [close_of(frames[0], row) for row in (60, 61, 90)]
    changed = play(frames, tiny_model, **same, rules_from=[(time, same) for time in times])
    pd.testing.assert_frame_equal(changed.decisions, plain.decisions)
    pd.testing.assert_frame_equal(changed.equity, plain.equity)


def test_a_change_of_caps_holds_over_all_symbols(frames, tiny_model):
    switch = close_of(frames[0], 80)
    changed = play(
        frames, tiny_model, max_exposure=5.0, leverage=5.0, rules_from=[(switch, {"leverage": 0.1})]
    )
    by_bar = changed.decisions.assign(size=changed.decisions["target"].abs()).groupby("time")["size"].sum()
    at = pd.Timestamp(switch, unit="ms", tz="UTC")
    assert by_bar[by_bar.index < at].max() > 0.1
    assert by_bar[by_bar.index >= at].max() <= 0.1 + 1e-12


def test_held_forecasts_keep_what_the_new_window_covers():
    held = HeldForecasts(4)
    for number in range(6):
        held.add(Forecast(float(number), float(number), 0.0, 0), number, 1.0)
    shorter, longer = held.resized(2), held.resized(8)
    assert held.resized(4) is held
    assert shorter.add(Forecast(8.0, 8.0, 0.0, 0), 6, 1.0).exposure == (5 + 8) / 2
    assert longer.add(Forecast(8.0, 8.0, 0.0, 0), 6, 1.0).exposure == (2 + 3 + 4 + 5 + 8) / 8
    # The clock goes on too: a hole of one bar after the change counts as one bar without a forecast.
    assert held.resized(2).add(Forecast(8.0, 8.0, 0.0, 0), 7, 1.0).exposure == 4.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([(5, {"cooldwn": 1})], "expected a rule, found 'cooldwn'; did you mean 'cooldown'"),
        ([(5, {"allocation": "risk"})], "allocation cannot change on the way"),
        ([(5, {"cooldown": -1})], "cooldown"),
        ([(5, {}), (5, {})], "ascending order, found 5 after 5"),
        ([5], r"expected pairs \(since in UTC ms"),
        ([("2024-01-01", {})], r"expected pairs \(since in UTC ms"),
    ],
)
def test_impossible_schedules_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        RulesSchedule.of({}, changes, 24)


def test_rules_that_the_model_cannot_follow_are_refused_at_the_start(frames, tiny_model):
    switch = close_of(frames[0], 100)
    with pytest.raises(ConfigError, match="regime"):
        play(frames, tiny_model, rules_from=[(switch, {"regimes": ("nowhere",)})])
