"""A download loses no rows, invents no rows and requests no rows twice."""

import asyncio
import itertools
import signal

import numpy as np
import pandas as pd
import pytest

from feeds.bybit.market import AsyncBybit
from feeds.download.api import ensure, fetch
from feeds.download.downloader import Downloader, Wanted
from feeds.download.task_pool import run
from feeds.errors import (
    BadSource,
    BadSymbol,
    BadTimeframe,
    ExchangeBanned,
    ExchangeRejected,
    ExchangeUnavailable,
    MissingData,
)
from feeds.store.keys import SeriesKey, series_path
from feeds.store.series_store import check, list_series, read_series
from tests.bybit import DAY, HOUR, Listing, LoopbackBybit, Mutate, Reset, Respond, RetCode, market
from tests.bybit.fixtures import NOW

END = NOW // HOUR * HOUR  # the open candle starts here
SINCE = END - 2500 * HOUR
FUNDING, OPEN_INTEREST = "/v5/market/funding/history", "/v5/market/open-interest"
LAUNCH = 1_640_995_200_000


def expected(start, end, symbol="BTCUSDT", step=HOUR):
    return market.bars(symbol, np.arange(start, end, step, dtype=np.int64), step, 2**62)


def stored(folder, symbol="BTC/USDT:USDT", kind="1h", start=0, end=2**62):
    columns = read_series(folder, SeriesKey("bybit", symbol, kind), start, end).columns
    return np.column_stack([values.astype(float) for values in columns.values()])


def tree(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name != ".lock"
    }


def table(rows):
    return [(int(a), b) for a, b in rows.tolist()]


@pytest.fixture
def download(bybit, instant_retry, tmp_path):
    """Return a function that downloads bars of BTC with a client without real pauses."""

    def bring(since=SINCE, **changes):
        async def go():
            settings = {"base_url": bybit.url, "requests_per_second": None, "retry": instant_retry(**changes)}
            async with AsyncBybit(**settings) as client:
                btc = await client.instrument("BTC/USDT:USDT")
                loader = Downloader(client, tmp_path, now=await client.server_time(), progress=False)
                bars = Wanted(instrument=btc, kind="bars", timeframe="1h", since=since, until=None)
                return (await loader.download([bars]))[0]

        return run(go())

    return bring


def get(bybit, folder, symbols=("BTC/USDT:USDT",), since=SINCE, **options):
    return fetch(list(symbols), since=since, base_url=bybit.url, data_dir=folder, progress=False, **options)


def test_2500_bars_take_three_requests_and_are_the_exchange_s(bybit, tmp_path):
    [report] = get(bybit, tmp_path)
    assert len(bybit.requests()) == report.requests == 3
    np.testing.assert_array_equal(stored(tmp_path), expected(SINCE, END))
    assert (report.symbol, report.timeframe, report.kind) == ("BTC/USDT:USDT", "1h", "bars")
    assert (report.rows, report.new_rows, report.gaps) == (2500, 2500, ())
    assert (report.first, report.last) == (SINCE, END - HOUR)
    assert report.path == series_path(tmp_path, SeriesKey("bybit", "BTC/USDT:USDT", "1h"))


