"""The bars that a feature can read: its own bar and the `lookback` bars before it, for a block of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = ["INPUTS", "OPTIONAL_INPUTS", "VOLATILITY_FLOOR", "Array", "Bars", "Window", "volatility"]

Array = NDArray[np.float64]
Bars = Mapping[str, Array]

INPUTS = ("open", "high", "low", "close", "volume")
OPTIONAL_INPUTS = ("funding_rate", "open_interest")

VOLATILITY_FLOOR = 1e-8  # log-return per bar; without it, a market with constant prices would have scale 0


class Window:
    """Views of a block of bars; each feature reads its rows from them."""

    def __init__(self, bars: Bars, lookback: int, first: int, stop: int) -> None:
        begin = first - lookback
        self._bars = {name: np.ascontiguousarray(values[begin:stop]) for name, values in bars.items()}
        self._skip, self._rows = lookback, stop - first
        self._memo: dict[tuple[str, int], Array] = {}

    def now(self, name: str, back: int = 0) -> Array:
        """Return [rows]: the value of a column `back` bars before each row's own."""
        return self._column(name)[self._skip - back : self._skip - back + self._rows]

    def last(self, name: str, n: int) -> Array:
        """Return [rows, n]: the n latest values of a column at each row, oldest first."""
        column = self._column(name)[self._skip - n + 1 : self._skip + self._rows]
        step = column.itemsize
        # Instead of sliding_window_view, whose checks take longer at a live bar than all sums below.
        view = np.ndarray((self._rows, n), np.float64, column, 0, (step, step))
        return view.copy()

    def rms(self, name: str, n: int) -> Array:
        """Return [rows]: the root mean square of the n latest values of a column."""
        key = (f"rms {name}", n)
        if key not in self._memo:
            self._memo[key] = np.sqrt((self.last(name, n) ** 2).mean(axis=1))
        return self._memo[key]

    def mean(self, name: str, n: int) -> Array:
        """Return [rows]: the mean of the n latest values of a column."""
        key = (f"mean {name}", n)
        if key not in self._memo:
            self._memo[key] = self.last(name, n).mean(axis=1)
        return self._memo[key]

    def _column(self, name: str) -> Array:
        if name not in self._bars:
            self._bars[name] = _DERIVED[name](self)
        return self._bars[name]

    def log_return(self) -> Array:
        close = np.log(self._bars["close"])
        return np.concatenate(([0.0], close[1:] - close[:-1]))

    def simple_return(self) -> Array:
        close = self._bars["close"]
        return np.concatenate(([0.0], close[1:] / close[:-1] - 1.0))

    def log_range(self) -> Array:
        return np.log(self._bars["high"] / self._bars["low"])


# The first return of a block has no previous bar and is set to 0. It is at t - lookback, and no window below reads
# it: a window of n returns starts n - 1 <= lookback - 1 bars before t.
_DERIVED: dict[str, Callable[[Window], Array]] = {
    "log_return": Window.log_return,
    "simple_return": Window.simple_return,
    "log_range": Window.log_range,
}


def volatility(window: Window, n: int) -> Array:
    """Return the root mean square log-return per bar over n bars, [rows], at least `VOLATILITY_FLOOR`."""
    return np.maximum(window.rms("log_return", n), VOLATILITY_FLOOR)
