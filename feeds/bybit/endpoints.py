"""What to ask of each endpoint and how to read its answer, for every client.

A question is a dialogue: a generator that yields calls of a ccxt client and is sent their answers, until it
returns what was asked for. Who drives it, with or without `await`, is not its business.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..bars.timeframes import to_ms
from ..bars.times import iso
from ..errors import BadSource, BadTimeframe
from ..exchange.failures import Malformed
from ..instruments import Instrument, parse_instrument
from .parse import Table, parse_funding, parse_klines, parse_open_interest, unite

__all__ = [
    "FUNDING_LIMIT",
    "KLINE_LIMIT",
    "OPEN_INTEREST_LIMIT",
    "OPEN_INTEREST_TIMEFRAMES",
    "Call",
    "Question",
    "funding",
    "instruments",
    "klines",
    "mark_klines",
    "open_interest",
    "server_time",
]

KLINE_LIMIT = 1000
FUNDING_LIMIT = 200
OPEN_INTEREST_LIMIT = 200
OPEN_INTEREST_TIMEFRAMES = {"5m": "5min", "15m": "15min", "30m": "30min", "1h": "1h", "4h": "4h", "1d": "1d"}

_INSTRUMENTS_LIMIT = 1000

_Result = TypeVar("_Result")

Call = Callable[[Any], Any]
"""Takes a ccxt client and returns the exchange's answer, or an awaitable of it."""


@dataclass(frozen=True)
class Question(Generic[_Result]):
    """Hold a dialogue that can be begun again, and the words for it."""

    what: str
    begin: Callable[[], Generator[Call, Any, _Result]]


def server_time() -> Question[int]:
    """Ask for the exchange's clock in UTC ms."""

    def dialogue() -> Generator[Call, Any, int]:
        answer = yield lambda client: client.public_get_v5_market_time()
        return _stamp(answer)

    return Question("the time", dialogue)


def instruments(category: str) -> Question[dict[str, Instrument]]:
    """Ask for the perpetuals ("linear", "inverse") or pairs ("spot") by symbol, those before launch too."""

    def dialogue() -> Generator[Call, Any, dict[str, Instrument]]:
        found: dict[str, Instrument] = {}
        for query in _instrument_queries(category):
            known, cursor = -1, ""
            while known < len(found):
                known = len(found)
                answer = yield _instruments_info({**query, **({"cursor": cursor} if cursor else {})})
                rows = answer["result"]["list"]
                parsed = [parse_instrument(row, category) for row in rows]
                found |= {instrument.symbol: instrument for instrument in parsed if instrument is not None}
                cursor = answer["result"].get("nextPageCursor") or ""
                if not cursor:
                    break
        if not found:
            raise Malformed("expected instruments, found none")
        return found

    return Question(f"{category} instruments", dialogue)


def klines(
    instrument: Instrument, timeframe: str, start: int, end: int, *, closed_for: int | None = None
) -> Question[Table]:
    """Ask for the bars that open in [start, end), at most KLINE_LIMIT bars wide.

    The open one is included, unless only those are wanted that closed `closed_for` ms before the answer's stamp.
    """
    step = to_ms(timeframe)
    query = _kline_query(instrument, timeframe, start, end)

    def dialogue() -> Generator[Call, Any, Table]:
        answer = yield lambda client: client.public_get_v5_market_kline(query)
        rows = parse_klines(answer["result"], instrument, start, end, step)
        return rows if closed_for is None else _over(rows, step, _stamp(answer) - closed_for)

    return Question(f"{timeframe} bars of {instrument.symbol} from {iso(start)}", dialogue)


def mark_klines(
    instrument: Instrument, timeframe: str, start: int, end: int, *, closed_for: int | None = None
) -> Question[Table]:
    """Ask for the mark price's bars that open in [start, end), which have no volume; else as `klines`."""
    step = to_ms(timeframe)
    query = _kline_query(instrument, timeframe, start, end)

    def dialogue() -> Generator[Call, Any, Table]:
        answer = yield lambda client: client.public_get_v5_market_mark_price_kline(query)
        rows = parse_klines(answer["result"], instrument, start, end, step, mark=True)
        return rows if closed_for is None else _over(rows, step, _stamp(answer) - closed_for)

    return Question(f"{timeframe} mark price of {instrument.symbol} from {iso(start)}", dialogue)


