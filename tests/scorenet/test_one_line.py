"""Every object that a notebook shows is one line of text, with what tells it from others."""

import numpy as np
import pytest

from scorenet import Market, ScoreDensity
from scorenet.base.printable import one_line
from strategies.schedule import ModelSchedule


def test_a_model_says_its_market_its_size_and_its_span(tiny_model):
    said = repr(tiny_model)
    assert said.startswith(
        "ScoreModel(planted-5, 10 chapter features, lookback 20, horizon 4 bars, trained 2020-01-01"
    )
    assert said.endswith(f"fingerprint {tiny_model.fingerprint[:8]})")


@pytest.mark.parametrize(
    "part",
    [
        "denoiser",
        "density_net",
        "forward_net",
        "features",
        "scaler",
        "base",
        "calibration",
        "regime_map",
        "config",
    ],
)
def test_every_part_of_a_model_is_one_line(tiny_model, part):
    said = repr(getattr(tiny_model, part))
    assert "\n" not in said
    assert said.startswith(type(getattr(tiny_model, part)).__name__)


def test_what_a_model_returns_is_one_line(tiny_model):
    x = tiny_model.sample(3)
    assert repr(tiny_model.forward(x)).startswith("ForwardReturn(weights=[3, 6], ")
    bars = {
        "timestamp": np.arange(30),
        **{name: np.ones(30) for name in ("open", "high", "low", "close", "volume")},
    }
    assert repr(Market("BTC", bars, 1)).startswith("Market(30 bars, symbol='BTC'")
    assert repr(tiny_model.evaluate(bars, step_ms=1)) == "Evaluation(30 bars)"


def test_a_schedule_shows_when_each_model_begins(tiny_model):
    assert repr(ModelSchedule(tiny_model)) == f"ModelSchedule({tiny_model!r})"
    said = repr(ModelSchedule([(0, tiny_model), (86_400_000, tiny_model)]))
    assert said.startswith(
        f"ModelSchedule(from 1970-01-01T00:00:00Z: {tiny_model!r}, from 1970-01-02T00:00:00Z: "
    )


def test_an_estimator_with_many_settings_is_one_line():
    density = ScoreDensity(
        contamination=0.01, device="cpu", max_seconds=5.0, random_state=0, transform="standardize"
    )
    assert "\n" not in repr(density)
    assert "transform='standardize'" in repr(density)


def test_long_values_are_shown_by_their_size():
    class Thing:
        pass

    said = one_line(
        Thing(), "a fact", table=np.ones((2, 3)), number=np.float64(2.5), long=list(range(99)), text="x" * 99
    )
    assert said == f"Thing(a fact, table=[2, 3], number=2.5, long=<99 items>, text='{'x' * 58}…)"
