"""The searched settings of a trial table as axes from 0 to 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["PREFIX", "Axis", "axes_of"]

PREFIX = "params_"
_FEW = 16  # different values that are a list, in order; more are a range
_LOG_RATIO = 10.0  # a range over a smaller factor is never drawn on a log axis

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Axis:
    """One setting.

    Attributes:
        name: its bare name.
        places: where each trial [N] lies, 0 to 1.
        labels: the values of a list, in order, at equal distances; empty for a range.
        low, high: ends of a range.
        log: the range is on a log axis.
    """

    name: str
    places: Array
    labels: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 1.0
    log: bool = False

    @property
    def step(self) -> float:
        """Return the distance of neighbouring values: one place of a list, a tenth of a range."""
        return 0.1 if not self.labels else 1.0 / max(1, len(self.labels) - 1)

    def value(self, place: float) -> float:
        """Return the value of a range at a place."""
        if self.log:
            return float(self.low * (self.high / self.low) ** place)
        return self.low + place * (self.high - self.low)


def axes_of(trials: pd.DataFrame) -> list[Axis]:
    """Return an axis for each setting with two different values or more."""
    found = [
        _axis(str(name).removeprefix(PREFIX), trials[name]) for name in trials if str(name).startswith(PREFIX)
    ]
    return [axis for axis in found if axis is not None]


def _axis(name: str, column: pd.Series) -> Axis | None:
    values = list(column.unique())
    if len(values) < 2:
        return None
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if len(values) <= _FEW or not numeric:
        ordered = sorted(values, key=_order)
        index = {_text(value): place for place, value in enumerate(ordered)}
        ranks = column.map(lambda value: index[_text(value)]).to_numpy(np.float64) / (len(ordered) - 1)
        return Axis(name, ranks, tuple(_text(value) for value in ordered))
    numbers = column.astype("float64").to_numpy()
    numbers = np.where(np.isnan(numbers), np.nanmin(numbers), numbers)
    low, high = float(numbers.min()), float(numbers.max())
    places: Array = np.asarray((numbers - low) / (high - low), dtype=np.float64)
    if low > 0 and high / low > _LOG_RATIO:
        # The middle trial of a range that was drawn on a log axis lies in the middle of that axis.
        by_factor: Array = np.log(numbers / low) / np.log(high / low)
        if abs(np.median(by_factor) - 0.5) < abs(np.median(places) - 0.5):
            return Axis(name, by_factor, (), low, high, True)
    return Axis(name, places, (), low, high)


def _order(value: Any) -> tuple[int, float, str]:
    if pd.isna(value):
        return (0, 0.0, "")
    return (1, float(value), "") if isinstance(value, int | float | np.number) else (2, 0.0, str(value))


def _text(value: Any) -> str:
    if pd.isna(value):
        return "none"
    return (
        f"{value:g}"
        if isinstance(value, int | float | np.number) and not isinstance(value, bool)
        else str(value)
    )
