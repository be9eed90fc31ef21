"""Faults of bars in virtual time: holes, stamps ahead of the truth, values that come late, a market that disappears."""

import pytest

from feeds.live.events import Status
from tests.bybit import HOUR, MINUTE, Hang, Listing, Respond, market
from tests.bybit.faults import CONFLICTING, LATE_TRADE, WRONG_VOLUME
from tests.feeds.live.virtual_live import follow, inject, true_bar, virtual_exchange

KLINE = "/v5/market/kline"
FIRST = 1_719_748_800_000  # 2024-06-30T12:00Z
BARS = 20
STARTS = [FIRST + k * MINUTE for k in range(BARS)]


def wrong(seen):
    """Return the delivered bars that are not the final ones."""
    return [bar for bar in seen.bars if bar.values != true_bar(bar.start)]


def stored_bars(seen):
    """Return the last stored version of every bar."""
    return {start: tuple(rows["values"]) for kind, start, _, rows in seen.stored if kind == "bars"}


def ranges(seen, kind):
    return [(start, end) for name, start, end, _ in seen.stored if name == kind]


def test_without_a_fault_every_bar_comes_once_in_order_and_at_its_close():
    loop, exchange = virtual_exchange(FIRST + 5_000)
    seen = follow(loop, exchange, BARS * 60.0, first=FIRST)
    assert [bar.start for bar in seen.bars] == STARTS
    assert wrong(seen) == []
    assert max(seen.at(start) - start - MINUTE for start in STARTS) < 200
    assert not any(bar.doubtful for bar in seen.bars)
    assert seen.statuses == ["LIVE"]


# --- holes


@pytest.mark.parametrize("pushes", [True, False])
def test_a_bar_that_the_history_lacks_for_40_seconds_is_delivered_in_order(pushes):
    loop, exchange = virtual_exchange(FIRST + 5_000)
    exchange.hide_bars("BTCUSDT", STARTS[5:6], STARTS[7] + 40_000)
    seen = follow(loop, exchange, BARS * 60.0, first=FIRST, pushes=pushes)
    assert [bar.start for bar in seen.bars][: BARS - 1] == STARTS[: BARS - 1]
    assert wrong(seen) == []
    assert seen.at(STARTS[5]) - (STARTS[7] + 40_000) <= 15_000
    [waits] = [notice for notice in seen.of(type(seen.of(object)[0])) if notice.status is Status.DELAYED][:1]
    assert "which the history lacks" in waits.reason
    assert seen.statuses[-1] == "LIVE"
    assert not seen.reports("hole")


def test_a_hole_that_stays_is_left_out_after_two_minutes_and_named():
    loop, exchange = virtual_exchange(FIRST + 5_000)
    exchange.lose_bars("BTCUSDT", STARTS[5:7], MINUTE)
    seen = follow(loop, exchange, BARS * 60.0, first=FIRST)
    assert [bar.start for bar in seen.bars] == STARTS[:5] + STARTS[7:]
    [hole] = seen.reports("hole")
    assert hole.facts == {"start": STARTS[5], "end": STARTS[7]}
    # The hole is seen when the bar after it has closed, and waited for from then on.
    assert 120_000 <= seen.at(STARTS[7]) - STARTS[8] <= 140_000
    # Then it is requested a minute later, and ever more rarely.
    asked = [r for r in exchange.log if r.query.get("start") == str(STARTS[5])]
    assert len(asked) <= 4 + 120 // 5 + 6
    assert not any(start in stored_bars(seen) for start in STARTS[5:7])


def test_a_bar_that_comes_after_it_was_left_out_corrects_the_store():
    loop, exchange = virtual_exchange(FIRST + 5_000)
    exchange.hide_bars("BTCUSDT", STARTS[5:6], STARTS[5] + 6 * MINUTE)
    seen = follow(loop, exchange, BARS * 60.0, first=FIRST)
    assert [bar.start for bar in seen.bars] == STARTS[:5] + STARTS[6:]
    [filled] = seen.reports("filled")
    assert filled.facts == {"start": STARTS[5]}
    assert stored_bars(seen) == {start: true_bar(start) for start in STARTS}


