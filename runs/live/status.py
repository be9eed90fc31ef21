"""Terminal output of a live run: one line that is updated, or one line per bar if stderr is not a terminal."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import math
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, TextIO

from scorenet.base.printable import printable
from scorenet.base.times import iso

__all__ = ["LiveStatus", "describe_bar"]

_REFRESH_SECONDS = 1.0
# In a log, an outage is repeated after a minute, two minutes, four, ...
_FIRST_REMINDER_SECONDS = 60.0


def _time_of_day() -> str:
    return dt.datetime.now(dt.UTC).strftime("%H:%M:%SZ")


class LiveStatus:
    """Show feed state, last bar, position, equity, decision and its lag on `stream`.

    Each event gets its own line with the machine's time (UTC). With `quiet`, only events are shown. If the reader of
    `stream` is gone, nothing more is shown, and the run goes on.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        refreshing: bool,
        quiet: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
        width: Callable[[], int] = lambda: shutil.get_terminal_size().columns,
        time_of_day: Callable[[], str] = _time_of_day,
    ) -> None:
        self._stream, self._refreshing, self._quiet = stream, refreshing, quiet
        self._monotonic, self._width, self._time_of_day = monotonic, width, time_of_day
        self._states: dict[str, str] = {}
        self._reasons: dict[str, str] = {}
        self._disconnected_at: float | None = None
        self._reminder = _FIRST_REMINDER_SECONDS
        self._lost = False
        self._real: dict[str, str] = {}
        self._record: Mapping[str, Any] | None = None
        self._lag: float | None = None
        self._shown = -math.inf
        # The feeds' threads write events as well.
        self._writing = threading.RLock()

    def state(self, symbol: str, state: str, reason: str = "") -> None:
        """Show the new state of a symbol's feed, or the new reason of the present one."""
        if self._states.get(symbol) == state and reason in ("", self._reasons.get(symbol)):
            return
        self._states[symbol], self._reasons[symbol] = state, reason
        if "DISCONNECTED" not in self._states.values():
            self._disconnected_at, self._reminder = None, _FIRST_REMINDER_SECONDS
        elif self._disconnected_at is None:
            self._disconnected_at = self._monotonic()
        if self._refreshing:
            self._redraw()
        else:
            self._line(f"{state:<12} {symbol}{f'  {reason}' if reason else ''}")

    def real(self, positions: Mapping[str, Decimal], waiting: Mapping[str, float] | None = None) -> None:
        """Set the real positions to show, in signed base units by symbol.

        `waiting` is, by symbol, the age in seconds of an order whose outcome is not known.
        """
        ages = waiting or {}
        self._real = {
            symbol: f"{size:+f}" + (f", an order unknown for {ages[symbol]:.0f} s" if symbol in ages else "")
            for symbol, size in positions.items()
        }

    def bar(self, record: Mapping[str, Any], lag: float | None) -> None:
        """Show a new bar; `lag` is the seconds from its close to its decision, None if unknown."""
        self._record, self._lag = record, lag
        if self._refreshing:
            self._redraw()
        else:
            self._line(self._text(None))

    def refresh(self, age: float | None) -> None:
        """Redraw the line, at most once a second; `age` is the seconds since the last bar's close.

        In a log, a line says from time to time how long an outage has lasted.
        """
        now = self._monotonic()
        if not self._refreshing and self._outage(now) >= self._reminder:
            self._reminder *= 2.0
            gone = [symbol for symbol, state in self._states.items() if state == "DISCONNECTED"]
            reasons = "; ".join(dict.fromkeys(filter(None, (self._reasons[symbol] for symbol in gone))))
            self._line(f"{self._worst()} {', '.join(gone)}{f'  {reasons}' if reasons else ''}")
        if not self._refreshing or self._quiet or now - self._shown < _REFRESH_SECONDS:
            return
        with self._writing:
            self._shown = now
            self._write(f"\r{printable(self._text(age))[: max(self._width() - 1, 20)]}\x1b[K")

    def say(self, text: str) -> None:
        """Write one event line."""
        with self._writing:
            if self._drawn():
                self._write("\r\x1b[K")
            self._write(f"{self._time_of_day()}  {printable(text)}\n")
            if self._drawn():
                self._redraw()

    @contextmanager
    def showing_warnings(self, name: str) -> Iterator[None]:
        """Inside the block, show the warnings of the logger `name` as events."""
        logger, handler = logging.getLogger(name), _WarningHandler(self)
        before, logger.propagate = logger.propagate, False
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.propagate = before

    def close(self) -> None:
        """Move the cursor to a new line."""
        with self._writing:
            if self._drawn():
                self._write("\n")
                self._shown = -math.inf

    def _drawn(self) -> bool:
        return self._refreshing and not self._quiet and self._shown > -math.inf

    def _redraw(self) -> None:
        self._shown = -math.inf
        self.refresh(None)

    def _text(self, age: float | None) -> str:
        if self._record is None:
            return f"{self._worst():<12} waiting for the next bar to close"
        lag = "" if self._lag is None else f"  lag {self._lag:.1f} s"
        return f"{self._worst():<12} {describe_bar(self._record, self._real, age)}{lag}"

    def _worst(self) -> str:
        states = set(self._states.values())
        if "DISCONNECTED" in states:
            return f"DISCONNECTED {self._outage(self._monotonic()):.0f} s"
        if "DELAYED" in states:
            return "DELAYED"
        return min(states, default="STARTING")

    def _line(self, text: str) -> None:
        if not self._quiet:
            with self._writing:
                self._write(f"{printable(text)}\n")

    def _write(self, text: str) -> None:
        if self._lost:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # the reader of a pipe or the terminal is gone, or the stream is closed
            self._lost = True
            _discard(self._stream)

    def _outage(self, now: float) -> float:
        return -math.inf if self._disconnected_at is None else now - self._disconnected_at


class _WarningHandler(logging.Handler):
    """Show log warnings as events; a repeated warning is shown once, because an outage repeats the same text."""

    def __init__(self, status: LiveStatus) -> None:
        super().__init__(logging.WARNING)
        self._status, self._last = status, ""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text != self._last:
            self._last = text
            self._status.say(text)


def _discard(stream: TextIO) -> None:
    """Send nowhere what is still written to a stream, also by other code and at the interpreter's end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def describe_bar(
    record: Mapping[str, Any], real: Mapping[str, str] | None = None, age: float | None = None
) -> str:
    """Return a bar's record as one line: close, equity, and position, target and reason by symbol.

    Args:
        real: real positions as text, shown next to the paper positions.
        age: seconds since the close.
    """
    ago = "" if age is None else f" ({age:.0f} s ago)"
    parts = [iso(int(record["time"]))[:16].replace("T", " ") + ago, f"equity {record['equity']:,.2f}"]
    for decision in record["decisions"]:
        symbol = decision["symbol"]
        size = f"{record['positions'].get(symbol, 0.0):+.6g}"
        if real and symbol in real:
            size += f" (real {real[symbol]})"
        close = decision["close"]
        price = "no price" if close is None else f"{close:,.10g}"
        parts.append(
            f"{symbol.partition(':')[0]} {price}  position {size}  target {decision['target']:+.2f} "
            f"{decision['reason']}"
        )
    return "  ".join(parts)
