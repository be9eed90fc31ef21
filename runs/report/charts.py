"""Charts as inline SVG, without libraries, scripts or fonts; colours come from the page's style sheet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .axes import Tick, time_ticks, value_ticks
from .decimate import keep_extremes
from .markup import esc

__all__ = [
    "BARE",
    "FREE",
    "FULL",
    "HALF",
    "WITH_ZERO",
    "Band",
    "Curve",
    "Frame",
    "ValueAxis",
    "column_chart",
    "label",
    "svg",
    "time_chart",
]

Array = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]

_LEFT, _TOP, _BOTTOM = 58, 12, 28
_LABEL_GAP = 15


@dataclass(frozen=True)
class Frame:
    """The size of a chart in CSS pixels, and the margin at its right for the names of its curves."""

    width: int
    height: int
    right: int


FULL = Frame(1080, 300, 138)
HALF = Frame(524, 230, 118)
BARE = Frame(524, 230, 14)


@dataclass(frozen=True)
class Curve:
    """One curve: name, times [N] in UTC ms (or positions on another axis), values [N], CSS class.

    With `step`, a value holds until the next one.
    """

    name: str
    times: Times | Array
    values: Array
    css: str
    area: bool = False
    step: bool = False
    line: bool = True


@dataclass(frozen=True)
class Band:
    """A shaded span of time, UTC ms, and its CSS class."""

    start: float
    end: float
    css: str


@dataclass(frozen=True)
class _Plane:
    """Map data to pixels."""

    frame: Frame
    start: float
    end: float
    low: float
    high: float

    def x(self, time: npt.ArrayLike) -> Array:
        share = (np.asarray(time, dtype=np.float64) - self.start) / max(self.end - self.start, 1e-9)
        return _LEFT + share * (self.frame.width - _LEFT - self.frame.right)

    def y(self, value: npt.ArrayLike) -> Array:
        share = (np.asarray(value, dtype=np.float64) - self.low) / (self.high - self.low)
        return self.frame.height - _BOTTOM - share * (self.frame.height - _TOP - _BOTTOM)


@dataclass(frozen=True, kw_only=True)
class ValueAxis:
    """The value axis: its lowest and highest value (None: those of the data), and whether it includes zero."""

    limits: tuple[float, float] | None = None
    zero: bool = False


FREE, WITH_ZERO = ValueAxis(), ValueAxis(zero=True)


def time_chart(
    curves: Sequence[Curve],
    write: Callable[[float], str],
    *,
    title: str,
    frame: Frame = FULL,
    bands: Sequence[Band] = (),
    axis: ValueAxis = FREE,
    level: tuple[float, str] | None = None,
    ticks: Sequence[Tick] | None = None,
) -> str:
    """Return a chart of curves over UTC time, each named at its right end with its last value.

    Args:
        write: turns a value into text, for the axis and the names.
        title: what the chart shows, for screen readers.
        bands: stretches shaded behind the curves.
        axis: the range of the value axis.
        level: a value to mark with a dashed line, and its text.
        ticks: marks of the horizontal axis; calendar marks when left out.
    """
    plane = _plane(curves, frame, axis.limits, axis.zero)
    parts = [_bands(bands, plane), _grid(plane, write, axis.zero, ticks=ticks)]
    parts += [_curve(curve, plane) for curve in curves]
    if level is not None:
        parts.append(_level(level, plane))
    parts.append(_names(curves, plane, write))
    return svg(frame, title, "".join(parts))


def column_chart(
    shares: Array,
    edges: Sequence[str],
    *,
    title: str,
    css: Sequence[str],
    level: tuple[float, str] | None = None,
) -> str:
    """Return a chart of columns [N] between named edges [N + 1]; shares are fractions of one."""
    frame = Frame(HALF.width, HALF.height, 92 if level else 16)
    high = max(float(shares.max(initial=0.0)), level[0] if level else 0.0) * 1.15 or 1.0
    plane = _Plane(frame, 0, len(shares), 0.0, high)
    parts = [_grid(plane, lambda v: f"{v * 100:.3g} %", zero=True, times=False)]
    parts += [_column(plane, i, share, css[i], edges[i : i + 2]) for i, share in enumerate(shares.tolist())]
    every = max(1, len(shares) // 5)
    for i in range(0, len(edges), every):
        parts.append(label(float(plane.x(i)), frame.height - 9, edges[i], "tick", "middle"))
    if level is not None:
        parts.append(_level(level, plane))
    return svg(frame, title, "".join(parts))


def _column(plane: _Plane, place: int, share: float, css: str, edges: Sequence[str]) -> str:
    left, right, top, base = plane.x(place), plane.x(place + 1), plane.y(share), plane.y(0)
    hint = esc(f"{' to '.join(edges)}: {share * 100:.1f} %")
    box = f'x="{left + 1:.1f}" y="{top:.1f}" width="{right - left - 2:.1f}" height="{base - top:.1f}"'
    return f'<rect class="{css}" {box}><title>{hint}</title></rect>'


def _plane(curves: Sequence[Curve], frame: Frame, limits: tuple[float, float] | None, zero: bool) -> _Plane:
    """Return the mapping that shows every finite value, with a small margin above and below."""
    times = np.concatenate([curve.times for curve in curves])
    values = np.concatenate([curve.values for curve in curves])
    values = values[np.isfinite(values)]
    if limits is None:
        low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
        if zero:
            low, high = min(low, 0.0), max(high, 0.0)
        high = 1.0 if zero and low == high == 0.0 else high
        air = 0.06 * (high - low) or 0.02 * abs(high) or 1.0
        limits = (
            low if zero and low == 0.0 < high else low - air,
            high if zero and high == 0.0 > low else high + air,
        )
    return _Plane(frame, float(times.min()), float(times.max()), *limits)


def _grid(
    plane: _Plane,
    write: Callable[[float], str],
    zero: bool,
    *,
    times: bool = True,
    ticks: Sequence[Tick] | None = None,
) -> str:
    """Return hairlines at round values, and the marks of both axes."""
    frame, parts = plane.frame, []
    right = frame.width - frame.right
    for value in value_ticks(plane.low, plane.high, max(2, frame.height // 56)):
        y = float(plane.y(value))
        css = "axis" if zero and abs(value) < 1e-12 else "grid"
        parts.append(f'<path class="{css}" d="M{_LEFT} {y:.1f}H{right}"/>')
        parts.append(label(_LEFT - 8, y + 3.5, write(value), "tick", "end"))
    if times:
        parts.append(_time_axis(plane, right, ticks))
    return "".join(parts)


def _time_axis(plane: _Plane, right: int, ticks: Sequence[Tick] | None) -> str:
    """Return the marks; a text that would touch the previous one is left out."""
    base, parts, taken = plane.frame.height - _BOTTOM, [], 0.0
    marks = time_ticks(int(plane.start), int(plane.end), right - _LEFT) if ticks is None else ticks
    for tick in marks:
        x, half = float(plane.x(tick.at)), 3.3 * len(tick.text)
        middle = min(max(x, _LEFT + half), right + 12 - half)
        parts.append(f'<path class="grid" d="M{x:.1f} {base}v4"/>')
        if middle - half > taken + 8:
            parts.append(label(middle, plane.frame.height - 9, tick.text, "tick", "middle"))
            taken = middle + half
    return "".join(parts)


def _curve(curve: Curve, plane: _Plane) -> str:
    kept = keep_extremes(curve.values, plane.frame.width - _LEFT - plane.frame.right)
    values = curve.values[kept]
    x, y = plane.x(curve.times[kept]), plane.y(np.clip(values, plane.low, plane.high))
    path = _path(x, y, np.isfinite(values), curve.step)
    if not path:
        return ""
    line = f'<path class="line {curve.css}" d="{path}"/>' if curve.line else ""
    if not curve.area:
        return line
    base = float(plane.y(min(max(0.0, plane.low), plane.high)))
    filled = _path(x, np.where(np.isfinite(values), y, base), np.ones(len(x), dtype=bool), curve.step)
    return (
        f'<path class="fill {curve.css}" d="{filled}L{x[-1]:.1f} {base:.1f}L{x[0]:.1f} {base:.1f}Z"/>{line}'
    )


def _path(x: Array, y: Array, finite: npt.NDArray[np.bool_], step: bool) -> str:
    """Return the points as SVG path data, broken where a value is missing."""
    parts, drawing = [], False
    for px, py, there in zip(x.tolist(), y.tolist(), finite.tolist(), strict=True):
        if not there:
            drawing = False
            continue
        if not drawing:
            parts.append(f"M{px:.1f} {py:.1f}")
        elif step:
            parts.append(f"H{px:.1f}V{py:.1f}")
        else:
            parts.append(f"L{px:.1f} {py:.1f}")
        drawing = True
    return "".join(parts)


def _bands(bands: Sequence[Band], plane: _Plane) -> str:
    height = plane.frame.height - _TOP - _BOTTOM
    parts = []
    for band in bands:
        left, right = float(plane.x(band.start)), float(plane.x(band.end))
        box = f'x="{left:.1f}" y="{_TOP}" width="{max(right - left, 0.5):.1f}" height="{height}"'
        parts.append(f'<rect class="{band.css}" {box}/>')
    return "".join(parts)


def _level(level: tuple[float, str], plane: _Plane) -> str:
    value, text = level
    y, right = float(plane.y(value)), plane.frame.width - plane.frame.right
    return f'<path class="level" d="M{_LEFT} {y:.1f}H{right}"/>' + label(
        right + 8, y + 3.5, text, "level", "start"
    )


def _names(curves: Sequence[Curve], plane: _Plane, write: Callable[[float], str]) -> str:
    """Return the name and last value of each curve next to its end; labels that would overlap are moved apart."""
    ends = []
    for curve in curves:
        finite = np.flatnonzero(np.isfinite(curve.values))
        if curve.name and len(finite):
            last = float(curve.values[finite[-1]])
            ends.append((float(plane.y(min(max(last, plane.low), plane.high))), curve, write(last)))
    ends.sort(key=lambda end: end[0])
    spread = _spread([y for y, _, _ in ends], _TOP + 4.0, plane.frame.height - _BOTTOM - 2.0)
    x = plane.frame.width - plane.frame.right + 8
    return "".join(
        f'<text class="name" x="{x}" y="{y + 3.5:.1f}"><tspan class="{curve.css}">{esc(curve.name)}</tspan> '
        f'<tspan class="last">{esc(text)}</tspan></text>'
        for y, (_, curve, text) in zip(spread, ends, strict=True)
    )


def _spread(wanted: list[float], low: float, high: float) -> list[float]:
    """Return sorted positions at least one line apart, as close to the given ones as the range allows."""
    placed: list[float] = []
    for y in wanted:
        placed.append(max(y, placed[-1] + _LABEL_GAP) if placed else max(y, low))
    for i in range(len(placed) - 1, -1, -1):
        placed[i] = min(placed[i], high if i == len(placed) - 1 else placed[i + 1] - _LABEL_GAP)
    return placed


def label(x: float, y: float, text: str, css: str, anchor: str) -> str:
    """Return a text at a point; `anchor` is start, middle or end."""
    return f'<text class="{css}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{esc(text)}</text>'


def svg(frame: Frame, title: str, body: str) -> str:
    """Return a chart of the parts in `body`; `title` is for screen readers."""
    return (
        f'<svg class="chart" viewBox="0 0 {frame.width} {frame.height}" role="img" aria-label="{esc(title)}">'
        f"{body}</svg>"
    )
