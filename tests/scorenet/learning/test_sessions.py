"""A market with sessions gives the features, targets and split of the same prices in a market that never closes."""

from dataclasses import replace

import numpy as np
import pytest

from runs.markets import as_market
from scorenet import ConfigError, ScoreModel, ScorenetError, TooFewBars, feature_set
from scorenet.learning.rows import common_features, pool, split_rows
from tests.conftest import TINY
from tests.stocks import HOUR_MS, never_closed, of_sessions, on_sessions, utc

FIRST = {"1h": "2023-10-02T13:30", "1d": "2012-01-03"}


@pytest.mark.parametrize("timeframe", ["1h", "1d"])
def test_rows_are_those_of_the_same_prices_without_nights_and_weekends(timeframe):
    features = feature_set("chapter", (), ())
    frame = never_closed(900, timeframe=timeframe)
    plain, stock = as_market(frame), as_market(on_sessions(frame, FIRST[timeframe]))
    rows, found = (pool([market], features, (1, 4)) for market in (plain, stock))
    assert len(rows.x) == 900 - 20
    for name in ("x", "y"):
        np.testing.assert_array_equal(getattr(found, name), getattr(rows, name))
    split, own = (
        split_rows(part, features, TINY, [market]) for part, market in ((rows, plain), (found, stock))
    )
    for name in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(own, name), getattr(split, name))


def test_a_missing_session_is_a_hole_and_a_weekend_is_none():
    """2012-01-17, a Tuesday after a holiday, is missing: the 20 bars that look back over it have no state."""
    features = feature_set("chapter", (), ())
    stock = on_sessions(never_closed(120, timeframe="1d"), FIRST["1d"])
    market = as_market(stock)
    lost = int(np.flatnonzero(stock["timestamp"] == utc("2012-01-17"))[0])
    bars = {name: np.delete(values, lost) for name, values in market.bars.items()}
    x = features.compute(bars, market.step_ms, market.clock)
    known = np.isfinite(x).all(axis=1)
    assert np.flatnonzero(known).tolist() == list(range(max(20, lost + 20), 119))
    assert np.isfinite(features.compute(market.bars, market.step_ms, market.clock)[20:]).all()
    short = {name: values[:25] for name, values in bars.items()}
    with pytest.raises(
        TooFewBars, match="need 21, have 16"
    ):  # the longest stretch: 25 bars less 9 before the hole
        pool([type(market)("SPY", short, market.step_ms, "XNYS")], features, (1,))


def test_markets_of_one_model_have_one_calendar():
    frame = never_closed(100)
    markets = [as_market(frame), as_market(on_sessions(frame, FIRST["1h"]))]
    with pytest.raises(ScorenetError, match="of one calendar, found SPY without one, SPY XNYS"):
        common_features(markets, TINY)


def test_a_model_keeps_its_calendar_and_an_old_one_has_none(tiny_model, tmp_path):
    stock = of_sessions(tiny_model, HOUR_MS)
    loaded = ScoreModel.load(stock.save(tmp_path / "stock"))
    assert (loaded.calendar, loaded.clock.calendar) == ("XNYS", "XNYS")
    assert loaded.fingerprint == stock.fingerprint != tiny_model.fingerprint
    plain = ScoreModel.load(tiny_model.save(tmp_path / "plain"))
    assert plain.calendar is None
    assert plain.fingerprint == tiny_model.fingerprint
    assert '"calendar"' not in (tmp_path / "plain" / "model.json").read_text()
    with pytest.raises(ConfigError, match="unknown calendar 'MOON'"):
        _ = replace(tiny_model, info={**tiny_model.info, "calendar": "MOON"}).clock
