"""History of Binance through the downloader, store, sources and command line shared by all exchanges."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from feeds import load_bars
from feeds.ccxtdata import CCXTData
from feeds.download.api import fetch
from feeds.errors import BadSource, BadTimeframe, ExchangeUnavailable
from feeds.exchange.registry import EXCHANGES, find_exchange
from feeds.sources import ExchangeSource, parse_source
from feeds.store.keys import SeriesKey
from feeds.store.series_store import read_series
from runs.cli.commands import main
from tests.binance import Refuse
from tests.bybit import DAY, HOUR, Corrupt, Reset, market
from tests.bybit.fixtures import NOW

pytestmark = pytest.mark.timeout(60)

END = NOW // HOUR * HOUR
SINCE = END - 2500 * HOUR
KLINES, FUNDING = "/fapi/v1/klines", "/fapi/v1/fundingRate"


def expected(start=SINCE, end=END, scale=1.0):
    return market.bars("BTCUSDT", np.arange(start, end, HOUR, dtype=np.int64), HOUR, 2**62, scale)


def stored(folder, kind="1h"):
    columns = read_series(folder, SeriesKey("binance", "BTC/USDT:USDT", kind), 0, 2**62).columns
    return np.column_stack([values.astype(float) for values in columns.values()])


def get(binance, folder, since=SINCE, **options):
    options = {"progress": False, "requests_per_second": None, **options}
    return fetch(
        ["BTC/USDT:USDT"], since=since, exchange="binance", base_url=binance.url, data_dir=folder, **options
    )


def test_bars_mark_prices_and_funding_are_the_exchange_s(binance, tmp_path):
    reports = get(binance, tmp_path, funding=True, mark=True)
    assert [(r.kind, r.rows, r.gaps) for r in reports[:2]] == [("bars", 2500, ()), ("mark", 2500, ())]
    np.testing.assert_array_equal(stored(tmp_path), expected())
    np.testing.assert_array_equal(stored(tmp_path, "mark_1h"), expected(scale=1.0002)[:, :5])
    settled = market.funding(binance.listings[0], SINCE - HOUR, NOW)
    assert stored(tmp_path, "funding").tolist() == [[float(stamp), rate] for stamp, rate in settled]
    assert len(binance.requests()) == 3


def test_funding_of_years_is_read_page_by_page_and_loses_nothing(binance, tmp_path):
    since = END - 800 * DAY
    get(binance, tmp_path, since=since, timeframe="1d", funding=True)
    settled = market.funding(binance.listings[0], since - DAY, NOW)
    assert len(settled) > 2000
    assert stored(tmp_path, "funding").tolist() == [[float(stamp), rate] for stamp, rate in settled]
    assert len(binance.requests(FUNDING)) == 3


def test_a_second_run_asks_for_nothing_and_a_later_one_for_the_rest(binance, tmp_path):
    get(binance, tmp_path, funding=True)
    binance.log.clear()
    assert [report.requests for report in get(binance, tmp_path, funding=True)] == [0, 0]
    assert binance.requests() == binance.requests(FUNDING) == []
    binance.clock = NOW + 3 * HOUR
    assert get(binance, tmp_path)[0].new_rows == 3
    np.testing.assert_array_equal(stored(tmp_path), expected(end=END + 3 * HOUR))


def test_a_download_that_fails_goes_on_where_it_stopped(binance, tmp_path):
    binance.inject(Refuse(-1121), skip=2)
    with pytest.raises(Exception, match="rejected the request for"):
        get(binance, tmp_path)
    before = len(binance.requests())
    get(binance, tmp_path)
    assert len(binance.requests()) == before + 1
    np.testing.assert_array_equal(stored(tmp_path), expected())


def test_faults_on_the_way_change_nothing(binance, tmp_path):
    binance.inject(Reset())
    binance.inject(Corrupt(lambda body: body[:99]), skip=1)
    binance.inject(Reset(), on=FUNDING)
    get(binance, tmp_path, funding=True)
    np.testing.assert_array_equal(stored(tmp_path), expected())


def test_a_server_time_in_the_future_stores_no_open_candle(binance, tmp_path):
    ahead = str(NOW + 3 * HOUR).encode()
    binance.inject(Corrupt(lambda body: body.replace(str(NOW).encode(), ahead)), on="/fapi/v1/time")
    get(binance, tmp_path)
    assert stored(tmp_path)[-1, 0] == END - HOUR


def test_history_before_the_listing_is_empty_and_no_error(binance, tmp_path):
    launch = binance.listings[0].launch
    [report] = get(binance, tmp_path, since=launch - 3000 * HOUR, until=launch + 10 * HOUR)
    assert (report.rows, report.first) == (10, launch)


def test_a_weight_above_the_limit_is_an_error_that_keeps_what_came(binance, tmp_path, monkeypatch):
    from feeds.exchange.retry import Retry

    monkeypatch.setattr("feeds.exchange.market.Retry", lambda: Retry(attempts=1))
    binance.weights = 12
    with pytest.raises(ExchangeUnavailable, match="throttled"):
        get(binance, tmp_path)
    assert len(stored(tmp_path)) == 999


def test_a_source_names_binance(binance, tmp_path):
    source = "binance:BTC/USDT:USDT@1h"
    assert parse_source(source) == ExchangeSource(exchange="binance", symbol="BTC/USDT:USDT", timeframe="1h")
    frame = load_bars(source, since=END - 100 * HOUR, data_dir=tmp_path, base_url=binance.url, progress=False)
    np.testing.assert_array_equal(
        frame[["timestamp", "open", "high", "low", "close", "volume"]].to_numpy(), expected(END - 100 * HOUR)
    )
    rates = dict(market.funding(binance.listings[0], END - 101 * HOUR + 1, NOW))
    assert frame["funding_rate"].tolist() == [rates.get(stamp, 0.0) for stamp in frame["timestamp"]]
    assert "open_interest" not in frame
    again = load_bars(source, since=END - 100 * HOUR, until=END, data_dir=tmp_path, offline=True)
    assert again["close"].equals(frame["close"])


def test_fetch_on_the_command_line(binance, tmp_path):
    command = ["fetch", "BTC/USDT:USDT", "--exchange", "binance", "--base-url", binance.url]
    command += ["--since", "2024-06-29", "--data-dir", str(tmp_path), "--json", "--mark"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    series = json.loads(done.stdout)["series"]
    assert [(row["kind"], row["rows"]) for row in series] == [("bars", 36), ("mark", 36)]


def test_open_interest_is_refused_in_one_line(binance, tmp_path):
    command = ["fetch", "BTC/USDT:USDT", "--exchange", "binance", "--base-url", binance.url]
    done = CliRunner().invoke(main, [*command, "--since", "2024-06-29", "--open-interest"])
    assert done.exit_code == 2
    assert "binance offers no history of open interest: the exchange keeps it for 30 days only" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert binance.log == []


def test_live_is_refused_in_one_line(tmp_path):
    asked = ["live", "--model", str(tmp_path), "--symbol", "BTC/USDT:USDT", "--exchange", "binance"]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 2
    assert "binance offers no live bars" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_live_feed_is_refused_and_a_historical_one_is_not():
    with pytest.raises(BadSource, match="binance offers no live bars"):
        CCXTData(dataname="BTC/USDT:USDT", exchange="binance")
    CCXTData(dataname="BTC/USDT:USDT", exchange="binance", historical=True)


def test_an_unknown_exchange_is_an_error_with_a_hint(tmp_path):
    with pytest.raises(
        BadSource, match=r"expected one of bybit, binance; found 'binanc'; did you mean 'binance'\?"
    ):
        fetch(["BTC/USDT:USDT"], since=SINCE, exchange="binanc", data_dir=tmp_path)
    with pytest.raises(BadSource, match="did you mean 'binance'"):
        parse_source("binanse:BTC/USDT:USDT@1h")


@pytest.mark.parametrize("name", list(EXCHANGES))
def test_capabilities_are_what_an_exchange_does(name):
    from feeds.exchange.access import Access

    exchange = find_exchange(name)
    assert exchange.name == exchange.failure_rules.exchange == name
    if not exchange.capabilities.stream:
        with pytest.raises(BadSource):
            exchange.stream()
    if not exchange.capabilities.orders:
        with pytest.raises(BadSource):
            exchange.orders(Access())
    with pytest.raises(BadTimeframe):
        parse_source(f"{name}:BTC/USDT:USDT@7m")
