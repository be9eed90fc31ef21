import backtrader as bt
import pytest

from feeds.bars.timeframes import TIMEFRAMES, from_ms, to_backtrader, to_ms
from feeds.errors import BadTimeframe

DAY = 86_400_000


@pytest.mark.parametrize(
    ("name", "ms"), [("1m", 60_000), ("1h", 3_600_000), ("12h", 43_200_000), ("1d", DAY)]
)
def test_lengths(name, ms):
    assert to_ms(name) == ms


@pytest.mark.parametrize("name", TIMEFRAMES)
def test_names_and_lengths_are_inverse_and_days_are_whole(name):
    assert from_ms(to_ms(name)) == name
    assert DAY % to_ms(name) == 0


@pytest.mark.parametrize("name", TIMEFRAMES)
def test_backtrader_numbers_mean_the_same_length(name):
    unit, compression = to_backtrader(name)
    ms = {bt.TimeFrame.Minutes: 60_000, bt.TimeFrame.Days: DAY}[unit]
    assert ms * compression == to_ms(name)


def test_days_are_backtrader_days():
    assert to_backtrader("1d") == (bt.TimeFrame.Days, 1)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("60m", "1h"), ("1hour", "1h"), ("60", "1h"), ("24h", "1d"), ("1H", "1h"), ("4hr", "4h")],
)
def test_unknown_names_get_a_suggestion(wrong, meant):
    with pytest.raises(BadTimeframe, match=f"did you mean '{meant}'"):
        to_ms(wrong)


@pytest.mark.parametrize("name", ["1w", "1M"])
def test_weeks_and_months_are_refused_with_the_reason(name):
    with pytest.raises(BadTimeframe, match="do not start at multiples of their length"):
        to_ms(name)


@pytest.mark.parametrize("junk", ["", "banana", None, 60])
def test_junk_lists_what_is_known(junk):
    with pytest.raises(BadTimeframe, match="known timeframes: 1m, 3m"):
        to_ms(junk)


def test_unknown_length():
    with pytest.raises(BadTimeframe, match="no timeframe is 420 s long"):
        from_ms(420_000)