# --- stamps ahead of the truth


def test_time_and_envelopes_30_s_ahead_from_the_start_stop_trading_after_the_first_bar():
    loop, exchange = virtual_exchange(FIRST + 5_000)
    exchange.ahead_ms = 30_000
    seen = follow(loop, exchange, BARS * 60.0, first=FIRST)
    assert len(seen.bars) >= BARS - 2
    assert [bar.start for bar in seen.bars] == STARTS[: len(seen.bars)]
    traded_open = [bar for bar in wrong(seen) if not bar.doubtful]
    assert len(traded_open) <= 1, "the first is the evidence against the next"
    assert len(wrong(seen)) <= 1
    assert all(bar.doubtful for bar in seen.bars[1:])
    assert stored_bars(seen) == {bar.start: true_bar(bar.start) for bar in seen.bars}
    [doubt] = seen.reports("doubt")
    assert "no trades until" in doubt.text


def test_stamps_that_jump_ahead_are_noticed_by_the_timer_before_an_open_bar_is_traded():
    loop, exchange = virtual_exchange(FIRST + 5_000)
    plan = {
        5 * 60.0 + 2.0: lambda: setattr(exchange, "ahead_ms", 30_000),
        10 * 60.0 + 2.0: lambda: setattr(exchange, "ahead_ms", 0),
    }
    seen = follow(loop, exchange, BARS * 60.0, first=FIRST, plan=plan)
    assert [bar.start for bar in seen.bars] == STARTS[: len(seen.bars)]
    assert wrong(seen) == []
    marks = [bar.doubtful for bar in seen.bars]
    assert not any(marks[:5])
    assert all(marks[5:10]), "as long as it lasts"
    assert not any(marks[17:]), "trading goes on when bars agree again"
    assert len(seen.reports("trust")) == 1


def test_without_pushes_every_bar_is_right_although_the_envelopes_are_ahead():
    loop, exchange = virtual_exchange(FIRST + 5_000)
    plan = {300.0: lambda: setattr(exchange, "ahead_ms", 30_000)}
    seen = follow(loop, exchange, BARS * 60.0, first=FIRST, plan=plan, pushes=False)
    assert [bar.start for bar in seen.bars] == STARTS[: len(seen.bars)]
    assert wrong(seen) == []
    assert "s against this machine's timer" in seen.reports("doubt")[0].text


def test_a_candle_confirmed_8_s_early_with_the_stamp_of_its_end_is_never_traded():
    loop, exchange = virtual_exchange(FIRST + 5_000)
    exchange.confirm_early_ms = 8_000
    seen = follow(loop, exchange, BARS * 60.0, first=FIRST)
    assert [bar.start for bar in seen.bars] == STARTS[: len(seen.bars)]
    assert wrong(seen) == []
    assert all(bar.doubtful for bar in seen.bars)
    assert "ahead of this machine's timer" in seen.reports("doubt")[0].text
    assert max(seen.at(bar.start) - bar.start - MINUTE for bar in seen.bars) < 15_000


@pytest.mark.parametrize("minutes", [-15, 15])
def test_one_answer_with_another_time_delays_no_bar(minutes):
    loop, exchange = virtual_exchange(FIRST + 5_000)
    true = exchange._envelope
    wrong_at = FIRST + 5 * MINUTE

    def envelope(path, *rest):
        answer = true(path, *rest)
        if path.endswith("/time") and exchange.now() > wrong_at and not told:
            told.append(path)
            answer["time"] += minutes * MINUTE
        return answer

    told, exchange._envelope = [], envelope
    seen = follow(loop, exchange, 30 * 60.0, first=FIRST, pushes=False)
    assert told
    assert [bar.start for bar in seen.bars][:29] == [FIRST + k * MINUTE for k in range(29)]
    assert wrong(seen) == []
    assert max(seen.at(bar.start) - bar.start - MINUTE for bar in seen.bars) < 10_000
    assert len(seen.reports("doubt")) == 1


