"""Bybit (v5): its capabilities, the request of each endpoint, and the parsing of the responses."""

from collections.abc import Mapping
from typing import Any

from ..bars.timeframes import to_ms
from ..bars.times import iso
from ..errors import BadSource, BadTimeframe
from ..exchange.access import Access
from ..exchange.failures import Malformed
from ..exchange.order_types import Orders
from ..exchange.protocol import Capabilities, Exchange, Venue
from ..exchange.request import Call, Flow, Request
from ..exchange.rows import Table, TierRows, read_timestamp, select, unite
from ..instruments import Instrument
from .hosts import venue_of
from .parse import parse_funding, parse_instrument, parse_klines, parse_open_interest, parse_risk_tiers
from .stream import BybitStream
from .wire import CCXT_RULES, FAILURE_RULES, REQUESTS_PER_SECOND

__all__ = [
    "EXCHANGE",
    "FUNDING_LIMIT",
    "KLINE_LIMIT",
    "OPEN_INTEREST_LIMIT",
    "OPEN_INTEREST_TIMEFRAMES",
    "BybitExchange",
]

KLINE_LIMIT = 1000
FUNDING_LIMIT = 200
OPEN_INTEREST_LIMIT = 200
OPEN_INTEREST_TIMEFRAMES = {"5m": "5min", "15m": "15min", "30m": "30min", "1h": "1h", "4h": "4h", "1d": "1d"}

_INSTRUMENTS_LIMIT = 1000


class BybitExchange(Exchange):
    """Bybit v5: perpetuals and spot, history, live candles and orders."""

    name = "bybit"
    capabilities = Capabilities(
        categories=("linear", "spot", "inverse"),
        timeframes=("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d"),
        kline_limit=KLINE_LIMIT,
        funding_limit=FUNDING_LIMIT,
        funding_newest_first=True,
        open_interest_limit=OPEN_INTEREST_LIMIT,
        requests_per_second=REQUESTS_PER_SECOND,
        mark_prices=True,
        open_interest=True,
        stream=True,
        orders=True,
        risk_tiers=True,
    )
    ccxt_rules = CCXT_RULES
    failure_rules = FAILURE_RULES

    def server_time(self) -> Request[int]:
        """Request the exchange's time in UTC ms."""

        def flow() -> Flow[int]:
            answer = yield lambda client: client.public_get_v5_market_time()
            return _answer_time(answer)

        return Request("the time", flow)

    def instruments(self, category: str) -> Request[dict[str, Instrument]]:
        """Request the perpetuals ("linear", "inverse") or pairs ("spot"), including those not launched yet."""

        def flow() -> Flow[dict[str, Instrument]]:
            found: dict[str, Instrument] = {}
            for query in _instrument_queries(category):
                known, cursor = -1, ""
                while known < len(found):
                    known = len(found)
                    answer = yield _instruments_info({**query, **({"cursor": cursor} if cursor else {})})
                    rows = answer["result"]["list"]
                    parsed = [parse_instrument(row, category) for row in rows]
                    found |= {
                        instrument.symbol: instrument for instrument in parsed if instrument is not None
                    }
                    cursor = answer["result"].get("nextPageCursor") or ""
                    if not cursor:
                        break
            if not found:
                raise Malformed("expected instruments, found none")
            return found

        return Request(f"{category} instruments", flow)

    def klines(
        self, instrument: Instrument, timeframe: str, start: int, end: int, *, closed_for: int | None = None
    ) -> Request[Table]:
        """Request the bars that open in [start, end); the range is at most KLINE_LIMIT bars wide.

        With `closed_for`, only bars that closed at least `closed_for` ms before the response's timestamp are returned.
        Without it, the bar that is still open is included.

        Raises:
            BadSource: the range is not on the grid, empty, or too wide.
        """
        call = _kline_call("kline", instrument, timeframe, start, end)
        what = f"{timeframe} bars of {instrument.symbol} from {iso(start)}"
        return Request(what, lambda: _bars(call, instrument, (start, end, to_ms(timeframe)), closed_for))

    def mark_klines(
        self, instrument: Instrument, timeframe: str, start: int, end: int, *, closed_for: int | None = None
    ) -> Request[Table]:
        """Request the bars of the mark price that open in [start, end); as `klines`, but without volume."""
        call = _kline_call("mark_price_kline", instrument, timeframe, start, end)
        what = f"{timeframe} mark price of {instrument.symbol} from {iso(start)}"
        window = (start, end, to_ms(timeframe))
        return Request(what, lambda: _bars(call, instrument, window, closed_for, mark=True))

    def funding(self, instrument: Instrument, start: int, end: int) -> Request[Table]:
        """Request the newest settlements in [start, end), at most FUNDING_LIMIT."""
        query = {
            "category": instrument.category,
            "symbol": instrument.id,
            "startTime": start,
            "endTime": end - 1,
            "limit": FUNDING_LIMIT,
        }

        def flow() -> Flow[Table]:
            answer = yield lambda client: client.public_get_v5_market_funding_history(query)
            return parse_funding(answer["result"], instrument.id, start, end)

        return Request(f"funding of {instrument.symbol} from {iso(start)}", flow)

    def open_interest(self, instrument: Instrument, timeframe: str, start: int, end: int) -> Request[Table]:
        """Request the open interest at every `timeframe` in [start, end), at most OPEN_INTEREST_LIMIT rows.

        Raises:
            BadTimeframe: Bybit does not have open interest at this interval.
            BadSource: the range is not on the grid, empty, or too wide.
        """
        step = to_ms(timeframe)
        if timeframe not in OPEN_INTEREST_TIMEFRAMES:
            raise BadTimeframe(
                f"expected an interval of open interest: {', '.join(OPEN_INTEREST_TIMEFRAMES)}; found {timeframe!r}"
            )
        query = {
            "category": instrument.category,
            "symbol": instrument.id,
            "intervalTime": OPEN_INTEREST_TIMEFRAMES[timeframe],
            **_window(start, end, step, OPEN_INTEREST_LIMIT, "startTime", "endTime"),
        }

        def flow() -> Flow[Table]:
            answer = yield _open_interest(query)
            rows = parse_open_interest(answer["result"], instrument.id, start, end, step)
            known, cursor = -1, answer["result"].get("nextPageCursor")
            # A page may be incomplete. A cursor that returns no new rows marks the end.
            while known < len(rows["timestamp"]) < (end - start) // step and cursor:
                known = len(rows["timestamp"])
                answer = yield _open_interest({**query, "cursor": cursor})
                rows = unite(rows, parse_open_interest(answer["result"], instrument.id, start, end, step))
                cursor = answer["result"].get("nextPageCursor")
            return rows

        return Request(f"open interest of {instrument.symbol} from {iso(start)}", flow)

    def risk_tiers(self, instrument: Instrument) -> Request[TierRows]:
        """Request the risk tiers of a perpetual, smallest first, in the form of `Costs.risk_tiers`.

        Raises:
            BadSource: the market is spot, which has none.
        """
        if instrument.category == "spot":
            raise BadSource(f"{instrument.symbol} is spot: it has no risk tiers, because it has no leverage")
        query = {"category": instrument.category, "symbol": instrument.id}

        def flow() -> Flow[TierRows]:
            answer = yield lambda client: client.public_get_v5_market_risk_limit(query)
            return parse_risk_tiers(answer["result"], instrument.id)

        return Request(f"risk tiers of {instrument.symbol}", flow)

    def stream(self) -> BybitStream:
        """Return the message format of the candle websocket."""
        return BybitStream()

    def venue(self, host: str) -> Venue | None:
        """Return what trades at a host of Bybit; None for an unknown host."""
        known = venue_of(host)
        return super().venue(host) if known is None else known

    def orders(self, access: Access) -> Orders:
        """Return a client for the orders of the account whose credentials are in `access`."""
        from .orders import OrderClient  # imports ccxt, which takes a second

        return OrderClient(access)


