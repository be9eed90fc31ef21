"""What a model learns from, row by row: targets across holes, the warm-up, purged parts, optional columns."""

import math

import numpy as np
import pytest
import torch

from feeds import simulate, to_arrays
from scorenet import ScorenetError, TooFewBars, feature_set, learning
from scorenet.learning import Market
from scorenet.scaling import Scaler
from tests.conftest import TINY

HOUR = 3_600_000


def bars(count=60, seed=1, **columns):
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(0.01 * rng.standard_normal(count)))
    table = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close}
    return table | {"volume": np.ones(count), "timestamp": HOUR * np.arange(count)} | columns


def without(table, row):
    return {name: np.delete(values, row) for name, values in table.items()}


@pytest.mark.parametrize("horizon", [1, 3, 7])
def test_a_target_is_the_return_ahead_over_volatility_and_the_root_of_the_horizon(horizon):
    table = bars()
    target = learning._target(Market("X", table, HOUR), np.full(60, 0.02), horizon)
    for row in range(60 - horizon):
        move = math.log(table["close"][row + horizon] / table["close"][row])
        assert target[row] == pytest.approx(move / (0.02 * math.sqrt(horizon)))
    assert np.isnan(target[60 - horizon :]).all()


@pytest.mark.parametrize("horizon", [1, 3, 7])
def test_a_target_that_spans_a_missing_bar_is_none(horizon):
    whole, hole = bars(), 30
    holed = without(whole, hole)
    target = learning._target(Market("X", holed, HOUR), np.full(59, 0.02), horizon)
    whole_target = learning._target(Market("X", whole, HOUR), np.full(60, 0.02), horizon)
    time = holed["timestamp"] // HOUR
    spans = (time < hole) & (time + horizon >= hole)
    assert np.isnan(target[spans]).all()
    kept = ~spans & (time + horizon < 60)
    np.testing.assert_array_equal(target[kept], whole_target[time[kept]])
    assert kept.sum() == 60 - 2 * horizon - (1 if horizon else 0)


def test_a_horizon_beyond_the_series_has_no_target():
    for horizon in (60, 61, 100):
        target = learning._target(Market("X", bars(), HOUR), np.full(60, 0.02), horizon)
        assert np.isnan(target).all()
        assert len(target) == 60


def test_rows_start_with_the_first_bar_whose_features_are_known():
    features = feature_set("chapter", ())
    rows = learning._pool([Market("X", bars(), HOUR), Market("Y", bars(40, 2), HOUR)], features, (4, 1))
    assert rows.time.tolist() == [*(HOUR * np.arange(20, 60)), *(HOUR * np.arange(20, 40))]
    assert rows.x.shape == (60, 10)
    assert rows.y.shape == (60, 2)
    assert np.isfinite(rows.x).all()
    assert np.isnan(rows.y[:, 0]).sum() == 2 * 4
    assert np.isnan(rows.y[:, 1]).sum() == 2 * 1


@pytest.mark.parametrize("count", [12, 20])
def test_a_series_inside_the_warm_up_is_told_how_many_bars_it_needs(count):
    markets = [Market("X", bars(count), HOUR), Market("Y", bars(5), HOUR)]
    with pytest.raises(TooFewBars, match=rf"(?s)21.*have {count}|have {count}.*21"):
        learning._pool(markets, feature_set("chapter", ()), (1,))


