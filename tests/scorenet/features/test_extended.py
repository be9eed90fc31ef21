"""The extended set, feature by feature, against formulas on plain lists of returns."""

import math

import numpy as np
import pytest

from scorenet import feature_set

BARS = 721  # one row: 720 bars of history and the bar itself


def market() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    close = 100 * np.exp(np.cumsum(0.01 * rng.standard_normal(BARS)))
    return {
        "open": close,
        "high": close * np.exp(rng.uniform(0.001, 0.02, BARS)),
        "low": close * np.exp(-rng.uniform(0.001, 0.02, BARS)),
        "close": close,
        "volume": rng.uniform(1, 5, BARS),
        "funding_rate": rng.normal(0, 1e-4, BARS),
        "open_interest": rng.uniform(1_000, 2_000, BARS),
    }


def last_row(bars: dict[str, np.ndarray]) -> dict[str, float]:
    features = feature_set("extended", ("funding_rate", "open_interest"))
    return dict(zip(features.names, features.compute(bars)[-1], strict=True))


def test_every_formula():
    bars = market()
    row, close, volume = last_row(bars), bars["close"], bars["volume"]
    r = np.diff(np.log(close))

    def vol(n):
        return math.sqrt(sum(value * value for value in r[-n:]) / n)

    ranges = np.log(bars["high"] / bars["low"])
    top, bottom = bars["high"][-168:].max(), bars["low"][-168:].min()
    interest = bars["open_interest"]
    expected = {
        # The return of h bars in standard deviations of h bars: volatility grows with the root of time.
        **{f"return_{h}": r[-h:].sum() / (vol(168) * h**0.5) for h in (1, 4, 24, 72, 168, 720)},
        "volatility": vol(168),
        "volatility_ratio": vol(24) / vol(168),
        "volatility_6": vol(6) / vol(168),
        "volatility_720": vol(720) / vol(168),
        "volume_1": math.log(volume[-1] / volume[-24:].mean() + 1e-3),
        "volume_24": math.log(volume[-24:].mean() / volume[-168:].mean() + 1e-3),
        "range_24": math.sqrt((ranges[-24:] ** 2).mean()) / vol(24) + 1e-3,
        "price_position": (close[-1] - bottom) / (top - bottom),
        "funding_24": 1e4 * bars["funding_rate"][-24:].sum(),
        "funding_168": 1e4 * bars["funding_rate"][-168:].sum(),
        "open_interest_24": math.log(interest[-1] / interest[-25]),
        "open_interest_168": math.log(interest[-1] / interest[-169]),
    }
    assert set(row) == set(expected) | {"season_24"}
    for name, value in expected.items():
        assert row[name] == pytest.approx(value, rel=1e-9), name


@pytest.mark.parametrize("unknown", [-1, -25])
def test_open_interest_that_is_not_published_is_no_change(unknown):
    bars = market()
    bars["open_interest"][unknown] = 0.0
    assert last_row(bars)["open_interest_24"] == 0.0


def test_a_market_that_does_not_move_or_trade_has_stated_values():
    bars = market()
    for name in ("open", "high", "low", "close"):
        bars[name] = np.full(BARS, 50.0)
    bars["volume"] = np.zeros(BARS)
    row = last_row(bars)
    assert row["price_position"] == 0.5
    assert row["volume_1"] == row["volume_24"] == pytest.approx(math.log(1.001))
    assert row["return_720"] == 0.0
    assert row["season_24"] == row["volatility_ratio"] == 1.0
    assert row["range_24"] == pytest.approx(1e-3)


def test_a_quiet_bar_keeps_its_volume_feature_finite():
    bars = market()
    bars["volume"][-1] = 0.0
    assert last_row(bars)["volume_1"] == pytest.approx(math.log(1e-3))


def test_kinds_follow_the_range_of_the_feature():
    features = feature_set("extended", ("funding_rate", "open_interest"))
    kind = dict(zip(features.names, features.kinds, strict=True))
    assert {name for name, value in kind.items() if value == "logit"} == {"price_position"}
    assert {name for name, value in kind.items() if value == "log"} == {
        "volatility",
        "volatility_ratio",
        "volatility_6",
        "volatility_720",
        "season_24",
        "range_24",
    }
    assert (features.lookback, features.volatility_window) == (720, 168)


@pytest.mark.parametrize(("name", "bars"), [("chapter", 20), ("extended", 168)])
def test_the_position_of_the_price_is_that_in_its_window_and_no_further(name, bars):
    close = np.full(BARS, 100.0)
    table = dict.fromkeys(("open", "high", "low", "close"), close) | {"volume": np.ones(BARS)}
    features = feature_set(name, ())
    for back, position in ((bars - 1, 1 / 3), (bars, 1 / 2)):
        high, low = np.full(BARS, 101.0), np.full(BARS, 99.0)
        high[-1 - back] = 102.0
        row = features.compute(table | {"high": high, "low": low})[-1]
        assert row[features.names.index("price_position")] == pytest.approx(position)


def test_the_chapter_looks_back_twenty_bars():
    features = feature_set("chapter", ())
    assert (features.lookback, features.volatility_window) == (20, 20)
