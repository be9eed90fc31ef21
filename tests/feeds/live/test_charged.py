"""Settlements after a restart: each is charged once, whenever it was published."""

from hypothesis import given
from hypothesis import strategies as st

from feeds.live.charged import Charged
from tests.bybit import HOUR, MINUTE, Listing, market
from tests.feeds.live.virtual_live import follow, virtual_exchange

FIRST = 1_719_748_800_000  # 2024-06-30T12:00Z
BTC = Listing("BTCUSDT", "BTC", "USDT", funding=((0, 60),))
[(NOON, RATE)] = market.funding(BTC, FIRST, FIRST)


@given(
    rates=st.lists(
        st.integers(-300_000, 300_000).filter(bool).map(lambda n: n / 1e8),
        min_size=1,
        max_size=6,
        unique=True,
    ),
    late=st.sets(st.integers(0, 5)),
    down=st.integers(0, 2),
)
def test_the_settlements_that_no_bar_has_charged_are_found(rates, late, down):
    found = {hour * HOUR: rate for hour, rate in enumerate(rates)}
    unpublished = list(found)[max(len(found) - down, 0) :]
    bars, waiting = {}, 0.0
    for hour, (start, rate) in enumerate(found.items()):
        rate = 0.0 if start in unpublished else rate
        late_now = hour in late
        bars[start] = 0.0 if late_now else rate
        bars[start + MINUTE] = rate if late_now else 0.0  # a settlement published late is on the next bar
        waiting += rate
    charged = Charged(-1, bars)
    assert set(found) - charged.match(found) == set(unpublished)


def test_two_settlements_on_one_bar_are_both_charged():
    found = {0: 0.0001, HOUR: -0.0003}
    assert Charged(-1, {0: 0.0, HOUR: -0.0002}).match(found) == {0, HOUR}
    assert Charged(-1, {0: 0.0, HOUR: -0.0003}).match(found) == {HOUR}


def test_a_rate_that_the_exchange_has_revised_is_not_charged_again():
    assert Charged(-1, {0: 0.0001, HOUR: 0.0002}).match({0: 0.0001, HOUR: 0.0004}) == {0, HOUR}


def test_an_answer_without_the_newest_settlement_is_not_the_last_word():
    charged = Charged(-1, {0: 0.0001, 8 * HOUR: 0.0002})
    assert charged.match({0: 0.0001}) == {0}
    assert charged.match({8 * HOUR: 0.0002}) == {8 * HOUR}


def test_bars_older_than_a_day_are_not_asked_about():
    first = 48 * HOUR
    charged = Charged.before(first, HOUR, dict.fromkeys(range(0, first, HOUR), 0.0))
    assert (charged.settled, charged.last) == (first - 24 * HOUR - 1, first - HOUR)
    assert Charged.before(first, HOUR, {}).settled == first - HOUR


def restarted(noon_rate, *, lag=0):
    """Follow from 12:10 on, after bars from 11:50 of which the one of 12:00 has charged `noon_rate`."""
    first = FIRST + 10 * MINUTE
    loop, exchange = virtual_exchange(first + 5_000, listings=[BTC])
    exchange.funding_lag_ms = lag
    rates = dict.fromkeys(range(FIRST - 10 * MINUTE, first, MINUTE), 0.0) | {FIRST: noon_rate}
    charged = Charged.before(first, MINUTE, rates)
    seen = follow(loop, exchange, 3_000.0 if lag else 600.0, first=first, funding=True, charged=charged)
    return {bar.start: bar.funding_rate for bar in seen.bars if bar.funding_rate}, seen.reports("settlement")


def test_a_settlement_that_was_published_while_the_run_was_down_is_charged_on_the_first_bar_and_said():
    rates, [report] = restarted(0.0)
    assert rates == {FIRST + 10 * MINUTE: RATE}
    assert (report.facts["time"], report.facts["rate"]) == (NOON, RATE)


def test_a_settlement_that_was_charged_before_a_restart_is_not_charged_again():
    rates, reports = restarted(RATE)
    assert (rates, reports) == ({}, [])


def test_a_settlement_that_is_published_after_the_restart_is_charged_once():
    rates, [report] = restarted(0.0, lag=20 * MINUTE)
    assert list(rates.values()) == [RATE]
    assert FIRST + 19 * MINUTE <= min(rates) <= FIRST + 22 * MINUTE
    assert report.facts["time"] == NOON
