"""Convert Backtrader's line buffers to numpy columns, and back; the only module that does so.

`tail` cannot read beyond the current bar. `whole` reads all bars and is only for `once`; the truncation check
(`scorenet lookahead`) detects a look-ahead there.
"""

from __future__ import annotations

from struct import unpack_from
from typing import Any

import numpy as np

from .datas import to_milliseconds

__all__ = ["Rows", "has_column", "store", "tail", "whole"]

_OWN_NAMES = {"open_interest": "openinterest"}  # the line's name in Backtrader's own feeds


class Rows:
    """Read the current values of several lines of one object; all these lines are at the same bar."""

    def __init__(self, lines: tuple[Any, ...]) -> None:
        self._lines, self._first = lines, lines[0]
        # A format string, not a Struct: Cerebro may pickle a strategy, and a Struct cannot be pickled.
        self._format, self._width = f"{len(lines)}d", 8 * len(lines)
        self._table, self._end = b"", 0

    def current(self) -> tuple[float, ...]:
        """Return the current values, in the order of the lines."""
        at = self._first.idx
        if at >= self._end:
            if len(self._first.array) <= at + 1 or self._first.mode != self._first.UnBounded:
                return tuple([line.array[at] for line in self._lines])
            # A vectorised run has computed all bars. With a table of rows, reading a bar is one memory access.
            self._table = np.column_stack([line.array for line in self._lines]).tobytes()
            self._end = len(self._first.array)
        return unpack_from(self._format, self._table, at * self._width)


def tail(data: Any, names: tuple[str, ...], n: int) -> dict[str, np.ndarray]:
    """Return the last n values up to the current bar of each named column, plus "timestamp" (bar close, UTC ms).

    All columns are [n]. Columns that the data does not have are left out; the model reports the ones that it needs.
    """
    columns = {name: _floats(line.get(ago=0, size=n)) for name, line in _lines(data, names)}
    columns["timestamp"] = to_milliseconds(_floats(data.lines.datetime.get(ago=0, size=n)))
    return columns


def whole(data: Any, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return each named column over all preloaded bars [T], plus "timestamp" (bar close, UTC ms)."""
    # Without the empty bars at the end that `Cerebro(lookahead=...)` adds.
    bars = data.buflen()
    # Copies, because Backtrader cannot extend a buffer while a numpy view of it exists.
    columns = {name: _floats(line.array[:bars]) for name, line in _lines(data, names)}
    columns["timestamp"] = to_milliseconds(_floats(data.lines.datetime.array[:bars]))
    return columns


def has_column(data: Any, name: str) -> bool:
    """Return whether a data has a line of this name with values; `BarsData` fills lines of absent columns with 0.0."""
    return getattr(data.lines, name, None) is not None and name not in getattr(data, "absent", ())


def store(line: Any, start: int, end: int, values: np.ndarray) -> None:
    """Write values[start:end] into a line's preallocated buffer; `values` is [T]."""
    np.frombuffer(line.array)[start:end] = values[start:end]


def _lines(data: Any, names: tuple[str, ...]) -> list[tuple[str, Any]]:
    found = ((name, _line(data, name)) for name in names)
    return [(name, line) for name, line in found if line is not None]


def _line(data: Any, name: str) -> Any:
    # The feed fills the line of an absent column with zeros.
    if name in getattr(data, "absent", ()):
        return None
    line = getattr(data.lines, name, None)
    return getattr(data.lines, _OWN_NAMES.get(name, name), None) if line is None else line


def _floats(values: Any) -> np.ndarray:
    return np.array(values, dtype=np.float64)