def test_a_slow_network_and_a_drifting_timer_are_no_evidence():
    loop, exchange = virtual_exchange(FIRST + 5_000)
    true_now = exchange.time.now
    # 7 s a day: a bad quartz.
    exchange.time.now = lambda: true_now() + round((true_now() - FIRST) * 8e-5)
    seen = follow(loop, exchange, 3600.0, first=FIRST, latency=2.0)
    assert len(seen.bars) >= 58
    assert wrong(seen) == []
    assert not any(bar.doubtful for bar in seen.bars)


def test_another_version_of_a_bar_right_after_its_delivery_waits_for_the_history_to_decide():
    loop, exchange = virtual_exchange(FIRST + 5_000)
    exchange.inject(CONFLICTING, on="ws:closed", skip=4)
    seen = follow(loop, exchange, BARS * 60.0, first=FIRST)
    assert [bar.start for bar in seen.bars] == STARTS
    [differs] = wrong(seen)
    [revised] = seen.reports("revised")
    assert revised.facts["start"] == differs.start
    assert stored_bars(seen)[differs.start] == true_bar(differs.start)
    assert [bar.start for bar in seen.bars if bar.doubtful] == STARTS[5:10]


def test_pushed_bars_that_are_not_those_of_the_history_are_noticed_corrected_and_not_traded_on():
    loop, exchange = virtual_exchange(FIRST + 5_000)
    exchange.inject(WRONG_VOLUME, on="ws:closed", times=10)
    seen = follow(loop, exchange, BARS * 60.0, first=FIRST)
    assert [bar.start for bar in seen.bars] == STARTS[: len(seen.bars)]
    assert [bar.start for bar in wrong(seen)] == STARTS[:1], "the first is the evidence against the next"
    [revised] = seen.reports("revised")
    assert revised.facts["start"] == STARTS[0]
    assert stored_bars(seen) == {bar.start: true_bar(bar.start) for bar in seen.bars}
    marks = [bar.doubtful for bar in seen.bars]
    assert marks[:12] == [False] + [True] * 11
    assert not any(marks[16:]), "trading goes on when bars agree again"


def test_a_wrong_pushed_bar_is_noticed_after_an_outage_of_the_history_however_long():
    loop, exchange = virtual_exchange(FIRST + 5_000)
    exchange.inject(WRONG_VOLUME, on="ws:closed", times=2)
    outage = {30.0: lambda: exchange.inject(Respond(503), on=KLINE, times=10_000), 700.0: exchange.heal}
    seen = follow(loop, exchange, BARS * 60.0, first=FIRST, plan=outage)
    assert [bar.start for bar in wrong(seen)] == STARTS[:2]
    assert [report.facts["start"] for report in seen.reports("revised")] == STARTS[:2]
    assert stored_bars(seen) == {bar.start: true_bar(bar.start) for bar in seen.bars}


def test_bars_that_an_earlier_session_delivered_are_compared_after_a_restart():
    loop, exchange = virtual_exchange(FIRST + 5_000)
    earlier = {start: true_bar(start) for start in range(FIRST - 40 * MINUTE, FIRST, MINUTE)}
    bad = FIRST - 30 * MINUTE
    earlier[bad] = (*earlier[bad][:4], 0.5)
    seen = follow(loop, exchange, 300.0, first=FIRST, delivered=earlier)
    assert [report.facts["start"] for report in seen.reports("revised")] == [bad]
    assert stored_bars(seen)[bad] == true_bar(bad)
    assert len(exchange.requests(KLINE)) < 15, "not one request for each of the forty"


def test_a_trade_that_is_counted_late_is_corrected_and_stops_no_trading():
    loop, exchange = virtual_exchange(FIRST + 5_000)
    exchange.inject(LATE_TRADE, on="ws:closed", times=3)
    seen = follow(loop, exchange, BARS * 60.0, first=FIRST)
    assert [bar.start for bar in wrong(seen)] == STARTS[:3]
    assert [report.facts["start"] for report in seen.reports("revised")] == STARTS[:3]
    assert stored_bars(seen) == {bar.start: true_bar(bar.start) for bar in seen.bars}
    assert not any(bar.doubtful for bar in seen.bars)


