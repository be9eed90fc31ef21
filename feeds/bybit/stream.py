"""Bybit's websocket messages: topics, the subscription, and the parsing of candles."""

from typing import Any

from ..bars.timeframes import to_ms
from ..exchange.candles import Candle
from ..exchange.failures import Malformed
from ..instruments import Instrument
from .parse import parse_klines

__all__ = ["BybitStream", "topic_of"]

_FIELDS = ("start", "open", "high", "low", "close", "volume", "turnover")
_LAST_MS = 10**14


class BybitStream:
    """Build and parse the messages of Bybit's public websocket."""

    def url(self, urls: dict[str, Any], category: str) -> str:
        """Return the websocket URL for candles of a category, from ccxt's table `urls`."""
        url: str = urls["ws"]["public"][category]
        return url

    def subscription(self, instrument: Instrument, timeframe: str) -> dict[str, Any]:
        """Return the message that subscribes to the candles of an instrument."""
        return {"op": "subscribe", "req_id": "1", "args": [topic_of(instrument, timeframe)]}

    def subscribed(self, frame: Any) -> bool:
        """Return whether the first frame after the subscription confirms it."""
        return isinstance(frame, dict) and frame.get("op") == "subscribe" and frame.get("success") is True

    def is_pong(self, frame: Any) -> bool:
        """Return whether a frame is the reply to a ping."""
        return isinstance(frame, dict) and "pong" in (frame.get("ret_msg"), frame.get("op"))

    def candles(self, frame: Any, instrument: Instrument, timeframe: str) -> list[Candle]:
        """Return the candles of a frame; an empty list if the frame has another topic.

        Raises:
            Malformed: the frame is not an object, reports an error, or has a candle that is invalid or is confirmed
            before its end.
        """
        if not isinstance(frame, dict):
            raise Malformed(f"expected a frame with a JSON object, found {str(frame)[:80]!r}")
        if frame.get("topic") != topic_of(instrument, timeframe):
            if frame.get("success") is False:
                raise Malformed(f"the exchange reports an error: {str(frame)[:120]}")
            return []
        stamp, rows = frame.get("ts"), frame.get("data")
        if not isinstance(stamp, int) or isinstance(stamp, bool) or not 0 < stamp < _LAST_MS:
            raise Malformed(f"expected a timestamp in ms, found {str(stamp)[:40]!r}")
        if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
            raise Malformed(f"expected a list of candles, found {str(rows)[:80]!r}")
        return [_candle(row, stamp, instrument, to_ms(timeframe)) for row in rows]


def topic_of(instrument: Instrument, timeframe: str) -> str:
    """Return the websocket topic of an instrument's candles, e.g. "kline.60.BTCUSDT"."""
    return f"kline.{'D' if timeframe == '1d' else to_ms(timeframe) // 60_000}.{instrument.id}"


def _candle(row: dict[str, Any], stamp: int, instrument: Instrument, step: int) -> Candle:
    fields = [row.get(name) for name in _FIELDS]
    table = parse_klines({"symbol": instrument.id, "list": [fields]}, instrument, 0, _LAST_MS, step)
    start, closed = int(table["timestamp"][0]), row.get("confirm")
    if not isinstance(closed, bool):
        raise Malformed(f"expected confirm to be true or false, found {str(closed)[:40]!r}")
    if closed and stamp < start + step:
        raise Malformed(f"a candle was confirmed {start + step - stamp} ms before its end")
    names = ("open", "high", "low", "close", "volume")
    opened, high, low, close, volume = (float(table[name][0]) for name in names)
    return Candle(start, (opened, high, low, close, volume), closed, stamp)
