"""The market state: the only definition of the model's input, for training, backtest and live trading.

Row t of `compute` depends on bars t - lookback .. t only, through finite windows. Earlier or later bars do not
change it: the whole series, a tail of `lookback + 1` bars and a growing live buffer give the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..calendars import Clock
from ..errors import FeatureMismatch
from .registry import FEATURE_SETS
from .window import INPUTS, OPTIONAL_INPUTS, Array, Bars, Window, volatility

__all__ = ["FeatureSet", "feature_set"]

_BLOCK = 4096  # rows computed at a time: bounds memory for a year of minutes
_WINDOW_VALUES = 500_000  # values a column that are copied into windows at a time


@dataclass(frozen=True)
class FeatureSet:
    """The features of a model, their lookback and the scale of its returns.

    Attributes:
        name: of the set, an entry of `FEATURE_SETS`.
        names: feature names, the columns of `compute`.
        kinds: transform per feature in the scaler: "linear", "log" or "logit".
        lookback: bars before t that row t may use.
        volatility_window: bars of the volatility (root mean square log-return per bar) that scales returns.
    """

    name: str
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    lookback: int
    volatility_window: int

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns of the bars that `compute` reads."""
        definition = FEATURE_SETS[self.name]
        needs = {item.needs for item in definition.features if item.name in self.names} | set(
            definition.needs
        )
        return INPUTS + tuple(name for name in OPTIONAL_INPUTS if name in needs)

    @property
    def return_index(self) -> int:
        """Column of the one-bar return, whose score is the `state` signal; 0 in a set without one."""
        return self.names.index("return_1") if "return_1" in self.names else 0

    def compute(self, bars: Bars, step_ms: int | None = None, clock: Clock | None = None) -> Array:
        """Compute the market state of every bar, float64 [T, F].

        The first `lookback` rows are NaN. With `step_ms` and a "timestamp" column (UTC ms), rows whose lookback
        contains a missing bar are NaN too: no feature is computed across a gap. `clock` is that of a market with
        sessions, whose closed hours are no gap.

        Raises:
            FeatureMismatch: a column is missing; the message names it.
        """
        return self.compute_with_volatility(bars, step_ms, clock)[0]

    def compute_with_volatility(
        self, bars: Bars, step_ms: int | None = None, clock: Clock | None = None
    ) -> tuple[Array, Array]:
        """Compute `compute` [T, F] and `volatility` [T] in one pass over the bars.

        Raises:
            FeatureMismatch: a column is missing; the message names it.
        """
        columns = self._columns(bars)
        total = len(columns["close"])
        out, scale = np.full((total, len(self.names)), np.nan), np.full(total, np.nan)
        fill = FEATURE_SETS[self.name].fill
        for window, rows in self._windows(columns):
            fill(window, self.names, out[rows])
            scale[rows] = volatility(window, self.volatility_window)
        out[_rows_across_gaps(bars, self.lookback, step_ms, clock)] = np.nan
        return out, scale

    def volatility(self, bars: Bars) -> Array:
        """Compute the root mean square log-return per bar over `volatility_window` bars, [T] (NaN in the warm-up)."""
        columns = {"close": np.asarray(bars["close"], dtype=np.float64)}
        out = np.full(len(columns["close"]), np.nan)
        for window, rows in self._windows(columns):
            out[rows] = volatility(window, self.volatility_window)
        return out

    def check_rows(self, bars: Bars) -> None:
        """Check that no row depends on the other rows of its block, because live bars are computed one by one.

        Raises:
            FeatureMismatch: a row differs from the same row computed alone.
        """
        if FEATURE_SETS[self.name].source is None:
            return
        whole, total = self.compute(bars), len(bars["close"])
        for row in sorted({self.lookback, (self.lookback + total) // 2, total - 1}):
            if self.lookback <= row < total:
                tail = {name: bars[name][row - self.lookback : row + 1] for name in self.inputs}
                alone = self.compute(tail)[-1]
                if not np.array_equal(alone, whole[row], equal_nan=True):
                    column = self.names[int(np.argmax(~((alone == whole[row]) | np.isnan(alone))))]
                    raise FeatureMismatch(
                        f"feature set {self.name!r}: {column!r} of bar {row} depends on the rows computed with it; "
                        "every row must follow from its own window alone"
                    )

    def _windows(self, columns: dict[str, Array]) -> Iterator[tuple[Window, slice]]:
        total = len(columns["close"])
        block = _BLOCK
        if FEATURE_SETS[self.name].source is not None:  # the function receives whole windows
            block = max(min(_BLOCK, _WINDOW_VALUES // (self.lookback + 1)), 1)
        for first in range(self.lookback, total, block):
            stop = min(first + block, total)
            yield Window(columns, self.lookback, first, stop), slice(first, stop)

    def _columns(self, bars: Bars) -> dict[str, Array]:
        inputs = self.inputs
        missing = [name for name in inputs if name not in bars]
        if missing:
            raise FeatureMismatch(
                f"the feature set {self.name!r} needs the column(s) {', '.join(missing)}; found {', '.join(bars)}. "
                "Load bars with them, or train a model without them."
            )
        return {name: np.asarray(bars[name], dtype=np.float64) for name in inputs}


def feature_set(
    name: str, available: tuple[str, ...] | None = None, empty: tuple[str, ...] = ()
) -> FeatureSet:
    """Return a feature set by name, without features whose optional inputs are not in `available`.

    Features that need a column of `empty`, which every market has but without data in it, are left out too.

    Raises:
        ConfigError: the name is unknown.
    """
    found = FEATURE_SETS[name]
    missing = set(empty) if available is None else {*empty, *OPTIONAL_INPUTS} - set(available)
    kept = [f for f in found.features if f.needs not in missing]
    names, kinds = tuple(f.name for f in kept), tuple(f.kind for f in kept)
    return FeatureSet(name, names, kinds, found.lookback, found.volatility_window)


def _rows_across_gaps(
    bars: Bars, lookback: int, step_ms: int | None, clock: Clock | None
) -> NDArray[np.bool_]:
    total = len(bars["close"])
    across = np.zeros(total, dtype=bool)
    if step_ms is None or "timestamp" not in bars or total < 2:
        return across
    times = bars["timestamp"] if clock is None else clock.trading_ms(bars["timestamp"])
    for jump in np.flatnonzero(np.diff(times) != step_ms) + 1:
        across[jump : jump + lookback] = True
    return across
