"""A schedule of models: which model evaluates a bar, for refits on the way."""

from __future__ import annotations

import math
import numbers
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from scorenet import Evaluation, FeatureMismatch, ScoreModel
from scorenet.base.printable import one_line
from scorenet.base.times import DAY_MS, iso
from scorenet.features import Bars
from scorenet.regimes.labels import required

from .models import resolve_model

__all__ = ["ModelSchedule", "ModelSource"]

_Single: TypeAlias = ScoreModel | str | Path


class ModelSchedule:
    """Models in order of time: a bar is evaluated by the newest one whose `since` is not after the bar's close.

    A bar that closes before the first `since` has no outputs. A single model is a schedule that has always begun.

    Args:
        source: a model, its folder, or a sequence of (since, model) pairs; `since` is UTC ms.

    Attributes:
        since: times from which the models are used, UTC ms, ascending.
        models: the models, in the same order.
        lookback: bars before the current one that the models need, the largest of all.
        horizon: bars ahead of the main forecast, the same for all models.
        calendar: trading calendar of the models' markets, the same for all; None if they never close.
        clock: the clock of this calendar.

    Raises:
        ConfigError: the models have a calendar, and exchange_calendars is not installed.
        CheckpointError: a folder has no valid model.
        TypeError: `source` is none of these.
        ValueError: there is no pair, or the times do not ascend.
        FeatureMismatch: the models have several bar sizes, horizons or calendars.
    """

    def __init__(self, source: ModelSource) -> None:
        pairs = _pairs(source)
        self.since = tuple(since for since, _ in pairs)
        self.models = tuple(resolve_model(model) for _, model in pairs)
        if any(later <= since for since, later in zip(self.since, self.since[1:], strict=False)):
            raise ValueError(
                f"model: expected pairs in order of time, each later than the one before, found {list(self.since)}"
            )
        self.lookback = max(model.lookback for model in self.models)
        self.horizon = self._common("horizon", lambda model: model.horizon)
        self._common("bar_ms", lambda model: model.info.get("bar_ms"))
        self.calendar = self._common("calendar", lambda model: model.calendar)
        self.clock = self.models[0].clock

    def __repr__(self) -> str:
        begins = ("always" if since == -math.inf else iso(int(since)) for since in self.since)
        pairs = (f"from {begin}: {model!r}" for begin, model in zip(begins, self.models, strict=True))
        return one_line(self, *(pair.removeprefix("from always: ") for pair in pairs))

    def check_strength(self) -> None:
        """Check that all models know the size of their typical forecast.

        Raises:
            ValueError: a model was written by an earlier version.
        """
        if any(math.isnan(model.calibration.typical_forecast) for model in self.models):
            raise ValueError(
                "position_rule 'proportional' needs the size of the model's typical forecast, which models of earlier "
                "versions do not have; train the model again, or set position_rule='confidence'"
            )

    def number_at(self, close: float) -> int:
        """Return the number of the model for a bar that closes at `close` (UTC ms), -1 before the first."""
        return bisect_right(self.since, close) - 1

    def expiries(self, days: float) -> tuple[float, ...]:
        """Return the last close (UTC ms) at which each model may trade, `days` after its training and calibration.

        Raises:
            ValueError: a model does not say when that was.
        """
        ends = [model.learned_until for model in self.models]
        known = [end for end in ends if end is not None]
        if len(known) < len(ends):
            raise ValueError(
                "expire_after: the model does not say when its training ended; train it again, or set expire_after=0"
            )
        return tuple(end + days * DAY_MS for end in known)

    def regime_numbers(self, wanted: Sequence[str | int]) -> tuple[frozenset[int], ...]:
        """Return the numbers of regimes, given by name or number, in each model.

        Raises:
            ConfigError: a model has no regimes, or none of this name or number.
        """
        return tuple(required(model.regime_map).numbers(wanted) for model in self.models)

    def evaluate_last(
        self, read: Callable[[tuple[str, ...], int], Bars], close: int, signal: str, step: int, *, tails: bool
    ) -> Sequence[float]:
        """Return the outputs of the bar that closes at `close`; `read(names, n)` returns columns of the last n bars."""
        number = self.number_at(close)
        if number < 0:
            return _NOTHING
        model = self.models[number]
        bars = read(model.features.inputs, model.lookback + 1)
        # Python floats: bounded buffers store the object itself, and a numpy scalar would spread into order sizes.
        return [float(values[-1]) for values in model.evaluate(bars, signal, step, tails=tails)]

    def evaluate(
        self, read: Callable[[tuple[str, ...]], Bars], signal: str, step: int, *, tails: bool
    ) -> Evaluation:
        """Return the outputs of all bars, [T] each; `read(names)` returns columns of all bars."""
        if self.since == (-math.inf,):
            (model,) = self.models
            return model.evaluate(read(model.features.inputs), signal, step, tails=tails)
        closes = np.asarray(read(())["timestamp"], dtype=np.int64)
        out = Evaluation(*(np.full(len(closes), np.nan) for _ in Evaluation._fields))
        for model, rows in self.spans(closes):
            first = max(rows.start - model.lookback, 0)
            part = {name: values[first : rows.stop] for name, values in read(model.features.inputs).items()}
            for whole, values in zip(out, model.evaluate(part, signal, step, tails=tails), strict=True):
                whole[rows] = values[rows.start - first :]
        return out

    def spans(self, closes: NDArray[np.int64]) -> Iterator[tuple[ScoreModel, slice]]:
        """Return each model with the bars that it evaluates; `closes` [T] in UTC ms, ascending."""
        edges = [*np.searchsorted(closes, self.since, side="left").tolist(), len(closes)]
        for model, start, stop in zip(self.models, edges, edges[1:], strict=False):
            if stop > start:
                yield model, slice(start, stop)

    def _common(self, name: str, value: Callable[[ScoreModel], Any]) -> Any:
        found = {value(model) for model in self.models}
        if len(found) > 1:
            raise FeatureMismatch(
                f"model: expected models of one {name}, found {', '.join(sorted(map(str, found)))}; "
                "train all models of a schedule with the same settings and timeframe"
            )
        return found.pop()


ModelSource: TypeAlias = _Single | Sequence[tuple[float, _Single]] | ModelSchedule

_NOTHING = (math.nan,) * len(Evaluation._fields)


def _pairs(source: ModelSource) -> list[tuple[float, _Single]]:
    if isinstance(source, ModelSchedule):
        return list(zip(source.since, source.models, strict=True))
    if isinstance(source, str | Path) or not isinstance(source, Sequence):
        return [(-math.inf, source)]
    pairs: list[tuple[float, _Single]] = []
    for pair in source:
        if not isinstance(pair, tuple | list) or len(pair) != 2 or not isinstance(pair[0], numbers.Real):
            raise TypeError(f"model: expected pairs (since in UTC ms, model), found {pair!r}")
        pairs.append((pair[0], pair[1]))
    if not pairs:
        raise ValueError("model: expected at least one pair (since in UTC ms, model), found none")
    return pairs