def test_a_history_that_fails_delays_no_pushed_bar():
    loop, exchange = virtual_exchange(FIRST + 5_000)
    exchange.inject(Respond(503), times=10)
    seen = follow(loop, exchange, BARS * 60.0, first=FIRST)
    assert [bar.start for bar in seen.bars] == STARTS
    assert max(seen.at(start) - start - MINUTE for start in STARTS) < 200
    assert seen.statuses == ["LIVE"]
    assert len(exchange.requests()) == BARS - 3, "three bars in the first answer, then one request a bar"


# --- values that come after their bar


def hourly(**more):
    listing = Listing("BTCUSDT", "BTC", "USDT", funding=((0, 60),), interval=480, **more)
    return {"listings": [listing]}, listing


def test_a_settlement_that_was_not_announced_and_comes_45_s_late_is_on_its_bar():
    options, listing = hourly()
    loop, exchange = virtual_exchange(FIRST + 55 * MINUTE, **options)
    exchange.funding_lag_ms = 45_000
    seen = follow(loop, exchange, 600.0, first=FIRST + 55 * MINUTE, funding=True)
    [(stamp, rate)] = market.funding(listing, FIRST + HOUR, FIRST + HOUR + 1)
    rates = {bar.start: bar.funding_rate for bar in seen.bars}
    assert {start: found for start, found in rates.items() if found} == {stamp: rate}
    assert not seen.reports("settlement")


def test_a_settlement_that_comes_after_its_bar_is_on_the_next_one_and_said_and_stored_at_its_time():
    options, listing = hourly()
    loop, exchange = virtual_exchange(FIRST + 55 * MINUTE, **options)
    exchange.funding_lag_ms = 200_000
    seen = follow(loop, exchange, 900.0, first=FIRST + 55 * MINUTE, funding=True)
    [(stamp, rate)] = market.funding(listing, FIRST + HOUR, FIRST + HOUR + 1)
    rates = {bar.start: bar.funding_rate for bar in seen.bars if bar.funding_rate}
    assert rates == {stamp + 3 * MINUTE: rate}
    [report] = seen.reports("settlement")
    assert (report.facts["time"], report.facts["rate"]) == (stamp, rate)
    kept = [rows for kind, _, _, rows in seen.stored if kind == "funding" and len(rows["timestamp"])]
    assert [rows["timestamp"].tolist() for rows in kept] == [[stamp]]


def test_the_store_is_marked_only_as_far_as_an_old_enough_answer_proves():
    loop, exchange = virtual_exchange(FIRST + 55 * MINUTE)  # settles every 8 hours: none at 13:00
    seen = follow(loop, exchange, 2_400.0, first=FIRST + 55 * MINUTE, funding=True)
    known = {}
    for kind, start, end, _ in seen.stored:
        if kind == "funding":
            known[start] = end
    # Until 13:30 nothing proves that there is none at 13:00.
    assert known == {FIRST + 55 * MINUTE: FIRST + HOUR, FIRST + HOUR: FIRST + HOUR + 1} or known == {
        FIRST + HOUR: FIRST + HOUR + 1
    }
    asked = len(exchange.requests("/v5/market/funding/history"))
    assert asked == 0 or asked < 70


def test_an_open_interest_that_comes_after_its_bar_is_stored_and_said():
    loop, exchange = virtual_exchange(FIRST + 5_000)
    exchange.interest_lag_ms = 150_000
    seen = follow(loop, exchange, 900.0, first=FIRST, open_interest=True)
    values = dict(market.open_interest(exchange.listings[0], FIRST - HOUR, FIRST + HOUR, 5 * MINUTE))
    used = {bar.start: bar.open_interest for bar in seen.bars}
    assert used[STARTS[5]] == values[FIRST], "the value of 12:05 was not known yet"
    assert used[STARTS[8]] == values[STARTS[5]]
    assert [report.facts["time"] for report in seen.reports("open_interest")][-2:] == [STARTS[5], STARTS[10]]
    covered = ranges(seen, "open_interest")
    assert all(end <= STARTS[10] + 5 * MINUTE for _, end in covered)
    assert {int(t) for k, _, _, rows in seen.stored if k == "open_interest" for t in rows["timestamp"]} >= {
        STARTS[0], STARTS[5], STARTS[10]
    }  # fmt: skip


