"""The dates of the folds: a training part, a validation part if asked for, and the test part that follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from feeds.bars.frame import clock_of_frame
from scorenet import ConfigError
from scorenet.base.times import DAY_MS, iso
from scorenet.calendars import Clock

from ..selection import SelectionError, walk_forward_splits
from .request import WalkRequest

__all__ = ["FoldDates", "fold_dates"]

Span = tuple[int, int]


@dataclass(frozen=True)
class FoldDates:
    """The parts of a fold: bars that open in [since, until), UTC ms.

    Attributes:
        number: 0 for the first fold.
        validation: where settings are chosen; None: nothing is chosen.
    """

    number: int
    train: Span
    test: Span
    validation: Span | None = None

    def __str__(self) -> str:
        return f"fold {self.number} ({iso(self.train[0])[:10]} to {iso(self.train[1])[:10]})"


def fold_dates(
    frames: Sequence[pd.DataFrame], request: WalkRequest, lookback: int, horizon: int
) -> list[FoldDates]:
    """Return the folds over the span of all bars; their lengths are in time, so holes do not move a date.

    With a trading calendar it is trading time: a year of 365 days is the mean number of bars in one.

    Between two parts are `purge` + `embargo` bars, by default horizon + lookback: no bar is behind a row of one part
    and before the target of another.

    Raises:
        ConfigError: a length is no whole number of bars, the gap is too small, or there are too few bars for one fold.
    """
    clock = clock_of_frame(frames[0])
    step = clock.step_ms
    first = min(int(frame["timestamp"].iloc[0]) for frame in frames)
    last = max(int(frame["timestamp"].iloc[-1]) for frame in frames)
    begin, end = clock.trading_ms([first, last]).tolist()
    purge = _at_least("purge", request.purge, horizon, "the horizon")
    embargo = _at_least("embargo", request.embargo, lookback, "the lookback")
    try:
        splits = walk_forward_splits(
            (end - begin) // step + 1,
            train=_bars("train", request.train, clock),
            test=_bars("test", request.test, clock),
            validation=_bars("validation", request.validation, clock) if request.validation else 0,
            purge=purge,
            embargo=embargo,
            expanding=request.expanding,
        )
    except SelectionError as error:
        raise ConfigError(f"{error}; the bars reach from {iso(first)} to {iso(last)}") from error

    def span(bars: np.ndarray) -> Span:
        return tuple(clock.open_at(begin + np.array([bars[0], bars[-1] + 1]) * step).tolist())

    return [
        FoldDates(number, span(s.train), span(s.test), span(s.validation) if len(s.validation) else None)
        for number, s in enumerate(splits)
    ]


def _bars(name: str, days: float, clock: Clock) -> int:
    if clock.calendar is not None:  # the bars that so many days have in the mean
        return max(round(days * clock.bars_per_year / 365), 1)
    count = days * DAY_MS / clock.step_ms
    if abs(count - round(count)) > 1e-6 or round(count) < 1:
        raise ConfigError(f"--{name}: expected days that are a whole number of bars, found {days:g}")
    return round(count)


def _at_least(name: str, given: int | None, least: int, what: str) -> int:
    if given is not None and given < least:
        raise ConfigError(
            f"--{name}: expected at least {least} bars, {what} of the model, found {given}: with less, bars of one "
            "part would be known in another"
        )
    return least if given is None else given
