"""A plane of two axes for points and cells, as inline SVG in the style of the other charts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..axes import Tick, value_ticks
from ..charts import Frame, label
from ..markup import esc

__all__ = ["HALF_PLANE", "Plane", "dots", "ring", "ticks_of"]

Array = npt.NDArray[np.float64]

LEFT, TOP, BOTTOM = 62, 10, 44
HALF_PLANE = Frame(524, 300, 16)


@dataclass(frozen=True)
class Plane:
    """Map data to pixels: ends of both axes, and the frame."""

    x_ends: tuple[float, float]
    y_ends: tuple[float, float]
    frame: Frame = HALF_PLANE

    @property
    def right(self) -> int:
        """Return the right edge in pixels."""
        return self.frame.width - self.frame.right

    @property
    def base(self) -> int:
        """Return the lower edge in pixels."""
        return self.frame.height - BOTTOM

    def x(self, value: npt.ArrayLike) -> Array:
        """Return horizontal pixels."""
        low, high = self.x_ends
        return LEFT + (np.asarray(value, dtype=np.float64) - low) / (high - low) * (self.right - LEFT)

    def y(self, value: npt.ArrayLike) -> Array:
        """Return vertical pixels."""
        low, high = self.y_ends
        return self.base - (np.asarray(value, dtype=np.float64) - low) / (high - low) * (self.base - TOP)

    def grid(self, xs: Sequence[Tick], ys: Sequence[Tick], names: tuple[str, str]) -> str:
        """Return hairlines and marks of both axes, with their names; a text that would touch another is left out."""
        parts, taken = [], -1e9
        for tick in ys:
            y = float(self.y(tick.at))
            parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{self.right}"/>')
            parts.append(label(LEFT - 7, y + 3.5, tick.text, "tick", "end"))
        for tick in xs:
            x, half = float(self.x(tick.at)), 3.2 * len(tick.text)
            parts.append(f'<path class="grid" d="M{x:.1f} {self.base}v4"/>')
            if x - half > taken + 6:
                parts.append(label(x, self.base + 16, tick.text, "tick", "middle"))
                taken = x + half
        middle = (LEFT + self.right) / 2
        parts.append(label(middle, self.frame.height - 8, names[0], "axisname", "middle"))
        height = (TOP + self.base) / 2
        parts.append(
            f'<text class="axisname" transform="translate(12 {height:.1f}) rotate(-90)" text-anchor="middle">'
            f"{esc(names[1])}</text>"
        )
        return "".join(parts)


def ticks_of(low: float, high: float, write: Callable[[float], str], count: int = 5) -> list[Tick]:
    """Return about `count` marks at round values."""
    return [Tick(value, write(value)) for value in value_ticks(low, high, count)]


def dots(plane: Plane, x: Array, y: Array, css: str, radius: float = 2.2) -> str:
    """Return a dot per point; those that are not finite are left out."""
    there = np.isfinite(x) & np.isfinite(y)
    pairs = zip(plane.x(x[there]).tolist(), plane.y(y[there]).tolist(), strict=True)
    return "".join(f'<circle class="{css}" cx="{px:.1f}" cy="{py:.1f}" r="{radius}"/>' for px, py in pairs)


def ring(plane: Plane, x: float, y: float, hint: str) -> str:
    """Return the mark of the best trial."""
    place = f'cx="{float(plane.x(x)):.1f}" cy="{float(plane.y(y)):.1f}" r="5.5"'
    return f'<circle class="best" {place}><title>{esc(hint)}</title></circle>'
