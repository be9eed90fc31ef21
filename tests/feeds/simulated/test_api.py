import math

import numpy as np
import pandas as pd
import pytest

from feeds.bars.frame import as_bars, data_hash, resample
from feeds.errors import BadSource, BadTimeframe
from feeds.simulated.api import MARKETS, expected_return, simulate, true_regimes
from feeds.simulated.processes import AR1, PROCESSES
from feeds.sources import load_bars
from tests.feeds.bars.frames import HOUR

BARS = 20_000
SIGMA = 0.006


def log_returns(frame):
    return np.log(frame["close"].to_numpy() / frame["open"].to_numpy())


def t_statistic(values):
    return values.mean() / (values.std(ddof=1) / math.sqrt(len(values)))


@pytest.fixture(scope="module", params=MARKETS)
def market(request):
    return simulate(request.param, seed=7, bars=BARS)


def test_the_four_markets():
    assert MARKETS == ("ar1", "planted", "random_walk", "regimes")


def test_every_market_keeps_the_contract(market):
    pd.testing.assert_frame_equal(as_bars(market), market)
    assert len(market) == BARS
    assert market["timestamp"].iloc[0] == 1_577_836_800_000  # 2020-01-01
    assert (market["open"].to_numpy()[1:] == market["close"].to_numpy()[:-1]).all()
    assert (market["volume"] > 0).all()
    assert (market["open_interest"] > 0).all()
    assert market.attrs["timeframe"] == "1h"


def test_highs_and_lows_are_real_excursions(market):
    top = np.log(market["high"] / market[["open", "close"]].max(axis=1))
    bottom = np.log(market[["open", "close"]].min(axis=1) / market["low"])
    assert (top > 0).mean() > 0.99
    # By symmetry of the bridge both sides reach equally far.
    assert top.mean() == pytest.approx(bottom.mean(), rel=0.05)
    assert top.mean() > 0.1 * SIGMA


def test_hourly_volatility_is_the_stated_one(market):
    # Regimes last 200 bars and jumps are large, so the sample variance has a larger error.
    tolerance = 0.15 if "regimes" in market.attrs["symbol"] else 0.05
    assert log_returns(market).std() == pytest.approx(SIGMA, rel=tolerance)


def test_funding_settles_every_eight_hours_and_varies_slowly(market):
    hours = market["timestamp"].to_numpy() // HOUR % 24
    settles = np.isin(hours, (0, 8, 16))
    rates = market["funding_rate"].to_numpy()
    assert (rates[~settles] == 0).all()
    assert (rates[settles] != 0).all()
    assert 1e-5 < rates[settles].mean() < 1e-4
    assert np.abs(rates).max() < 1e-3
    assert np.corrcoef(rates[settles][1:], rates[settles][:-1])[0, 1] > 0.9


@pytest.mark.parametrize("name", MARKETS)
def test_same_seed_same_bytes_and_more_bars_keep_the_first(name):
    short, again, long = (simulate(name, seed=3, bars=n) for n in (500, 500, 1300))
    assert data_hash(short) == data_hash(again)
    assert data_hash(short) == data_hash(long.iloc[:500])
    assert data_hash(short) != data_hash(simulate(name, seed=4, bars=500))


def test_a_longer_bar_has_the_volatility_of_its_hours():
    daily = simulate("random_walk", bars=5000, timeframe="1d")
    assert log_returns(daily).std() == pytest.approx(SIGMA * math.sqrt(24), rel=0.05)
    hourly = resample(simulate("random_walk", bars=24 * 50), "1d")
    # The first day's row sums settlements of the day before, where the hourly bars did not exist yet.
    np.testing.assert_allclose(daily["funding_rate"][1:50], hourly["funding_rate"][1:])


def test_nothing_can_be_known_about_a_random_walk():
    returns = log_returns(simulate("random_walk", bars=BARS))
    for lag in (1, 2, 24):
        assert abs(t_statistic(returns[lag:] * returns[:-lag])) < 4
    kurtosis = np.mean(returns**4) / np.mean(returns**2) ** 2
    assert abs(kurtosis - 3) < 4 * math.sqrt(24 / BARS)


