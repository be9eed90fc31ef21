"""Binance (USD-M perpetuals): its capabilities, the request of each endpoint, and the parsing of the responses."""

from typing import Any

import numpy as np

from ..bars.timeframes import to_ms
from ..bars.times import iso
from ..errors import BadSource
from ..exchange.failures import Malformed
from ..exchange.protocol import Capabilities, Exchange
from ..exchange.request import Call, Flow, Request
from ..exchange.rows import Table, read_timestamp, select
from ..instruments import Instrument
from .parse import parse_funding, parse_instrument, parse_klines
from .wire import CCXT_RULES, FAILURE_RULES

__all__ = ["EXCHANGE", "FUNDING_LIMIT", "KLINE_LIMIT", "BinanceExchange"]

# One bar more than needed is requested. A request for 1000 bars has half the weight of one for 1500, the maximum.
KLINE_LIMIT = 999
FUNDING_LIMIT = 1000

_MINUTE_MS = 60_000


class BinanceExchange(Exchange):
    """Binance USD-M perpetuals: history of bars, mark prices and funding."""

    name = "binance"
    capabilities = Capabilities(
        categories=("linear",),
        timeframes=("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d"),
        kline_limit=KLINE_LIMIT,
        funding_limit=FUNDING_LIMIT,
        funding_newest_first=False,
        open_interest_limit=0,
        # A weight of 36 per second is at most 2196 in any 61 s; the exchange allows 2400 per minute.
        requests_per_second=36.0,
        mark_prices=True,
        open_interest=False,
        stream=False,
        orders=False,
        missing={
            "open_interest": "the exchange keeps it for 30 days only; leave it out",
            "stream": "this version reads its history only",
            "orders": "this version reads its history only",
        },
    )
    ccxt_rules = CCXT_RULES
    failure_rules = FAILURE_RULES

    def server_time(self) -> Request[int]:
        """Request the exchange's time in UTC ms."""
        return Request("the time", _time)

    def instruments(self, category: str) -> Request[dict[str, Instrument]]:
        """Request the linear perpetuals by symbol, including those not launched yet."""

        def flow() -> Flow[dict[str, Instrument]]:
            listed = yield lambda client: client.fapiPublicGetExchangeInfo()
            adjusted = yield lambda client: client.fapiPublicGetFundingInfo()
            hours = _funding_hours(adjusted)
            parsed = [parse_instrument(row, hours) for row in listed["symbols"]]
            found = {instrument.symbol: instrument for instrument in parsed if instrument is not None}
            if not found:
                raise Malformed("expected instruments, found none")
            return found

        return Request(f"{category} instruments", flow)

    def klines(
        self, instrument: Instrument, timeframe: str, start: int, end: int, *, closed_for: int | None = None
    ) -> Request[Table]:
        """Request the bars that open in [start, end); the range is at most KLINE_LIMIT bars wide.

        With `closed_for`, only bars that closed at least `closed_for` ms before the response are returned. Without it,
        the bar that is still open is included.

        Raises:
            BadSource: the range is not on the grid, empty, or too wide.
        """
        query, window = _kline_query(instrument, timeframe, start, end)
        what = f"{timeframe} bars of {instrument.symbol} from {iso(start)}"
        return Request(
            what, lambda: _bars(lambda client: client.fapiPublicGetKlines(query), window, closed_for)
        )

    def mark_klines(
        self, instrument: Instrument, timeframe: str, start: int, end: int, *, closed_for: int | None = None
    ) -> Request[Table]:
        """Request the bars of the mark price that open in [start, end); as `klines`, but without volume."""
        query, window = _kline_query(instrument, timeframe, start, end)
        what = f"{timeframe} mark price of {instrument.symbol} from {iso(start)}"

        def call(client: Any) -> Any:
            return client.fapiPublicGetMarkPriceKlines(query)

        return Request(what, lambda: _bars(call, window, closed_for, mark=True))

    def funding(self, instrument: Instrument, start: int, end: int) -> Request[Table]:
        """Request the oldest settlements in [start, end), at most FUNDING_LIMIT."""
        # Binance's timestamps are some milliseconds after the full minute, so whole minutes are requested.
        first, last = (-(-stamp // _MINUTE_MS) * _MINUTE_MS for stamp in (start, end))
        query = {"symbol": instrument.id, "startTime": first, "endTime": last - 1, "limit": FUNDING_LIMIT}

        def flow() -> Flow[Table]:
            rows: list[Any] = []
            if first < last:
                rows = yield lambda client: client.fapiPublicGetFundingRate(query)
            return parse_funding(rows, instrument.id, first, last)

        return Request(f"funding of {instrument.symbol} from {iso(start)}", flow)


EXCHANGE = BinanceExchange()


def _time() -> Flow[int]:
    answer = yield lambda client: client.fapiPublicGetTime()
    return read_timestamp(answer.get("serverTime"))


def _funding_hours(rows: list[Any]) -> dict[str, int]:
    """Return the hours between settlements, by symbol, for symbols whose interval is not 8 hours."""
    hours: dict[str, int] = {}
    for row in rows:
        interval = row.get("fundingIntervalHours") if isinstance(row, dict) else None
        if not isinstance(interval, int) or not 1 <= interval <= 24:
            raise Malformed(f"expected the hours between settlements (1 to 24), found {str(row)[:80]}")
        hours[str(row.get("symbol"))] = interval
    return hours


def _kline_query(
    instrument: Instrument, timeframe: str, start: int, end: int
) -> tuple[dict[str, Any], tuple[int, int, int]]:
    """Return the query for a window and one bar after it, and the window as (start, end, step)."""
    step = to_ms(timeframe)
    if start % step or end % step or not 0 < end - start <= KLINE_LIMIT * step:
        raise BadSource(
            f"expected a window of 1 to {KLINE_LIMIT} bars on the grid, found {iso(start)} to {iso(end)}"
        )
    limit = (end - start) // step + 1
    query = {
        "symbol": instrument.id,
        "interval": timeframe,
        "startTime": start,
        "endTime": end,
        "limit": limit,
    }
    return query, (start, end, step)


def _bars(
    call: Call, window: tuple[int, int, int], closed_for: int | None, *, mark: bool = False
) -> Flow[Table]:
    """Return the bars of a window (start, end, step).

    Binance's responses have no timestamp. A bar is closed if the same response has a later bar. Without a later bar,
    the exchange's time is requested first and then the bars again.
    """
    start, end, step = window
    rows = parse_klines((yield call), start, end + step, step, mark=mark)
    inside = rows["timestamp"] < end
    if closed_for is None or not len(inside) or (closed_for == 0 and not inside.all()):
        return select(rows, inside)
    now = yield from _time()
    rows = parse_klines((yield call), start, end + step, step, mark=mark)
    closed = rows["timestamp"] + step <= now - closed_for
    return select(rows, np.logical_and(rows["timestamp"] < end, closed))
