"""The limiter admits no more requests than the rate allows, and none after a ban."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.bybit.wire import REQUESTS_PER_SECOND
from feeds.errors import BadSource, ExchangeBanned
from feeds.exchange.rate_limit import RateLimiter, shared_limiter

EXCHANGE = (600, 5.0)  # (requests, seconds) per address


def admitted(rate, pauses):
    """Return when each request is admitted (s), if one is made after each of the pauses."""
    now = 0.0
    limiter = RateLimiter(rate, clock=lambda: now)
    times = []
    for pause in pauses:
        now += pause
        times.append(now + limiter.admit())
    return times


def most_within(times, seconds):
    return max(sum(1 for t in times if begin <= t < begin + seconds) for begin in times)


@given(st.sampled_from([0.5, 1.0, 3.0, 7.5, 40.0]), st.lists(st.floats(0.0, 2.0), min_size=1, max_size=120))
def test_no_more_than_the_rate_go_through_in_any_second(rate, pauses):
    times = admitted(rate, pauses)
    assert times == sorted(times)
    burst = max(1, int(rate))
    # Slightly less than the period, because the next burst may begin exactly one period after the last.
    assert most_within(times, burst / rate * (1 - 1e-9)) <= burst


def test_many_requests_stay_inside_the_exchange_s_limit_though_answers_take_their_time():
    times = admitted(REQUESTS_PER_SECOND, [0.0] * 2000)
    allowed, seconds = EXCHANGE
    # A request may reach the exchange up to a second later than another one sent with it.
    assert most_within(times, (seconds + 1.0) * (1 - 1e-9)) <= allowed
    assert times[-1] == pytest.approx(2000 / REQUESTS_PER_SECOND - 1)


def test_no_request_waits_without_need():
    assert admitted(2.0, [0.0, 0.0, 1.0, 0.0]) == [0.0, 0.0, 1.0, 1.0]
    assert admitted(None, [0.0] * 1000) == [0.0] * 1000


def test_a_closed_limiter_admits_no_request():
    limiter = RateLimiter(2.0)
    limiter.admit()
    limiter.close("too many requests")
    for ask in (limiter.admit, limiter.check):
        with pytest.raises(ExchangeBanned, match="too many requests"):
            ask()
    assert limiter.ban == "too many requests"


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_a_rate_is_positive(rate):
    with pytest.raises(BadSource, match="requests per second > 0"):
        RateLimiter(rate)


def test_feeds_of_a_place_share_a_limit_and_a_ban_until_it_is_over():
    one, other = shared_limiter("here", 2.0, 0.2), shared_limiter("here", 2.0, 0.2)
    assert one is other
    assert shared_limiter("elsewhere", 2.0) is not one
    assert [round(one.admit(), 1), round(other.admit(), 1), round(one.admit(), 1)] == [0.0, 0.0, 1.0]
    one.close("too many requests")
    with pytest.raises(ExchangeBanned):
        shared_limiter("here", 2.0, 0.2).check()
    time.sleep(0.25)
    shared_limiter("here", 2.0, 0.2).check()