def test_parts_are_apart_by_the_longest_horizon_and_the_lookback():
    features = feature_set("chapter", ())
    config = TINY.with_values(**{"forward.horizon": 4, "forward.horizons": (2, 30)})
    rows = learning._pool([Market("X", bars(2_000), HOUR)], features, config.forward.all_horizons)
    split = learning._split(rows, features, config, HOUR)
    train, held, test = (rows.time[part] // HOUR for part in (split.train, split.validation, split.test))
    assert held[0] - train[-1] == 30 + 20 + 1
    assert test[0] - held[-1] == 30 + 20 + 1
    assert test[-1] == 2_000 - 1 - 30
    assert len(train) / 1_980 == pytest.approx(config.train_fraction, abs=0.02)


def test_optional_columns_count_where_every_market_publishes_them():
    zero, some = np.zeros(60), np.ones(60)
    both = Market("X", bars(funding_rate=some, open_interest=some), HOUR)
    half = Market("Y", bars(funding_rate=some, open_interest=zero), HOUR)
    once = Market("Z", bars(funding_rate=np.eye(1, 60)[0]), HOUR)
    config = TINY.with_values(features="extended")

    def optional(*markets):
        names = learning._common_features(markets, config).inputs
        return set(names) & {"funding_rate", "open_interest"}

    assert optional(both) == {"funding_rate", "open_interest"}
    assert optional(half) == optional(both, half) == optional(both, once) == {"funding_rate"}
    with pytest.raises(ScorenetError, match="at least one market"):
        learning._common_features([], config)
    with pytest.raises(ScorenetError, match="one bar size, found several"):
        learning._common_features([both, Market("Q", bars(), 2 * HOUR)], config)


def test_rows_without_a_target_are_left_out_and_none_at_all_is_an_error():
    y = torch.tensor([1.0, math.nan, 2.0, math.inf, 3.0])
    assert learning._with_target(np.array([0, 1, 2, 3]), y).tolist() == [0, 2]
    with pytest.raises(TooFewBars, match=r"(?s)3.*have 2|have 2.*3"):
        learning._with_target(np.array([1, 3]), y)


def test_each_horizon_trains_on_its_own_targets_and_counts_the_overlap_of_all_markets(monkeypatch):
    calls = []

    def fake(x, y, held_x, held_y, config, **options):
        calls.append((x, y, held_x, held_y, config, options))
        return f"net {config.horizon}", f"log {config.horizon}"

    monkeypatch.setattr(learning, "fit_forward_net", fake)
    features = feature_set("chapter", ())
    config = TINY.with_values(**{"forward.horizon": 4, "forward.horizons": (2, 9)})
    rows = learning._pool([Market("X", bars(1_500), HOUR)], features, config.forward.all_horizons)
    split = learning._split(rows, features, config, HOUR)
    scaler = Scaler.fit(rows.x[split.train], features.kinds)
    z = torch.from_numpy(scaler.transform(rows.x)).float()
    nets, log = learning._fit_forward(z, rows, split, scaler, 3, config, False)
    assert nets == {h: f"net {h}" for h in (4, 2, 9)}
    assert log == "log 4", "the log of the main horizon"
    marks = [float(kind == "log") for kind in features.kinds]
    for column, (x, y, held_x, held_y, own, options) in enumerate(calls):
        assert (own.horizon, own.horizons) == ((4, 2, 9)[column], ())
        assert options["overlap"] == 3 * own.horizon
        assert options["seed"] == calls[0][5]["seed"]
        assert options["scale_columns"].tolist() == marks
        assert options["progress"] is False
        np.testing.assert_allclose(y, rows.y[split.train, column], rtol=1e-6)
        np.testing.assert_allclose(held_y, rows.y[split.validation, column], rtol=1e-6)
        assert torch.equal(x, z[split.train])
        assert torch.equal(held_x, z[split.validation])


def test_what_a_model_says_of_its_training(tiny_model):
    frame = to_arrays(simulate("planted", seed=5, bars=3_000))
    info, time = tiny_model.info, frame["timestamp"]
    assert info["bar_ms"] == time[1] - time[0]
    assert info["training_span"][0] == time[tiny_model.lookback]
    assert all(info[name][0] < info[name][1] for name in ("training_span", "calibration_span", "test_span"))
    span = (info["training_span"][1] - info["training_span"][0]) // info["bar_ms"]
    assert info["rows"]["train"] == span + 1
    assert info["rows"]["validation"] == tiny_model.calibration.rows
    assert set(info["log"]) == {"state", "density", "forward"}
    assert {"density_net_rmse", "density_net_bias", "density_net_entropy"} < set(info["metrics"])
    assert info["log"]["state"]["steps"] != info["log"]["density"]["steps"]


def test_the_calibration_holds_the_scores_of_the_held_out_rows(tiny_model):
    frame = to_arrays(simulate("planted", seed=5, bars=3_000))
    x = tiny_model.features.compute(frame)
    first, last = tiny_model.info["calibration_span"]
    held = x[(frame["timestamp"] >= first) & (frame["timestamp"] <= last)]
    table = tiny_model.calibration
    np.testing.assert_allclose(table.log_density, np.sort(tiny_model.log_density(held)), atol=1e-6)
    forward = np.abs(tiny_model.forward(held).score)
    state = np.abs(tiny_model.score(held)[:, tiny_model.features.return_index])
    np.testing.assert_allclose(table.magnitude["forward"], np.sort(forward), atol=1e-6)
    np.testing.assert_allclose(table.magnitude["state"], np.sort(state), atol=1e-6)
