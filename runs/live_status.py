"""The terminal of a live run: one line that is refreshed, or one line a bar where stderr is no terminal."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from runs.markets import stamp

__all__ = ["LiveStatus", "describe_bar"]

_REFRESH_SECONDS = 1.0


class LiveStatus:
    """Show the state of the feeds, the last bar, position, equity, decision and its lag on `stream`."""

    def __init__(
        self,
        stream: TextIO,
        *,
        refreshing: bool,
        quiet: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
        width: Callable[[], int] = lambda: shutil.get_terminal_size().columns,
    ) -> None:
        self._stream, self._refreshing, self._quiet = stream, refreshing, quiet
        self._monotonic, self._width = monotonic, width
        self._states: dict[str, str] = {}
        self._text = "waiting for bars"
        self._shown = -math.inf

    def state(self, symbol: str, state: str) -> None:
        """Note that the feed of a symbol changed its state."""
        if self._states.get(symbol) == state:
            return
        self._states[symbol] = state
        if self._refreshing:
            self._shown = -math.inf
            self.refresh(None)
        else:
            self._line(f"{state:<12} {symbol}")

    def bar(self, record: Mapping[str, Any], lag: float | None) -> None:
        """Show a new bar; `lag` is seconds from its close to its decision, None when unknown."""
        delay = "" if lag is None else f"  lag {lag:.1f} s"
        self._text = f"{describe_bar(record)}{delay}"
        self._shown = -math.inf
        if self._refreshing:
            self.refresh(None)
        else:
            self._line(f"{self._worst():<12} {self._text}")

    def refresh(self, age: float | None) -> None:
        """Draw the line again, once a second at most; `age` is seconds since the last bar's close."""
        now = self._monotonic()
        if not self._refreshing or self._quiet or now - self._shown < _REFRESH_SECONDS:
            return
        self._shown = now
        waited = "" if age is None else f"  last close {age:.0f} s ago"
        text = f"{self._worst():<12} {self._text}{waited}"
        self._stream.write(f"\r{text[: max(self._width() - 1, 20)]}\x1b[K")
        self._stream.flush()

    def say(self, text: str) -> None:
        """Write a line of its own."""
        if self._refreshing and not self._quiet and self._shown > -math.inf:
            self._stream.write("\r\x1b[K")
        self._line(text)

    def close(self) -> None:
        """Leave the cursor on a new line."""
        if self._refreshing and not self._quiet and self._shown > -math.inf:
            self._stream.write("\n")
            self._stream.flush()

    def _worst(self) -> str:
        states = set(self._states.values())
        for state in ("DISCONNECTED", "DELAYED"):
            if state in states:
                return state
        return min(states, default="STARTING")

    def _line(self, text: str) -> None:
        if not self._quiet:
            self._stream.write(f"{text}\n")
            self._stream.flush()


def describe_bar(record: Mapping[str, Any]) -> str:
    """Return a bar's record in one line: time, and for each symbol close, position, target and reason, and equity."""
    parts = [stamp(int(record["time"]))[:16].replace("T", " ")]
    for decision in record["decisions"]:
        symbol = decision["symbol"]
        size = record["positions"].get(symbol, 0.0)
        close = decision["close"]
        price = "no price" if close is None else f"{close:,.10g}"
        parts.append(
            f"{symbol.partition(':')[0]} {price}  position {size:+.6g}  "
            f"{decision['reason']} {decision['target']:+.2f}"
        )
    parts.append(f"equity {record['equity']:,.2f}")
    return "  ".join(parts)
