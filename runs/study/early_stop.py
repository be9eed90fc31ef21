"""Stop a slow trial early: its Sharpe ratio over the first part of the span is below the median of earlier trials."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

from scorenet import ConfigError
from scorenet.base.times import float_days
from strategies.analyzers.metrics import bar_returns, sharpe_ratio
from strategies.analyzers.recording import EquityAnalyzer
from strategies.datas import HALF_SECOND

__all__ = ["CHECKPOINTS", "EarlyStop", "MedianRule", "checkpoint_times"]

CHECKPOINTS = (0.25, 0.5)
"""Fractions of the span after which a trial is looked at."""


class EarlyStop(EquityAnalyzer):
    """Note the Sharpe ratio so far at each checkpoint, and stop the run where it is below the floor.

    Params:
      - ``checks``: bar closes of the checkpoints, UTC ms, ascending.
      - ``floors``: Sharpe ratios for the first of them; without a floor the run goes on.
    """

    params: Any = (("checks", ()), ("floors", ()))

    def start(self) -> None:
        """Look up the first checkpoint."""
        super().start()
        self._due = [float_days(check) - HALF_SECOND for check in self.p.checks]
        self.found: list[float] = []
        self.stopped = False

    def next(self) -> None:
        """Record one bar; at a checkpoint, measure."""
        super().next()
        place = len(self.found)
        if place >= len(self._due) or self._clock[0] < self._due[place]:
            return
        growth = self.recording.growth
        rate = self.recording.returns_per_year
        ratio = None if rate is None or len(growth) < 3 else sharpe_ratio(bar_returns(growth), rate)
        self.found.append(0.0 if ratio is None or not np.isfinite(ratio) else float(ratio))
        if place < len(self.p.floors) and self.found[-1] < self.p.floors[place]:
            self.stopped = True
            self.strategy.env.runstop()

    def get_analysis(self) -> dict[str, Any]:
        """Return the Sharpe ratios at the checkpoints, and whether the run was stopped."""
        return {"early": tuple(self.found), "stopped": self.stopped}


@dataclass
class MedianRule:
    """The floors for the next trial: the median at each checkpoint over the trials that have reached it.

    Attributes:
        after: number of trials that are never stopped, so that the median means something.

    Raises:
        ConfigError: `after` is below 1.
    """

    after: int = 10
    _seen: list[list[float]] = field(default_factory=lambda: [[] for _ in CHECKPOINTS])

    def __post_init__(self) -> None:
        if self.after < 1:
            raise ConfigError(f"prune_after: expected at least 1 trial, found {self.after}")

    def add(self, early: Sequence[float]) -> None:
        """Add the figures of a trial that has ended."""
        for values, value in zip(self._seen, early, strict=False):
            insort(values, value)

    def floors(self) -> tuple[float, ...]:
        """Return the floors, or none yet."""
        if len(self._seen[0]) < self.after:
            return ()
        return tuple(median(values) for values in self._seen if len(values) >= self.after)


def checkpoint_times(first: int, last: int) -> tuple[int, ...]:
    """Return the checkpoints of a span from the bar close `first` to the bar close `last` (UTC ms)."""
    return tuple(round(first + share * (last - first)) for share in CHECKPOINTS)
