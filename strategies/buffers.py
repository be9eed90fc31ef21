"""The one bridge between Backtrader's line buffers and numpy columns.

Reading never looks past the current bar: `tail` ends at it by construction, and `whole` is only for `once`, where a
look-ahead is caught by the truncation check (`scorenet lookahead`).
"""

from __future__ import annotations

from struct import unpack_from
from typing import Any

import numpy as np

from .datas import to_milliseconds

__all__ = ["Rows", "carries", "store", "tail", "whole"]

_OWN_NAMES = {"open_interest": "openinterest"}  # Backtrader's stock feeds spell it without the underscore


class Rows:
    """Read the present values of lines of one object, which therefore stand at the same bar."""

    def __init__(self, lines: tuple[Any, ...]) -> None:
        self._lines, self._first = lines, lines[0]
        # Not a Struct: a strategy that has run may be pickled.
        self._format, self._width = f"{len(lines)}d", 8 * len(lines)
        self._table, self._end = b"", 0

    def current(self) -> tuple[float, ...]:
        """Return the present values, in the order of the lines."""
        at = self._first.idx
        if at >= self._end:
            if len(self._first.array) <= at + 1 or self._first.mode != self._first.UnBounded:
                return tuple([line.array[at] for line in self._lines])
            # A vectorised run knows all bars by now. Side by side, a bar is one place in memory and not seven.
            self._table = np.column_stack([line.array for line in self._lines]).tobytes()
            self._end = len(self._first.array)
        return unpack_from(self._format, self._table, at * self._width)


def tail(data: Any, names: tuple[str, ...], n: int) -> dict[str, np.ndarray]:
    """Return the last n values up to the current bar of each named column, plus "timestamp" (bar close, UTC ms).

    Columns that the data does not carry are left out; the model then says which one it needs.
    """
    columns = {name: _floats(line.get(ago=0, size=n)) for name, line in _lines(data, names)}
    columns["timestamp"] = to_milliseconds(_floats(data.lines.datetime.get(ago=0, size=n)))
    return columns


def whole(data: Any, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return each named column over all preloaded bars [T], plus "timestamp" (bar close, UTC ms)."""
    # Copies: a view left on the buffer would make Backtrader's next growth of it fail.
    columns = {name: _floats(line.array) for name, line in _lines(data, names)}
    columns["timestamp"] = to_milliseconds(_floats(data.lines.datetime.array))
    return columns


def carries(data: Any, name: str) -> bool:
    """Say whether a data has a line of this name with values behind it (a stock feed's `openinterest` is mostly 0)."""
    return getattr(data.lines, name, None) is not None and name not in getattr(data, "absent", ())


def store(line: Any, start: int, end: int, values: np.ndarray) -> None:
    """Write values[start:end] into a line's preallocated buffer."""
    np.frombuffer(line.array)[start:end] = values[start:end]


def _lines(data: Any, names: tuple[str, ...]) -> list[tuple[str, Any]]:
    found = ((name, _line(data, name)) for name in names)
    return [(name, line) for name, line in found if line is not None]


def _line(data: Any, name: str) -> Any:
    if name in getattr(
        data, "absent", ()
    ):  # a line of zeros, because the bars behind it do not carry the column
        return None
    line = getattr(data.lines, name, None)
    return getattr(data.lines, _OWN_NAMES.get(name, name), None) if line is None else line


def _floats(values: Any) -> np.ndarray:
    return np.array(values, dtype=np.float64)