@pytest.mark.parametrize("bars", [1, 999, 1000, 1001, 2000])
def test_requests_are_the_missing_bars_by_thousands(bybit, tmp_path, bars):
    get(bybit, tmp_path, since=END - bars * HOUR)
    assert len(bybit.requests()) == -(-bars // 1000)


def test_the_second_run_asks_for_nothing(bybit, tmp_path):
    get(bybit, tmp_path, funding=True, open_interest=True)
    before = tree(tmp_path)
    bybit.log.clear()
    reports = get(bybit, tmp_path, funding=True, open_interest=True)
    assert [report.requests for report in reports] == [0, 0, 0]
    assert [report.new_rows for report in reports] == [0, 0, 0]
    assert {request.path for request in bybit.log} == {"/v5/market/time", "/v5/market/instruments-info"}
    assert tree(tmp_path) == before


def test_the_open_candle_is_stored_when_it_has_closed(bybit, tmp_path):
    get(bybit, tmp_path, since=END - 3 * HOUR)
    assert stored(tmp_path)[-1, 0] == END - HOUR
    bybit.clock = NOW + HOUR
    get(bybit, tmp_path, since=END - 3 * HOUR)
    np.testing.assert_array_equal(stored(tmp_path), expected(END - 3 * HOUR, END + HOUR))
    # The page with the new bar also contains the last stored bars.
    query = bybit.requests()[-1].query
    assert (query["start"], query["end"]) == (str(END - 3 * HOUR), str(END))


def test_closed_is_judged_by_the_exchange_s_clock(bybit, tmp_path):
    bybit.clock = END + HOUR - 1
    get(bybit, tmp_path, since=END - HOUR)
    assert stored(tmp_path)[-1, 0] == END - HOUR
    bybit.clock = END + HOUR
    get(bybit, tmp_path, since=END - HOUR)
    assert stored(tmp_path)[-1, 0] == END


def test_since_is_inclusive_and_until_exclusive(bybit, tmp_path):
    get(bybit, tmp_path, since="2024-06-01T00:30", until="2024-06-02")
    rows = stored(tmp_path)
    assert rows[0, 0] == 1_717_200_000_000 + HOUR
    assert rows[-1, 0] == 1_717_200_000_000 + 23 * HOUR


def test_earlier_data_extends_the_store_without_the_rest(bybit, tmp_path):
    get(bybit, tmp_path, since=END - 1500 * HOUR)
    bybit.log.clear()
    [report] = get(bybit, tmp_path, since=END - 4000 * HOUR, until=END - 100 * HOUR)
    assert len(bybit.requests()) == 3
    assert max(int(request.query["end"]) for request in bybit.requests()) < END - 1500 * HOUR
    assert (report.new_rows, report.rows) == (2500, 3900)
    np.testing.assert_array_equal(stored(tmp_path), expected(END - 4000 * HOUR, END))


def test_only_a_hole_between_two_downloads_is_asked_for(bybit, tmp_path):
    get(bybit, tmp_path, since=END - 900 * HOUR, until=END - 600 * HOUR)
    get(bybit, tmp_path, since=END - 300 * HOUR)
    bybit.log.clear()
    get(bybit, tmp_path, since=END - 900 * HOUR)
    [request] = bybit.requests()
    assert (request.query["start"], request.query["end"]) == (str(END - 605 * HOUR), str(END - 301 * HOUR))


@pytest.mark.parametrize("pages", range(6))
def test_an_interrupted_download_resumes_to_the_same_bytes(bybit, tmp_path, pages):
    since = END - 5200 * HOUR
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    get(bybit, whole, since=since)
    bybit.inject(RetCode(10001), skip=pages)
    with pytest.raises(ExchangeRejected):
        get(bybit, broken, since=since)
    lacking = 5200 - len(stored(broken))
    assert 200 <= lacking <= 5200 - 1000 * min(pages, 1)
    bybit.log.clear()
    get(bybit, broken, since=since)
    assert len(bybit.requests()) == -(-lacking // 1000)
    assert tree(broken) == tree(whole)


def test_an_exchange_that_cannot_be_reached_is_named_with_the_reason(instant_retry):
    async def ask():
        async with AsyncBybit(base_url="http://127.0.0.1:1", retry=instant_retry()) as client:
            await client.server_time()

    with pytest.raises(ExchangeUnavailable, match=r"127\.0\.0\.1:1.*(Connect|refused)"):
        run(ask())


@pytest.fixture
def _interruptible():
    """Let SIGINT raise KeyboardInterrupt; a shell makes background processes ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_ctrl_c_keeps_what_came(download, bybit, tmp_path):
    async def interrupt(seconds):
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(60)

    bybit.inject(RetCode(10016), skip=1, times=2)
    with pytest.raises(KeyboardInterrupt):
        download(asleep=interrupt)
    np.testing.assert_array_equal(stored(tmp_path), expected(SINCE, SINCE + 1000 * HOUR))
    bybit.heal()
    bybit.log.clear()
    download()
    assert len(bybit.requests()) == 2
    np.testing.assert_array_equal(stored(tmp_path), expected(SINCE, END))


def test_a_bad_page_is_never_stored(download, bybit, tmp_path):
    def poison(result):
        if int(result["list"][-1][0]) == SINCE + 1000 * HOUR:
            result["list"][500][4] = "NaN"
        return result

    bybit.inject(Mutate(poison), times=99)
    with pytest.raises(ExchangeUnavailable, match="'close': expected a finite number, found 'NaN'"):
        download()
    good = np.vstack([expected(SINCE, SINCE + 1000 * HOUR), expected(SINCE + 2000 * HOUR, END)])
    np.testing.assert_array_equal(stored(tmp_path), good)
    bybit.heal()
    bybit.log.clear()
    download()
    assert len(bybit.requests()) == 1
    np.testing.assert_array_equal(stored(tmp_path), expected(SINCE, END))


def test_faults_on_every_page_change_nothing_but_the_requests(download, bybit, tmp_path, slept):
    for fault in (Reset(), RetCode(10016), Respond(200, b""), Respond(503), Respond(200, b"<html>")):
        bybit.inject(fault)
    assert download().requests == len(bybit.requests())
    np.testing.assert_array_equal(stored(tmp_path), expected(SINCE, END))
    assert len(bybit.requests()) == 3 + 5 == 3 + len(slept)


def test_a_gap_is_requested_twice_then_recorded_and_reported(bybit, tmp_path):
    bybit.lose_bars("BTCUSDT", [SINCE + k * HOUR for k in (700, 701, 1500)])
    [report] = get(bybit, tmp_path)
    assert report.requests == 3 + 2
    assert [(gap.start, gap.end, gap.missing) for gap in report.gaps] == [
        (SINCE + 700 * HOUR, SINCE + 702 * HOUR, 2),
        (SINCE + 1500 * HOUR, SINCE + 1501 * HOUR, 1),
    ]
    assert report.rows == 2497
    assert get(bybit, tmp_path)[0].requests == 0


def test_bars_that_the_first_look_missed_are_stored(bybit, tmp_path):
    looks = []

    def late(result):
        first = int(result["list"][-1][0])
        looks.append(first)
        return {**result, "list": result["list"] if looks.count(first) > 1 else result["list"][:-300]}

    bybit.inject(Mutate(late), times=99)
    [report] = get(bybit, tmp_path)
    assert report.gaps == ()
    assert sorted(looks) == sorted(2 * [SINCE, SINCE + 1000 * HOUR, SINCE + 2000 * HOUR])
    np.testing.assert_array_equal(stored(tmp_path), expected(SINCE, END))


def test_two_responses_that_disagree_are_an_error_that_names_the_bar(bybit, tmp_path):
    def drop(result):
        return {**result, "list": result["list"][1:]}

    def revise(result):
        result["list"][-1][5] = "1"
        return result

    bybit.inject(Mutate(drop))
    bybit.inject(Mutate(revise))
    with pytest.raises(ExchangeUnavailable, match="two different rows for 2024-03-18T08:00:00Z"):
        get(bybit, tmp_path)


def test_a_halt_longer_than_a_page_is_a_hole_not_the_end(bybit, tmp_path):
    bybit.lose_bars("BTCUSDT", [SINCE + k * HOUR for k in range(100, 2300)])
    days = range(-(-(SINCE + 100 * HOUR) // DAY), (SINCE + 2300 * HOUR) // DAY)
    bybit.lose_bars("BTCUSDT", [day * DAY for day in days], step=DAY)
    [report] = get(bybit, tmp_path)
    assert report.rows == 300
    assert [gap.missing for gap in report.gaps] == [2200]
    assert get(bybit, tmp_path)[0].requests == 0


def test_the_newest_bars_may_come_late(bybit, tmp_path):
    late = [END - HOUR, END - 2 * HOUR]
    bybit.lose_bars("BTCUSDT", late)
    assert get(bybit, tmp_path)[0].last == END - 3 * HOUR
    bybit.missing.clear()
    assert get(bybit, tmp_path)[0].last == END - HOUR


def test_before_the_listing_there_is_nothing_to_ask_twice(bybit, tmp_path):
    bybit.listings.append(Listing("LATEUSDT", "LATE", "USDT", launch=END - 1400 * HOUR))
    [report] = get(bybit, tmp_path, ["LATEUSDT"], since="2017-01-01")
    assert (report.rows, report.first) == (1400, END - 1400 * HOUR)
    # One empty page, three of daily bars to find the listing, two of bars, and one more for the first day.
    assert report.requests == 1 + 3 + 2 + 1
    before = tree(tmp_path)
    assert get(bybit, tmp_path, ["LATEUSDT"], since="2017-01-01")[0].requests == 0
    assert tree(tmp_path) == before


def test_bars_older_than_the_announced_launch_are_not_lost(bybit, tmp_path):
    bybit.listings[0] = Listing("BTCUSDT", "BTC", "USDT", announced=LAUNCH + 5 * DAY)
    [report] = get(bybit, tmp_path, since="2021-12-01", until="2022-02-01")
    assert report.first == LAUNCH


def test_a_symbol_without_any_bar_yet_has_none(bybit, tmp_path):
    bybit.listings.append(Listing("NEXTUSDT", "NEXT", "USDT", status="PreLaunch", launch=NOW + DAY))
    [report] = get(bybit, tmp_path, ["NEXTUSDT"])
    assert (report.rows, report.first) == (0, None)
    with pytest.raises(MissingData, match="has no 1h bars of NEXT/USDT:USDT"):
        ensure("NEXTUSDT", "1h", SINCE, END, data_dir=tmp_path, base_url=bybit.url, progress=False)


def test_a_banned_download_keeps_what_came_and_stops(tmp_path):
    symbols = ["BTC/USDT:USDT", "ETH/USDT:USDT", "BTC/USD:BTC"]
    options = {"timeframe": "5m", "since": END - 90 * DAY}
    with LoopbackBybit(clock=NOW, limit=(40, 60.0)) as exchange:
        with pytest.raises(ExchangeBanned, match="run the same command again in 10 minutes or later"):
            get(exchange, tmp_path, symbols, **options)
        # 78 pages were needed. The requests in flight at the ban were refused too, and no other was sent.
        refused = [request for request in exchange.log if request.status == 403]
        assert 1 <= len(refused) <= 32
        assert len(exchange.log) == 40 + len(refused)
        kept = sum(info.rows for info in list_series(tmp_path))
        assert kept > 1000 * (40 - 5 - 32)
        exchange.heal()
        exchange.log.clear()
        exchange.limit = (600, 5.0)
        get(exchange, tmp_path, symbols, **options)
        assert kept + 1000 * len(exchange.requests()) >= 3 * 90 * 288
    for symbol, market_id in zip(symbols, ("BTCUSDT", "ETHUSDT", "BTCUSD"), strict=True):
        rows = stored(tmp_path, symbol, "5m")
        np.testing.assert_array_equal(rows, expected(END - 90 * DAY, END + 30 * 60_000, market_id, 300_000))


def test_minutes_are_stored_by_month(bybit, tmp_path):
    since = 1_717_200_000_000 - 90 * 60_000
    [report] = get(bybit, tmp_path, since=since, until=since + 180 * 60_000, timeframe="1m")
    assert sorted(path.name for path in report.path.glob("*.parquet")) == [
        "2024-05.parquet",
        "2024-06.parquet",
    ]
    np.testing.assert_array_equal(
        stored(tmp_path, kind="1m"), expected(since, since + 180 * 60_000, step=60_000)
    )


def test_funding_is_whole_whatever_its_interval(bybit, tmp_path):
    since, until = LAUNCH + 400 * DAY, LAUNCH + 700 * DAY
    report = get(bybit, tmp_path, ["SOLUSDT"], since=since, until=until, funding=True)[1]
    settled = market.funding(bybit.listings[2], since - HOUR, until - 1)
    assert table(stored(tmp_path, "SOL/USDT:USDT", "funding")) == settled
    assert {b[0] - a[0] for a, b in itertools.pairwise(settled)} == {2 * HOUR, 8 * HOUR}
    assert report.requests == len(bybit.requests(FUNDING)) == -(-len(settled) // 200)


def test_funding_before_the_listing_is_verified_once(bybit, tmp_path):
    get(bybit, tmp_path, ["NEWUSDT"], since="2023-01-01", funding=True)
    assert table(stored(tmp_path, "NEW/USDT:USDT", "funding")) == market.funding(bybit.listings[4], 0, NOW)
    assert get(bybit, tmp_path, ["NEWUSDT"], since="2023-01-01", funding=True)[1].requests == 0


def test_funding_resumes_after_an_interruption(bybit, tmp_path):
    since = END - 500 * DAY
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    get(bybit, whole, since=since, funding=True)
    for pages in range(2):
        bybit.inject(RetCode(10001), on=FUNDING, skip=pages)
        with pytest.raises(ExchangeRejected):
            get(bybit, broken, since=since, funding=True)
        bybit.heal()
    get(bybit, broken, since=since, funding=True)
    assert tree(broken) == tree(whole)


def test_a_settlement_not_published_yet_is_not_recorded_as_missing(bybit, tmp_path):
    hour = NOW // (8 * HOUR) * (8 * HOUR)
    bybit.clock = hour + 60_000
    bybit.inject(Mutate(lambda result: {**result, "list": result["list"][1:]}), on=FUNDING)
    key = SeriesKey("bybit", "BTC/USDT:USDT", "funding")
    get(bybit, tmp_path, since=END - DAY, funding=True)
    assert read_series(tmp_path, key, 0, 2**62).covered[-1][1] == hour
    assert stored(tmp_path, kind="funding")[-1, 0] == hour - 8 * HOUR
    get(bybit, tmp_path, since=END - DAY, funding=True)
    assert stored(tmp_path, kind="funding")[-1, 0] == hour
    # A missing settlement is recorded only some time after the full hour.
    for minutes, known in ((61, 60), (95, 95)):
        bybit.clock = hour + minutes * 60_000
        get(bybit, tmp_path, since=END - DAY, funding=True)
        assert read_series(tmp_path, key, 0, 2**62).covered[-1][1] == hour + known * 60_000


def test_open_interest_is_paged_by_200(bybit, tmp_path):
    report = get(bybit, tmp_path, since=END - 900 * HOUR, open_interest=True)[1]
    assert report.requests == len(bybit.requests(OPEN_INTEREST)) == 5
    values = market.open_interest(bybit.listings[0], END - 900 * HOUR, END - 1, HOUR)
    assert table(stored(tmp_path, kind="open_interest_1h")) == values


@pytest.mark.parametrize(("timeframe", "kind"), [("1m", "5m"), ("2h", "1h"), ("12h", "4h"), ("1d", "1d")])
def test_open_interest_is_kept_as_often_as_the_bars_need(bybit, tmp_path, timeframe, kind):
    get(bybit, tmp_path, since=END - 6 * DAY, until=END - 4 * DAY, timeframe=timeframe, open_interest=True)
    assert {info.key.kind for info in list_series(tmp_path)} == {timeframe, f"open_interest_{kind}"}


def test_spot_has_bars_only(bybit, tmp_path):
    reports = get(bybit, tmp_path, ["BTC/USDT"], funding=True, open_interest=True)
    assert [report.kind for report in reports] == ["bars"]
    assert bybit.requests()[0].query["category"] == "spot"


def test_a_wrong_symbol_stops_before_anything_is_downloaded(bybit, tmp_path):
    with pytest.raises(BadSymbol, match="did you mean"):
        get(bybit, tmp_path, ["BTC/USDT:USDT", "ETHUSTD"])
    assert bybit.requests() == []
    assert list(tmp_path.iterdir()) == []


def test_one_symbol_by_two_names_is_downloaded_once(bybit, tmp_path):
    assert len(get(bybit, tmp_path, ["BTCUSDT", "BTC/USDT:USDT"])) == 1


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"timeframe": "7m"}, BadTimeframe, "unknown timeframe '7m'"),
        ({"timeframe": "1w"}, BadTimeframe, "weeks and months"),
        ({"since": "2024-02-01", "until": "2024-01-01"}, BadSource, "since < until"),
        ({"since": "yesterday"}, BadSource, "expected a date"),
        ({"exchange": "bibyt"}, BadSource, "did you mean 'bybit'"),
        ({"symbols": []}, BadSource, "list of symbols"),
    ],
)
def test_usage_errors_come_before_any_request(bybit, tmp_path, options, error, text):
    arguments = {
        "symbols": ["BTCUSDT"],
        "since": SINCE,
        "data_dir": tmp_path,
        "base_url": bybit.url,
        **options,
    }
    with pytest.raises(error, match=text):
        fetch(arguments.pop("symbols"), **arguments)
    assert bybit.log == []


def test_one_symbol_is_still_a_list(bybit, tmp_path):
    with pytest.raises(BadSource, match="list of symbols"):
        fetch("BTCUSDT", since=SINCE, base_url=bybit.url, data_dir=tmp_path)


def test_the_future_has_no_bars(bybit, tmp_path):
    with pytest.raises(BadSource, match=r"in the past.*2024-06-30T12:34:56.789Z"):
        get(bybit, tmp_path, since=NOW + HOUR)


def test_progress_goes_to_stderr_and_can_be_off(bybit, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("scorenet.base.terminal.progress.EVERY_SECONDS", 0.0)
    get(bybit, tmp_path, since=END - 5 * HOUR)
    assert capsys.readouterr() == ("", "")
    fetch(["ETHUSDT"], since=END - 5 * HOUR, base_url=bybit.url, data_dir=tmp_path)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "ETH/USDT:USDT 1h: " in printed.err


def test_a_corrupt_file_is_downloaded_again_and_only_it(bybit, tmp_path):
    since = LAUNCH + 300 * DAY
    [report] = get(bybit, tmp_path, since=since)
    before = tree(tmp_path)
    victim = report.path / "2023.parquet"
    victim.write_bytes(victim.read_bytes()[:-9])
    bybit.log.clear()
    get(bybit, tmp_path, since=since)
    assert len(bybit.requests()) == 9
    after = tree(tmp_path)
    [aside] = set(after) - set(before)
    assert aside.endswith("2023.parquet.corrupt")
    assert {name: after[name] for name in before} == before
    assert check(tmp_path) == []


def load(bybit, folder, symbol="BTC/USDT:USDT", since=SINCE, until=END, **options):
    return ensure(symbol, "1h", since, until, data_dir=folder, base_url=bybit.url, progress=False, **options)


def changed_value(content):
    at = len(content) // 5
    return content[:at] + bytes([content[at] ^ 0x40]) + content[at + 1 :]


def cut_short(content):
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    ("kind", "damage"),
    [
        ("1h", changed_value),
        ("funding", changed_value),
        ("funding", cut_short),
        ("open_interest_1h", cut_short),
    ],
)
def test_what_a_damaged_file_has_lost_is_downloaded_again_or_an_error_and_never_left_out(
    bybit, tmp_path, kind, damage
):
    since = END - 300 * HOUR
    get(bybit, tmp_path, since=since, funding=True, open_interest=True, mark=True)
    whole = load(bybit, tmp_path, since=since, mark=True)
    victim = tmp_path / "bybit" / "BTC_USDT-USDT" / kind / "2024.parquet"
    victim.write_bytes(damage(victim.read_bytes()))
    for _ in range(2):  # the first reading moves the file aside
        with pytest.raises(MissingData, match="get them"):
            load(bybit, tmp_path, since=since, mark=True, offline=True)
    pd.testing.assert_frame_equal(load(bybit, tmp_path, since=since, mark=True), whole)
    victim.write_bytes(damage(victim.read_bytes()))
    pd.testing.assert_frame_equal(load(bybit, tmp_path, since=since, mark=True), whole)
    pd.testing.assert_frame_equal(load(bybit, tmp_path, since=since, mark=True, offline=True), whole)


def test_a_range_taken_from_the_store_is_not_shorter_because_a_file_is_damaged(bybit, tmp_path):
    [report] = get(bybit, tmp_path, since=LAUNCH + 300 * DAY)
    victim = report.path / "2024.parquet"
    victim.write_bytes(cut_short(victim.read_bytes()))
    for name in ("2024.parquet", "2024.parquet.corrupt"):
        with pytest.raises(MissingData, match=f"{name} is damaged; get them again with: scorenet fetch"):
            load(bybit, tmp_path, since=None, until=None, offline=True)
        stored(tmp_path)  # moves the file aside
    victim.with_name("2024.parquet.corrupt").unlink()
    assert len(
        load(bybit, tmp_path, since=None, until=None, offline=True, funding=False, open_interest=False)
    )


def test_ensure_downloads_what_is_missing_and_joins_it(bybit, tmp_path):
    frame = load(bybit, tmp_path)
    assert list(frame.columns) == [
        "timestamp", "open", "high", "low", "close", "volume", "funding_rate", "open_interest",
    ]  # fmt: skip
    np.testing.assert_array_equal(frame.iloc[:, :6].to_numpy(dtype=float), expected(SINCE, END))
    settled = dict(market.funding(bybit.listings[0], SINCE - HOUR + 1, END - HOUR))
    rates = {int(t): r for t, r in zip(frame["timestamp"], frame["funding_rate"], strict=True) if r}
    assert rates == {t: r for t, r in settled.items() if r}
    values = dict(market.open_interest(bybit.listings[0], SINCE, END, HOUR))
    assert frame["open_interest"].tolist() == [values[t] for t in frame["timestamp"]]
    assert frame.attrs == {
        "symbol": "BTC/USDT:USDT", "timeframe": "1h", "source": "bybit:BTC/USDT:USDT@1h",
    }  # fmt: skip


def test_ensure_asks_nobody_for_what_is_stored(bybit, tmp_path):
    first = load(bybit, tmp_path)
    bybit.log.clear()
    for symbol in ("BTC/USDT:USDT", "BTCUSDT"):
        assert load(bybit, tmp_path, symbol).equals(first)
    assert load(bybit, tmp_path, offline=True).equals(first)
    assert bybit.log == []


def test_ensure_can_leave_funding_and_open_interest_out(bybit, tmp_path):
    frame = load(bybit, tmp_path, funding=False, open_interest=False)
    assert list(frame.columns) == ["timestamp", "open", "high", "low", "close", "volume"]
    assert bybit.requests(FUNDING) == bybit.requests(OPEN_INTEREST) == []


def test_open_ends_mean_what_is_stored_or_now(bybit, tmp_path):
    load(bybit, tmp_path, until=END - 500 * HOUR)
    offline = load(bybit, tmp_path, since=None, until=None, offline=True)
    assert (offline["timestamp"].iloc[0], offline["timestamp"].iloc[-1]) == (SINCE, END - 501 * HOUR)
    online = load(bybit, tmp_path, since=None, until=None)
    assert (online["timestamp"].iloc[0], online["timestamp"].iloc[-1]) == (SINCE, END - HOUR)


def test_a_date_is_enough_whatever_is_stored(bybit, tmp_path):
    for folder in (tmp_path / "empty", tmp_path / "old"):
        if folder.name == "old":
            load(bybit, folder, until=END - 500 * HOUR)
        frame = load(bybit, folder, since=END - 9 * HOUR, until=None)
        assert frame["timestamp"].tolist() == list(range(END - 9 * HOUR, END, HOUR))
    with pytest.raises(BadSource, match="in the past"):
        load(bybit, tmp_path, since=NOW + HOUR, until=None)


def test_open_ends_of_nothing_are_an_error(bybit, tmp_path):
    with pytest.raises(
        MissingData, match="scorenet fetch BTC/USDT:USDT --exchange bybit --timeframe 1h --since DATE"
    ):
        load(bybit, tmp_path, since=None)
    assert bybit.log == []


def test_offline_names_what_is_missing_and_how_to_get_it(bybit, tmp_path):
    load(bybit, tmp_path, since=END - 900 * HOUR)
    with pytest.raises(MissingData) as missing:
        load(bybit, tmp_path, since=END - 1000 * HOUR, offline=True)
    assert "from 2024-05-19T20:00:00Z to 2024-05-24T00:00:00Z are not stored" in str(missing.value)
    assert (
        "scorenet fetch BTC/USDT:USDT --exchange bybit --timeframe 1h --since 2024-05-19T20:00:00Z "
        "--until 2024-05-24T00:00:00Z --funding --open-interest --data-dir"
    ) in str(missing.value)


def test_offline_does_not_miss_what_was_never_fetched(bybit, tmp_path):
    get(bybit, tmp_path)
    assert "funding_rate" not in load(bybit, tmp_path, offline=True)


def test_offline_misses_funding_that_covers_a_part(bybit, tmp_path):
    get(bybit, tmp_path, since=END - 100 * HOUR, funding=True)
    get(bybit, tmp_path)
    with pytest.raises(MissingData, match="funding of BTC/USDT:USDT from 2024-03-18T07:00:00Z"):
        load(bybit, tmp_path, offline=True)


def test_a_delisted_symbol_is_still_read_offline(bybit, tmp_path):
    first = load(bybit, tmp_path)
    bybit.listings.pop(0)
    assert load(bybit, tmp_path, offline=True).equals(first)
    with pytest.raises(BadSymbol, match=r"no longer lists 'BTC/USDT:USDT'.*\(1h, .*--offline"):
        load(bybit, tmp_path, since=SINCE - DAY)


def test_ensure_on_spot_needs_no_funding(bybit, tmp_path):
    frame = load(bybit, tmp_path, "BTC/USDT")
    assert "funding_rate" not in frame
    bybit.log.clear()
    load(bybit, tmp_path, "BTC/USDT")
    assert bybit.log == []


@pytest.mark.parametrize("lost", [slice(0, 5), slice(10, 15), slice(0, 90)])
def test_an_answer_that_lacks_settlements_is_asked_for_again(bybit, tmp_path, lost):
    """The rates of the lost ones would be 0 for ever: no later download asks for what was answered."""
    bybit.inject(Mutate(lambda result: {**result, "list": without(result["list"], lost)}), on=FUNDING)
    report = get(bybit, tmp_path, since=END - 30 * DAY, funding=True)[1]
    assert (report.rows, report.requests, report.gaps) == (90, 2, ())
    settled = market.funding(bybit.listings[0], END - 30 * DAY - HOUR + 1, END)
    assert table(stored(tmp_path, kind="funding")) == settled


def without(rows, lost):
    return [row for row in rows if row not in rows[lost]]


def test_settlements_that_two_answers_lack_are_said_wherever_they_are_used(bybit, tmp_path, caplog):
    bybit.inject(
        Mutate(lambda result: {**result, "list": without(result["list"], slice(10, 15))}), on=FUNDING, times=2
    )
    report = get(bybit, tmp_path, since=END - 30 * DAY, funding=True)[1]
    [hole] = report.gaps
    # NOW is 2024-06-30T12:34; the newest of 90 is at 08:00, and rows 10 to 14 before it are lost.
    newest = NOW // (8 * HOUR) * (8 * HOUR)
    assert (hole.start, hole.end, hole.missing) == (newest - 14 * 8 * HOUR, newest - 9 * 8 * HOUR, 5)
    ensure("BTC/USDT:USDT", "1h", END - 30 * DAY, END, data_dir=tmp_path, offline=True, progress=False)
    assert "BTC/USDT:USDT: no settlement is known from 2024-06-" in caplog.text
    assert "the account pays none there. To ask again, delete" in caplog.text


def test_of_the_last_day_no_answer_without_settlements_is_believed(bybit, tmp_path):
    empty = Mutate(lambda result: {**result, "list": []})
    bybit.inject(empty, on=FUNDING, times=2)
    get(bybit, tmp_path, since=END - 30 * DAY, funding=True)
    covered = read_series(tmp_path, SeriesKey("bybit", "BTC/USDT:USDT", "funding"), 0, 2**62).covered
    assert covered[-1][1] <= NOW - DAY
    get(bybit, tmp_path, since=END - 30 * DAY, funding=True)
    assert len(stored(tmp_path, kind="funding")) == 3
