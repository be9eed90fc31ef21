"""Learning: deterministic, pooled over symbols, honest about what it used, clear when it cannot."""

import numpy as np
import pytest

from feeds import resample, simulate
from runs.markets import as_market
from scorenet import Diverged, ScorenetError, TooFewBars, learn
from tests.conftest import TINY


def market(**options):
    return as_market(simulate("regimes", **{"seed": 1, "bars": 1_500, **options}))


def test_the_same_seed_and_bars_give_the_same_model():
    first, again = (learn([market()], TINY, progress=False) for _ in range(2))
    other = learn([market()], TINY.with_values(seed=1), progress=False)
    assert first.fingerprint == again.fingerprint
    assert first.calibration.to_dict() == again.calibration.to_dict()
    assert other.fingerprint != first.fingerprint


def test_bars_of_the_last_part_train_nothing():
    frame = simulate("regimes", seed=1, bars=1_500)
    changed = frame.copy()
    changed.attrs = frame.attrs
    # From the start of the test block on, another market.
    late = slice(int(1_500 * 0.86), None)
    for column in ("open", "high", "low", "close"):
        changed.loc[changed.index[late], column] *= 1.5
    first, second = (learn([as_market(f)], TINY, progress=False) for f in (frame, changed))
    assert first.fingerprint == second.fingerprint
    assert first.calibration.to_dict() == second.calibration.to_dict()
    assert first.info["metrics"] != second.info["metrics"]


def test_spans_are_in_order_and_embargoed(tiny_model):
    info, step = tiny_model.info, tiny_model.info["bar_ms"]
    for earlier, later in (("training_span", "calibration_span"), ("calibration_span", "test_span")):
        gap = (info[later][0] - info[earlier][1]) // step
        assert gap > tiny_model.lookback + tiny_model.config.forward.horizon


def test_symbols_can_be_pooled():
    model = learn([market(), market(seed=2)], TINY, progress=False)
    alone = learn([market()], TINY, progress=False)
    assert model.info["symbols"] == ["regimes-1", "regimes-2"]
    assert model.info["rows"]["train"] == 2 * alone.info["rows"]["train"]


def test_optional_columns_that_a_market_lacks_are_left_out():
    frame = simulate("regimes", seed=1, bars=6_500).drop(columns=["open_interest"])
    frame.attrs = {"symbol": "X", "timeframe": "1h", "source": "test"}
    extended = TINY.with_values(features="extended")
    names = learn([as_market(frame)], extended, progress=False).features.names
    assert "funding_24" in names
    assert not [name for name in names if name.startswith("open_interest")]


def test_metrics_carry_the_chapters_names(tiny_model):
    metrics = tiny_model.info["metrics"]
    for name in (
        "dsm_loss",
        "score_accuracy",
        "density_calibration",
        "forward_ic",
        "forward_hit_rate",
        "forward_crps",
    ):
        assert np.isfinite(metrics[name]), name
    assert 0 < metrics["dsm_loss"] < 1
    assert 0.2 < metrics["score_accuracy"] < 1


def test_too_few_bars_say_how_many():
    with pytest.raises(TooFewBars, match="have 12"):
        learn([market(bars=12)], TINY, progress=False)
    with pytest.raises(TooFewBars, match="need"):
        learn([market(bars=200)], TINY, progress=False)


def test_two_bar_sizes_cannot_be_pooled():
    hourly = simulate("regimes", seed=1, bars=2_000)
    with pytest.raises(ScorenetError, match="markets of one bar size"):
        learn([as_market(hourly), as_market(resample(hourly, "4h"))], TINY, progress=False)
    with pytest.raises(ScorenetError, match="at least one market"):
        learn([], TINY, progress=False)


def test_divergence_is_an_error_not_a_model():
    with pytest.raises(Diverged):
        learn([market()], TINY.with_values(**{"state.learning_rate": 1e30}), progress=False)