def funding(instrument: Instrument, start: int, end: int) -> Question[Table]:
    """Ask for the newest settlements in [start, end), FUNDING_LIMIT at most."""
    query = {
        "category": instrument.category,
        "symbol": instrument.id,
        "startTime": start,
        "endTime": end - 1,
        "limit": FUNDING_LIMIT,
    }

    def dialogue() -> Generator[Call, Any, Table]:
        answer = yield lambda client: client.public_get_v5_market_funding_history(query)
        return parse_funding(answer["result"], instrument.id, start, end)

    return Question(f"funding of {instrument.symbol} from {iso(start)}", dialogue)


def open_interest(instrument: Instrument, timeframe: str, start: int, end: int) -> Question[Table]:
    """Ask for the open interest every `timeframe` in [start, end), OPEN_INTEREST_LIMIT rows at most."""
    step = to_ms(timeframe)
    if timeframe not in OPEN_INTEREST_TIMEFRAMES:
        raise BadTimeframe(
            f"open interest comes every {', '.join(OPEN_INTEREST_TIMEFRAMES)}, found {timeframe!r}"
        )
    query = {
        "category": instrument.category,
        "symbol": instrument.id,
        "intervalTime": OPEN_INTEREST_TIMEFRAMES[timeframe],
        **_window(start, end, step, OPEN_INTEREST_LIMIT, "startTime", "endTime"),
    }

    def dialogue() -> Generator[Call, Any, Table]:
        answer = yield _open_interest(query)
        rows = parse_open_interest(answer["result"], instrument.id, start, end, step)
        known, cursor = -1, answer["result"].get("nextPageCursor")
        # A page may be cut short; a cursor that brings nothing new is the end.
        while known < len(rows["timestamp"]) < (end - start) // step and cursor:
            known = len(rows["timestamp"])
            answer = yield _open_interest({**query, "cursor": cursor})
            rows = unite(rows, parse_open_interest(answer["result"], instrument.id, start, end, step))
            cursor = answer["result"].get("nextPageCursor")
        return rows

    return Question(f"open interest of {instrument.symbol} from {iso(start)}", dialogue)


def _instrument_queries(category: str) -> list[dict[str, Any]]:
    if category == "spot":
        return [{"category": category}]  # not paged, and nothing to come
    query = {"category": category, "limit": _INSTRUMENTS_LIMIT}
    return [query, {**query, "status": "PreLaunch"}]  # without a status only what trades is listed


def _instruments_info(query: Mapping[str, Any]) -> Call:
    return lambda client: client.public_get_v5_market_instruments_info(query)


def _open_interest(query: Mapping[str, Any]) -> Call:
    return lambda client: client.public_get_v5_market_open_interest(query)


def _stamp(answer: Mapping[str, Any]) -> int:
    """Return when the exchange gave an answer, in UTC ms."""
    stamp = str(answer.get("time"))
    if not stamp.isascii() or not stamp.isdigit() or len(stamp) > 15:
        raise Malformed(f"expected the exchange's time in ms, found {stamp[:40]!r}")
    return int(stamp)


def _over(rows: Table, step: int, now: int) -> Table:
    """Return the bars that are closed at `now`."""
    closed = rows["timestamp"] + step <= now
    return {name: values[closed] for name, values in rows.items()}


def _kline_query(instrument: Instrument, timeframe: str, start: int, end: int) -> dict[str, Any]:
    minutes = to_ms(timeframe) // 60_000
    return {
        "category": instrument.category,
        "symbol": instrument.id,
        "interval": "D" if timeframe == "1d" else str(minutes),
        **_window(start, end, to_ms(timeframe), KLINE_LIMIT, "start", "end"),
    }


def _window(start: int, end: int, step: int, limit: int, first: str, last: str) -> dict[str, int]:
    """Return the query of a window too narrow for the exchange's cut to the newest `limit` rows."""
    if start % step or end % step or not 0 < end - start <= limit * step:
        raise BadSource(
            f"expected a window of 1 to {limit} bars on the grid, found {iso(start)} to {iso(end)}"
        )
    return {first: start, last: end - step, "limit": limit}
