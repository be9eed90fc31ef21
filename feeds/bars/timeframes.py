"""Bar sizes: a name, its length in ms, and Backtrader's (timeframe, compression)."""

import re

from scorenet.base.did_you_mean import close_matches

from ..errors import BadTimeframe

__all__ = ["TIMEFRAMES", "from_ms", "to_backtrader", "to_ms"]

_MINUTE = 60_000
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR

_LENGTHS = {
    "1m": _MINUTE,
    "3m": 3 * _MINUTE,
    "5m": 5 * _MINUTE,
    "15m": 15 * _MINUTE,
    "30m": 30 * _MINUTE,
    "1h": _HOUR,
    "2h": 2 * _HOUR,
    "4h": 4 * _HOUR,
    "6h": 6 * _HOUR,
    "12h": 12 * _HOUR,
    "1d": _DAY,
}
_NAMES = {length: name for name, length in _LENGTHS.items()}

TIMEFRAMES = tuple(_LENGTHS)

# Backtrader's TimeFrame.Minutes and TimeFrame.Days as plain numbers, so that nothing here imports it
# (equality is tested).
_BT_MINUTES, _BT_DAYS = 4, 5

_UNIT_MS = {"s": 1000, "m": _MINUTE, "min": _MINUTE, "h": _HOUR, "hour": _HOUR, "d": _DAY, "day": _DAY}


def to_ms(timeframe: str) -> int:
    """Return the length of a bar in ms, e.g. 3_600_000 for "1h".

    Raises:
        BadTimeframe: the name is unknown, or its bars do not start at multiples of their length.
    """
    length = _LENGTHS.get(timeframe) if isinstance(timeframe, str) else None
    if length is None:
        raise BadTimeframe(_explain(timeframe))
    return length


def from_ms(length: int) -> str:
    """Return the name of the bar size of `length` ms.

    Raises:
        BadTimeframe: no supported bar size has that length.
    """
    name = _NAMES.get(length)
    if name is None:
        raise BadTimeframe(
            f"no timeframe is {length / 1000:g} s long; known timeframes: {', '.join(TIMEFRAMES)}"
        )
    return name


def to_backtrader(timeframe: str) -> tuple[int, int]:
    """Return Backtrader's (timeframe, compression) for a bar size, e.g. (TimeFrame.Minutes, 60) for "1h".

    Raises:
        BadTimeframe: the name is unknown.
    """
    length = to_ms(timeframe)
    return (_BT_DAYS, length // _DAY) if length % _DAY == 0 else (_BT_MINUTES, length // _MINUTE)


def _explain(timeframe: object) -> str:
    known = f"known timeframes: {', '.join(TIMEFRAMES)}"
    if not isinstance(timeframe, str):
        return f"a timeframe is a text such as '1h', found {timeframe!r}; {known}"
    if timeframe in ("1w", "1W", "1M"):
        return (
            f"timeframe {timeframe!r} is not supported: the exchange's weeks and months do not start at "
            f"multiples of their length since 1970 (UTC), so its bars cannot be checked; use '1d'; {known}"
        )
    guess = _suggest(timeframe)
    hint = f"; did you mean {guess!r}?" if guess else ";"
    return f"unknown timeframe {timeframe!r}{hint} {known}"


def _suggest(timeframe: str) -> str | None:
    text = timeframe.strip().lower()
    match = re.fullmatch(r"(\d+)\s*(s|m|min|h|hour|d|day)s?", text) or re.fullmatch(r"(\d+)()", text)
    if match:
        # A number without a unit is the exchange's own code and means minutes.
        length = int(match[1]) * _UNIT_MS[match[2] or "m"]
        return _NAMES.get(length) or _NAMES[min(_NAMES, key=lambda known: abs(known - length))]
    return next(iter(close_matches(text, TIMEFRAMES, cutoff=0.5)), None)