@pytest.mark.parametrize("phi", [-0.2, 0.2, 0.6])
def test_ar1_has_the_stated_autocorrelation(phi):
    frame = simulate("ar1", bars=BARS, phi=phi)
    returns = log_returns(frame)
    error = math.sqrt((1 - phi**2) / BARS)
    for lag in (1, 2, 3):
        found = np.corrcoef(returns[lag:], returns[:-lag])[0, 1]
        assert abs(found - phi**lag) < 4 * error / (1 - phi**2)
    assert returns.std() == pytest.approx(SIGMA / math.sqrt(1 - phi**2), rel=0.03)
    hits = np.sign(expected_return(frame)[:-1]) == np.sign(returns[1:])
    # Two jointly normal variables of correlation |phi| have the same sign this often.
    assert hits.mean() == pytest.approx(0.5 + math.asin(abs(phi)) / math.pi, abs=4 * 0.5 / math.sqrt(BARS))


def test_regimes_have_structure_and_no_edge():
    frame = simulate("regimes", bars=60_000)
    returns = log_returns(frame)
    assert (expected_return(frame) == 0).all()
    assert abs(t_statistic(returns)) < 4
    for lag in (1, 24):
        assert abs(t_statistic(returns[lag:] * returns[:-lag])) < 4
    size = np.minimum(np.abs(returns), 0.03)
    assert np.corrcoef(size[1:], size[:-1])[0, 1] > 0.2
    assert np.mean(returns**4) / np.mean(returns**2) ** 2 > 6
    volume = np.log(frame["volume"].to_numpy())
    assert np.corrcoef(volume[1:], size[:-1])[0, 1] > 0.2


@pytest.mark.parametrize(
    "options", [{}, {"volatility_of_volatility": 0.3}, {"edge": 0.3, "window": 12}, {"edge": -0.1}]
)
def test_the_planted_edge_is_the_stated_one(options):
    frame = simulate("planted", bars=40_000, **options)
    returns, expected = log_returns(frame), expected_return(frame)
    residual = returns[1:] - expected[:-1]
    # The expectation is right where it is weak and where it is strong, up and down: the residual is noise.
    for part in (expected[:-1] > 0, expected[:-1] < 0, np.abs(expected[:-1]) > np.median(np.abs(expected))):
        assert abs(t_statistic(residual[part])) < 4
    slope = (expected[:-1] @ returns[1:]) / (expected[:-1] @ expected[:-1])
    error = residual.std() / math.sqrt(expected[:-1] @ expected[:-1])
    assert abs(slope - 1) < 4 * error < 1
    assert np.abs(expected).max() <= abs(options.get("edge", 0.1)) * SIGMA


def test_the_planted_expectation_by_hand():
    frame = simulate("planted", bars=30, edge=0.2)
    returns = log_returns(frame)
    z = returns[3:27].sum() / (SIGMA * math.sqrt(24))
    expected = expected_return(frame)
    assert expected[26] == pytest.approx(0.2 * SIGMA * math.tanh(z), rel=1e-9)
    # Before the first bar there were no returns.
    assert expected[0] == pytest.approx(
        0.2 * SIGMA * math.tanh(returns[0] / (SIGMA * math.sqrt(24))), rel=1e-9
    )


def test_the_oracle_earns_and_gives_the_model_something_to_find():
    frame = simulate("planted", bars=BARS)
    earned = np.sign(expected_return(frame)[:-1]) * log_returns(frame)[1:]
    assert t_statistic(earned) > 4


@pytest.mark.parametrize("name", MARKETS)
def test_expectations_use_no_later_bar(name):
    frame = simulate(name, bars=400)
    whole = expected_return(frame)
    for cut in (1, 23, 24, 25, 399):
        part = frame.iloc[:cut]
        assert expected_return(part).tolist() == whole[:cut].tolist()