EXCHANGE = BybitExchange()


def _instrument_queries(category: str) -> list[dict[str, Any]]:
    if category == "spot":
        return [{"category": category}]  # spot has no pages and no status PreLaunch
    query = {"category": category, "limit": _INSTRUMENTS_LIMIT}
    return [query, {**query, "status": "PreLaunch"}]  # the first query lists only instruments that trade


def _instruments_info(query: Mapping[str, Any]) -> Call:
    return lambda client: client.public_get_v5_market_instruments_info(query)


def _open_interest(query: Mapping[str, Any]) -> Call:
    return lambda client: client.public_get_v5_market_open_interest(query)


def _kline_call(endpoint: str, instrument: Instrument, timeframe: str, start: int, end: int) -> Call:
    query = {
        "category": instrument.category,
        "symbol": instrument.id,
        "interval": "D" if timeframe == "1d" else str(to_ms(timeframe) // 60_000),
        **_window(start, end, to_ms(timeframe), KLINE_LIMIT, "start", "end"),
    }
    return lambda client: getattr(client, f"public_get_v5_market_{endpoint}")(query)


def _bars(
    call: Call,
    instrument: Instrument,
    window: tuple[int, int, int],
    closed_for: int | None,
    *,
    mark: bool = False,
) -> Flow[Table]:
    """Return the bars of a window (start, end, step); the response's timestamp decides which bars are closed."""
    answer = yield call
    rows = parse_klines(answer["result"], instrument, *window, mark=mark)
    if closed_for is None:
        return rows
    return select(rows, rows["timestamp"] + window[2] <= _answer_time(answer) - closed_for)


def _answer_time(answer: Mapping[str, Any]) -> int:
    """Return the timestamp of a response in UTC ms."""
    return read_timestamp(answer.get("time"))


def _window(start: int, end: int, step: int, limit: int, first: str, last: str) -> dict[str, int]:
    """Return the query parameters of a window; the exchange cannot truncate it, as it has at most `limit` rows."""
    if start % step or end % step or not 0 < end - start <= limit * step:
        raise BadSource(
            f"expected a window of 1 to {limit} bars on the grid, found {iso(start)} to {iso(end)}"
        )
    return {first: start, last: end - step, "limit": limit}