@pytest.mark.parametrize("dead", ["funding/history", "open-interest"])
def test_an_endpoint_that_fails_takes_away_no_value_of_another(dead):
    options, listing = hourly()
    loop, exchange = virtual_exchange(FIRST + 55 * MINUTE, **options)
    exchange.inject(Respond(503), on=f"/v5/market/{dead}", times=10_000)
    seen = follow(loop, exchange, 600.0, first=FIRST + 55 * MINUTE, funding=True, open_interest=True)
    [(stamp, rate)] = market.funding(listing, FIRST + HOUR, FIRST + HOUR + 1)
    [bar] = [bar for bar in seen.bars if bar.start == stamp]
    [(_, interest)] = market.open_interest(listing, stamp, stamp, 5 * MINUTE)
    funding_is_dead = dead == "funding/history"
    assert (bar.funding_rate, bar.open_interest) == ((0.0, interest) if funding_is_dead else (rate, 0.0))


@pytest.mark.parametrize(("fault", "most"), [(Respond(503), 1.0), (Hang(100.0), 1.0), (Hang(2.0), 0.0)])
def test_an_endpoint_that_fails_delays_one_bar_and_its_settlement_is_charged_later(fault, most):
    options, listing = hourly()
    begin = FIRST + 58 * MINUTE
    loop, exchange = virtual_exchange(begin, **options)
    exchange.inject(fault, on="/v5/market/funding/history", times=10_000)
    plan = {420.0: exchange.heal}
    seen = follow(loop, exchange, 900.0, first=begin, funding=True, plan=plan)
    late = [(seen.at(bar.start) - bar.start - MINUTE) / 1000 for bar in seen.bars]
    assert len(late) >= 12
    assert max(late) < 15.0
    # Without the fault a pushed bar comes within a second of its close.
    assert sum(delay > 1.0 + most for delay in late) <= 1
    [(stamp, rate)] = market.funding(listing, FIRST + HOUR, FIRST + HOUR + 1)
    charged = {bar.start: bar.funding_rate for bar in seen.bars if bar.funding_rate}
    assert list(charged.values()) == [rate]
    reports = seen.reports("settlement")
    if fault == Hang(2.0):  # slow, but it answers: as without a fault
        assert (list(charged), reports) == ([stamp], [])
    else:
        assert [report.facts["time"] for report in reports] == [stamp]
        assert begin + 420_000 - MINUTE <= min(charged) <= begin + 420_000 + MINUTE


# --- what does not end a feed


def test_one_404_on_a_kline_request_only_delays():
    loop, exchange = virtual_exchange(FIRST + 5_000)
    plan = {200.0: inject(exchange, Respond(404), times=3)}
    seen = follow(loop, exchange, BARS * 60.0, first=FIRST, plan=plan, pushes=False)
    assert [bar.start for bar in seen.bars][: BARS - 1] == STARTS[: BARS - 1]
    assert seen.statuses == ["LIVE", "DISCONNECTED", "LIVE"]


@pytest.mark.parametrize("refuse", [True, False], ids=["refused", "empty answers"])
@pytest.mark.parametrize("pushes", [True, False])
def test_a_delisted_market_is_named_and_waited_for(refuse, pushes):
    loop, exchange = virtual_exchange(FIRST + 5_000)
    listings = exchange.listings
    plan = {310.0: lambda: exchange.delist("BTCUSDT", refuse=refuse)}

    def back():
        exchange.listings = listings
        exchange.ended.clear()

    plan[700.0] = back
    seen = follow(loop, exchange, BARS * 60.0, first=FIRST, plan=plan, pushes=pushes)
    [gone] = [item for item in seen.of(object) if getattr(item, "delisted", False)]
    assert gone.status is Status.DISCONNECTED
    assert "no longer lists BTC/USDT:USDT: it was delisted or renamed" in gone.reason
    # The exchange lists it again: the bars are delivered, late.
    assert [bar.start for bar in seen.bars][:15] == STARTS[:15]
