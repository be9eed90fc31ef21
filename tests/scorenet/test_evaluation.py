"""The forward density's outputs at every bar: unit, rounding, one pass of the net."""

import math

import numpy as np
import pytest

from feeds import simulate
from scorenet import register_signal
from scorenet.forward.net import ForwardNet
from scorenet.signals import SIGNALS

FORWARD = ("expected_return", "return_std", "lower_tail", "upper_tail")


@pytest.fixture(scope="module")
def bars():
    frame = simulate("planted", seed=3, bars=400)
    return {name: frame[name].to_numpy() for name in ("open", "high", "low", "close", "volume", "timestamp")}


@pytest.mark.parametrize("signal", ["forward", "state"])
def test_the_outputs_are_the_forward_density_in_log_return(tiny_model, bars, signal):
    found = tiny_model.evaluate(bars, signal, tails=True)
    x, volatility = tiny_model.features.compute_with_volatility(bars, None)
    known = np.isfinite(x).all(axis=1)
    coming = tiny_model.forward(x[known])
    unit = volatility[known] * math.sqrt(tiny_model.horizon)
    upper = coming.mean / 0.05 - coming.cvar(0.95) * (0.95 / 0.05)  # the mean of all is that of both sides
    for name, expected in zip(FORWARD, (coming.mean, coming.std, coming.cvar(0.05), upper), strict=True):
        values = getattr(found, name)
        np.testing.assert_allclose(values[known], expected * unit, rtol=0, atol=1e-9)
        assert np.isnan(values[~known]).all()


def test_the_next_returns_have_the_forecast_scale(tiny_model, bars):
    found = tiny_model.evaluate(bars)
    h = tiny_model.horizon
    move = np.log(bars["close"][h:] / bars["close"][:-h])
    known = np.isfinite(found.return_std[:-h])
    assert (move[known] / found.return_std[:-h][known]).std() == pytest.approx(1.0, abs=0.25)


def test_tail_means_are_computed_only_on_demand(tiny_model, bars):
    plain, full = tiny_model.evaluate(bars), tiny_model.evaluate(bars, tails=True)
    assert np.isnan(plain.lower_tail).all()
    assert np.isnan(plain.upper_tail).all()
    for name in set(plain._fields) - {"lower_tail", "upper_tail"}:
        np.testing.assert_array_equal(getattr(plain, name), getattr(full, name))


def test_one_pass_of_the_net_gives_signal_and_moments(tiny_model, bars, monkeypatch):
    rows = []
    real = ForwardNet.forward
    monkeypatch.setattr(ForwardNet, "forward", lambda self, x, *a: rows.append(len(x)) or real(self, x, *a))
    early = {name: values[:70] for name, values in bars.items()}  # too few rows to be cached
    tiny_model.evaluate(early)
    assert sum(rows) == 70 - tiny_model.lookback


def test_a_signal_of_ones_own_has_the_forward_outputs_too(tiny_model, bars):
    from dataclasses import replace

    calibration = tiny_model.calibration
    magnitude = {**calibration.magnitude, "own": np.linspace(0.0, 1.0, 50)}
    model = replace(tiny_model, calibration=replace(calibration, magnitude=magnitude))
    register_signal("own")(lambda model, x, z: (x[:, 0], np.zeros(len(x))))
    try:
        own = model.evaluate(bars, "own")
    finally:
        SIGNALS.remove("own")
    np.testing.assert_array_equal(own.expected_return, tiny_model.evaluate(bars).expected_return)


def test_the_strength_of_the_forward_signal_is_the_expected_return_over_its_risk(tiny_model, bars):
    found = tiny_model.evaluate(bars)
    ratio = found.expected_return / found.return_std
    typical = tiny_model.calibration.typical_forecast
    assert 0.0 < typical < 1.0
    np.testing.assert_allclose(found.strength, ratio / typical, rtol=1e-12)


def test_the_strength_of_another_signal_is_its_score_over_its_typical_size(tiny_model, bars):
    found = tiny_model.evaluate(bars, "state")
    size = math.sqrt(float(np.mean(tiny_model.calibration.magnitude["state"] ** 2)))
    np.testing.assert_allclose(found.strength, found.score / size, rtol=1e-12)
