"""Charts of the surface: a heat map of two settings, a contour of the fitted surface, a slice along one setting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...surface import Axis
from ..axes import Tick, value_ticks
from ..charts import label, svg
from ..markup import esc
from .plane import HALF_PLANE, Plane, dots, ring, ticks_of

__all__ = ["contour", "heat_map", "slice_chart"]

Array = npt.NDArray[np.float64]
Write = Callable[[float], str]

_BINS = 8  # of a range in a heat map
_COLUMNS, _ROWS, _LEVELS, _OTHERS = 30, 22, 8, 30
_MOST_DOTS = 700
_NUMBERS_UP_TO = 12  # columns of a heat map with numbers in its cells


def heat_map(one: Axis, other: Axis, values: Array, best: int, write: Write) -> str:
    """Return the mean objective in each cell of two settings; the cell of the best trial has a ring."""
    xs, ys = _bins(one), _bins(other)
    count_x, count_y = _count(one), _count(other)
    total, number = np.zeros((count_x, count_y)), np.zeros((count_x, count_y))
    known = np.isfinite(values)
    np.add.at(total, (xs[known], ys[known]), values[known])
    np.add.at(number, (xs[known], ys[known]), 1.0)
    means = np.where(number > 0, total / np.maximum(number, 1.0), np.nan)
    plane = Plane((0.0, count_x), (0.0, count_y))
    parts = [plane.grid(_bin_ticks(one), _bin_ticks(other), (one.name, other.name))]
    low, high = float(np.nanmin(means)), float(np.nanmax(means))
    for i in range(count_x):
        for j in range(count_y):
            if number[i, j]:
                share = (means[i, j] - low) / (high - low) if high > low else 0.5
                hint = f"{write(float(means[i, j]))}, mean of {int(number[i, j]):,} trials"
                parts.append(_cell(plane, (i, i + 1), (j, j + 1), share, hint))
                if count_x <= _NUMBERS_UP_TO:
                    x, y = float(plane.x(i + 0.5)), float(plane.y(j + 0.5)) + 3.5
                    css = "cell strong" if share > 0.55 else "cell"
                    parts.append(label(x, y, write(float(means[i, j])), css, "middle"))
    x, y = int(xs[best]), int(ys[best])
    left, top = float(plane.x(x)) + 1, float(plane.y(y + 1)) + 1
    width, height = float(plane.x(x + 1)) - left - 1, float(plane.y(y)) - top - 1
    parts.append(
        f'<rect class="best" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" rx="3"/>'
    )
    return svg(HALF_PLANE, f"Heat map of {one.name} and {other.name}", "".join(parts))


def contour(axes: Sequence[Axis], forest: Any, pair: tuple[int, int], best: int, write: Write) -> str:
    """Return the surface that the forest has fitted over two settings, averaged over the others, in 8 bands."""
    one, other = axes[pair[0]], axes[pair[1]]
    grid = [np.linspace(0.0, 1.0, count) for count in (_COLUMNS, _ROWS)]
    cells = np.stack(np.meshgrid(*grid, indexing="ij"), axis=-1).reshape(-1, 2)
    everywhere = np.column_stack([axis.places for axis in axes])
    others = everywhere[
        np.linspace(0, len(everywhere) - 1, min(_OTHERS, len(everywhere))).round().astype(int)
    ]
    many = np.repeat(others[None], len(cells), axis=0)
    many[:, :, pair[0]], many[:, :, pair[1]] = cells[:, :1], cells[:, 1:]
    surface = forest.predict(many.reshape(-1, len(axes))).reshape(len(cells), -1).mean(axis=1)
    bands = _banded(surface.reshape(_COLUMNS, _ROWS))
    plane = Plane((0.0, 1.0), (0.0, 1.0))
    parts = [plane.grid(_place_ticks(one), _place_ticks(other), (one.name, other.name))]
    wide, tall = 1.0 / _COLUMNS, 1.0 / _ROWS
    for j in range(_ROWS):
        i = 0
        while i < _COLUMNS:
            end = i
            while end < _COLUMNS and bands[end, j] == bands[i, j]:
                end += 1
            share = (bands[i, j] + 0.5) / _LEVELS
            parts.append(_cell(plane, (i * wide, end * wide), (j * tall, (j + 1) * tall), share, "", air=0.0))
            i = end
    few = np.linspace(0, len(everywhere) - 1, min(_MOST_DOTS, len(everywhere))).round().astype(int)
    parts.append(dots(plane, one.places[few], other.places[few], "dot faint", 1.4))
    parts.append(ring(plane, float(one.places[best]), float(other.places[best]), "the best trial"))
    ends = f"{write(float(surface.min()))} to {write(float(surface.max()))}"
    return svg(HALF_PLANE, f"Fitted surface of {one.name} and {other.name}, {ends}", "".join(parts))


def slice_chart(axis: Axis, values: Array, best: int, name: str, write: Write) -> str:
    """Return the objective of every trial along one setting, with the mean of each part of the axis."""
    known = np.flatnonzero(np.isfinite(values))
    low, high = float(values[known].min()), float(values[known].max())
    air = 0.05 * (high - low) or 1.0
    plane = Plane((-0.04, 1.04), (low - air, high + air))
    few = known[np.linspace(0, len(known) - 1, min(_MOST_DOTS, len(known))).round().astype(int)]
    marks = ticks_of(low, high, write)
    parts = [plane.grid(_place_ticks(axis), marks, (axis.name, name))]
    parts.append(dots(plane, axis.places[few], values[few], "dot"))
    bins, count = _bins(axis), _count(axis)
    middles = np.linspace(0.0, 1.0, count) if axis.labels else (np.arange(count) + 0.5) / count
    means = [
        values[known][bins[known] == place].mean() if np.any(bins[known] == place) else np.nan
        for place in range(count)
    ]
    points = [
        f"{float(plane.x(x)):.1f} {float(plane.y(y)):.1f}"
        for x, y in zip(middles, means, strict=True)
        if np.isfinite(y)
    ]
    parts.append(f'<path class="line strategy" d="M{"L".join(points)}"/>')
    parts.append(ring(plane, float(axis.places[best]), float(values[best]), "the best trial"))
    return svg(HALF_PLANE, f"{name} along {axis.name}", "".join(parts))


def _cell(
    plane: Plane, x: tuple[float, float], y: tuple[float, float], share: float, hint: str, air: float = 0.75
) -> str:
    left, top = float(plane.x(x[0])) + air, float(plane.y(y[1])) + air
    # Cells without air overlap by a hair, so that no background shows between them.
    more = 0.3 if air == 0.0 else 0.0
    width = float(plane.x(x[1])) - air - left + more
    height = float(plane.y(y[0])) - air - top + more
    said = f"<title>{esc(hint)}</title>" if hint else ""
    shade = f'class="heat" style="fill-opacity:{0.05 + 0.87 * share:.2f}"'
    return (
        f'<rect {shade} x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}">{said}</rect>'
    )


def _banded(surface: Array) -> npt.NDArray[np.int64]:
    low, high = float(surface.min()), float(surface.max())
    share = (surface - low) / (high - low) if high > low else np.full_like(surface, 0.5)
    return np.minimum((share * _LEVELS).astype(np.int64), _LEVELS - 1)


def _count(axis: Axis) -> int:
    return len(axis.labels) or _BINS


def _bins(axis: Axis) -> npt.NDArray[np.int64]:
    """Return the number of the value [N], or of the part of the range, in which each trial lies."""
    count = _count(axis)
    if axis.labels:
        return np.rint(axis.places * (count - 1)).astype(np.int64)
    return np.minimum((axis.places * count).astype(np.int64), count - 1)


def _bin_ticks(axis: Axis) -> list[Tick]:
    if axis.labels:
        return [Tick(place + 0.5, text) for place, text in enumerate(axis.labels)]
    return [Tick(tick.at * _BINS, tick.text) for tick in _place_ticks(axis)]


def _place_ticks(axis: Axis) -> list[Tick]:
    """Return the marks of an axis from 0 to 1: the values of a list, or round values of a range."""
    if axis.labels:
        return [Tick(place / (len(axis.labels) - 1), text) for place, text in enumerate(axis.labels)]
    if axis.log:
        return [Tick(place, f"{axis.value(place):.2g}") for place in (0.0, 0.25, 0.5, 0.75, 1.0)]
    wide = axis.high - axis.low
    return [Tick((v - axis.low) / wide, f"{v:.6g}") for v in value_ticks(axis.low, axis.high, 6)]
