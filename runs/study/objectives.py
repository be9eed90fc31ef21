"""What a search maximises or minimises: metrics by their names in metrics.json."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scorenet import ConfigError
from scorenet.base.did_you_mean import did_you_mean

from .outcome import METRICS

__all__ = ["Objectives"]

_SMALLER_IS_BETTER = frozenset({"volatility", "turnover", "fees", "funding", "slippage", "liquidations"})


@dataclass(frozen=True)
class Objectives:
    """One or several metrics; the first decides which trial is the best.

    Volatility, turnover, costs and liquidations are minimised, all others are maximised (a drawdown is negative).

    Raises:
        ConfigError: there is none, one is named twice, or a name is not that of a metric.
    """

    names: tuple[str, ...] = ("sharpe_ratio",)

    def __post_init__(self) -> None:
        if not self.names:
            raise ConfigError("objective: expected a metric such as sharpe_ratio, found none")
        for name in self.names:
            if name not in METRICS:
                hint = did_you_mean(name, METRICS) or f"; known: {', '.join(METRICS)}"
                raise ConfigError(f"objective: expected a metric, found {name!r}{hint}")
            if self.names.count(name) > 1:
                raise ConfigError(f"objective: expected each metric once, found {name} twice")

    @property
    def directions(self) -> tuple[str, ...]:
        """Return "maximize" or "minimize" for each metric."""
        return tuple("minimize" if name in _SMALLER_IS_BETTER else "maximize" for name in self.names)

    def values(self, metrics: Mapping[str, float | None]) -> tuple[float, ...] | None:
        """Return the objectives of a trial; None if one is undefined."""
        found = [metrics.get(name) for name in self.names]
        numbers = tuple(float(value) for value in found if value is not None and math.isfinite(value))
        return numbers if len(numbers) == len(found) else None

    def merit(self, metrics: Mapping[str, float | None]) -> float:
        """Return a number that is higher the better a trial is by the first objective; -inf if it is undefined."""
        value = metrics.get(self.names[0])
        if value is None or not math.isfinite(value):
            return -math.inf
        return -float(value) if self.directions[0] == "minimize" else float(value)

    def front(self, rows: Sequence[Mapping[str, float | None]]) -> list[int]:
        """Return the positions of the trials than which no other is at least as good in all and better in one."""
        signs = [-1.0 if direction == "minimize" else 1.0 for direction in self.directions]
        points = [
            (place, tuple(sign * value for sign, value in zip(signs, found, strict=True)))
            for place, metrics in enumerate(rows)
            if (found := self.values(metrics)) is not None
        ]
        # In descending order no later point can be better than an earlier one in the first objective.
        points.sort(key=lambda item: item[1], reverse=True)
        kept: list[tuple[int, tuple[float, ...]]] = []
        for place, point in points:
            if not any(_dominates(other, point) for _, other in kept):
                kept.append((place, point))
        return [place for place, _ in kept]


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(mine >= theirs for mine, theirs in zip(one, other, strict=True))