def test_a_slice_does_not_know_what_was_cut_off():
    frame = simulate("planted", bars=400)
    tail = expected_return(frame.iloc[100:])
    assert np.isnan(tail[:23]).all()
    np.testing.assert_allclose(tail[23:], expected_return(frame)[123:], rtol=1e-9)


def test_the_process_is_read_from_the_frame_or_from_the_argument(tmp_path):
    frame = load_bars("simulated:ar1?seed=2&bars=50&phi=-0.3")
    np.testing.assert_allclose(expected_return(frame), -0.3 * log_returns(frame))
    stranger = as_bars(frame, source="elsewhere.parquet")
    np.testing.assert_array_equal(expected_return(stranger, "ar1", phi=-0.3), expected_return(frame))
    with pytest.raises(
        BadSource, match=r"expected bars of a simulated market, found source 'elsewhere.parquet'"
    ):
        expected_return(stranger)
    with pytest.raises(BadSource, match="found a resampled frame"):
        expected_return(resample(frame, "4h"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"name": "randomwalk"}, "did you mean 'random_walk'"),
        ({"name": "ar1", "ph": 0.1}, "did you mean 'phi'"),
        ({"name": "ar1", "phi": 1.0}, r"expected phi in \[-0.999, 0.999\], found 1.0"),
        ({"name": "ar1", "phi": float("nan")}, "expected phi in"),
        ({"name": "ar1", "phi": "much"}, "expected a number for phi, found 'much'"),
        ({"name": "planted", "window": 2.5}, "expected a whole number for window"),
        ({"name": "planted", "edge": 2}, "expected edge in"),
        ({"name": "regimes", "stay": -0.1}, "expected stay in"),
        ({"name": "random_walk", "sigma": 0}, "expected sigma in"),
        ({"name": "random_walk", "bars": 0}, "expected bars in"),
        ({"name": "random_walk", "bars": "x"}, "expected a whole number for bars"),
        ({"name": "random_walk", "seed": -1}, "expected seed in"),
        ({"name": "random_walk", "start": "2020-01-01T00:30"}, "expected a start on the 1h grid"),
    ],
)
def test_bad_arguments(arguments, says):
    with pytest.raises(BadSource, match=says):
        simulate(**arguments)


def test_bad_timeframe():
    with pytest.raises(BadTimeframe):
        simulate("ar1", timeframe="7m")


def test_every_process_states_its_memory():
    assert {name: PROCESSES[name]().memory for name in PROCESSES} == {
        "ar1": 1,
        "planted": 24,
        "random_walk": 1,
        "regimes": 1,
    }
    assert AR1(phi=0.5) == AR1(phi=0.5)


def test_the_true_regimes_are_the_ones_that_set_the_volatility():
    quiet = {"spread": 8.0, "volatility_of_volatility": 0.0, "jump_rate": 0.0}
    frame = simulate("regimes", seed=4, bars=6_000, **quiet)
    truth, returns = true_regimes(frame), log_returns(frame)
    spread = [returns[truth == k].std() for k in range(3)]
    assert spread[1] / spread[0] == pytest.approx(8.0, rel=0.1)
    assert spread[2] / spread[1] == pytest.approx(8.0, rel=0.1)
    later = simulate("regimes", seed=4, bars=9_000, **quiet).iloc[1_000:]
    np.testing.assert_array_equal(true_regimes(later)[:5_000], truth[1_000:])


def test_only_the_bars_of_that_market_have_true_regimes():
    with pytest.raises(BadSource, match="market 'regimes', found 'random_walk'"):
        true_regimes(simulate("random_walk", bars=10))
    frame = simulate("regimes", bars=48)
    coarse = frame.iloc[::4].reset_index(drop=True)
    coarse.attrs = {**frame.attrs, "timeframe": "4h"}
    with pytest.raises(BadSource, match="resampled"):
        true_regimes(coarse)
