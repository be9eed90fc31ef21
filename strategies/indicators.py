"""The features and the model's outputs as Backtrader lines; `once` and `next` use the same code for both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import repeat
from typing import Any

import backtrader as bt
import numpy as np

from scorenet import feature_set
from scorenet.calendars import clock_of
from scorenet.features import INPUTS, OPTIONAL_INPUTS
from scorenet.model import Evaluation

from .buffers import has_column, store, tail, whole
from .cerebro.columns import check_bars, check_fits, check_values
from .cerebro.panels import LINES, add_panels
from .datas import bar_milliseconds, symbol_of, to_milliseconds
from .schedule import ModelSchedule

__all__ = ["MarketScore", "MarketState"]

_COLUMNS = INPUTS + OPTIONAL_INPUTS
_STATE_LINES = tuple(dict.fromkeys(feature_set("chapter").names + feature_set("extended").names))


class MarketState(bt.Indicator):
    """The raw features of a feature set.

    Params:
      - ``features`` (def: "extended"): "chapter" or "extended".
      - ``calendar`` (def: None): trading calendar of a market that closes; None takes that of the data, if it has one.

    Lines: the features of both sets by name. NaN are the features of the other set, and the features whose optional
    column (funding_rate, open_interest) is missing from the data.
    """

    lines = _STATE_LINES
    params = (("features", "extended"), ("calendar", None))
    plotinfo = {"plot": False}

    def __init__(self) -> None:
        present = tuple(name for name in OPTIONAL_INPUTS if has_column(self.data, name))
        self._set = feature_set(self.p.features, present)
        self._step = bar_milliseconds(self.data)
        self._trading_clock = clock_of(self.p.calendar or getattr(self.data, "calendar", None), self._step)
        self._outputs = [(index, getattr(self.lines, name)) for index, name in enumerate(self._set.names)]
        self.addminperiod(self._set.lookback + 1)

    def next(self) -> None:
        bars = tail(self.data, _COLUMNS, self._set.lookback + 1)
        state = self._set.compute(bars, self._step, self._trading_clock)[-1]
        for index, line in self._outputs:
            line[0] = float(state[index])

    def once(self, start: int, end: int) -> None:
        states = self._set.compute(whole(self.data, _COLUMNS), self._step, self._trading_clock)
        for index, line in self._outputs:
            store(line, start, end, np.ascontiguousarray(states[:, index]))


class MarketScore(bt.Indicator):
    """The outputs of a score model at every bar.

    Params:
      - ``model``: a model folder, a `ScoreModel`, or a sequence of (since, model) pairs (`ModelSchedule`).
      - ``signal`` (def: "forward"): "forward" (score of the next return) or "state" (score of the last return).
      - ``tails`` (def: False): compute the tail means too; they are NaN otherwise.

    Lines: ``score``, ``signal`` (-1 .. 1), ``confidence`` (0 .. 1), ``score_std``, ``log_density`` (nats),
    ``density_rank`` (conformal p-value), ``volatility`` (log-return per bar); of the log-return over the horizon
    ``expected_return``, ``return_std``, ``lower_tail`` and ``upper_tail`` (means beyond the 5 % and 95 % quantiles);
    ``strength`` (score over its typical size).

    A plot shows density_rank, score, confidence and log_density, each in a panel of its own.
    """

    lines = Evaluation._fields
    params = (("model", None), ("signal", "forward"), ("tails", False))
    plotinfo = {"subplot": True, **LINES["density_rank"]}
    plotlines = {
        name: {"_name": "density rank"} if name == "density_rank" else {"_plotskip": True}
        for name in Evaluation._fields
    }

    def __init__(self) -> None:
        self._models = ModelSchedule(self.p.model)
        (self._step,) = {check_fits(model, self.data) for model in self._models.models}
        self._outputs = [getattr(self.lines, name) for name in Evaluation._fields]
        self._values = _Values(self.data, self._models, self.p.signal, self._step, tails=self.p.tails)
        self.addminperiod(self._models.lookback + 1)
        # The bars of a feed of this project have been validated.
        self._foreign, self._checked = not hasattr(self.data, "absent"), False

    def _plotinit(self) -> None:
        add_panels(self)

    def _plotlabel(self) -> list[str]:
        return [symbol_of(self.data), self.p.signal]

    def next(self) -> None:
        if self._foreign:
            self._check()
        close = int(to_milliseconds(self.data.lines.datetime[0]))
        for line, value in zip(self._outputs, self._values.at(close), strict=True):
            line[0] = value

    def _check(self) -> None:
        # Only now: before the run the bars of a data that is not preloaded are not known.
        if not self._checked:
            for model in self._models.models:
                bars = tail(self.data, model.features.inputs, model.lookback + 1)
                check_bars(model, self.data, bars, self._step)
                check_values(self.data, bars)
        else:
            check_values(self.data, tail(self.data, INPUTS, 1))
        self._checked = True

    def once(self, start: int, end: int) -> None:
        evaluation = self._models.evaluate(
            partial(whole, self.data), self.p.signal, self._step, tails=self.p.tails
        )
        for line, values in zip(self._outputs, evaluation, strict=True):
            store(line, start, end, values)

    def forward(self, value: float = math.nan, size: int = 1) -> None:
        """Extend the lines by `size` bars."""
        if size == 1:
            super().forward(value)
            return
        # A vectorised run adds all bars in one call, but Backtrader's implementation appends them one by one.
        for line in self._outputs:
            line.array.extend(repeat(value, size))
        self.advance(size)

    def advance(self, size: int = 1) -> None:
        """Move to the next bar of a vectorised run; Backtrader calls this once per bar."""
        # Backtrader's implementation makes several calls for each of the lines and takes as long as a decision.
        first = self._outputs[0]
        at, count = first._idx + size, first.lencount + size
        for line in self._outputs:
            line._idx, line.lencount = at, count

    def __len__(self) -> int:
        """Return the number of bars so far, faster than Backtrader's implementation, which makes three calls."""
        count: int = self._outputs[0].lencount
        return count


class _Values:
    """The outputs bar by bar; those of bars that a replay will deliver next are computed together, which is faster."""

    def __init__(self, data: Any, models: ModelSchedule, signal: str, step: int, *, tails: bool) -> None:
        self._data, self._models = data, models
        self._signal, self._step, self._tails = signal, step, tails
        self._known: dict[int, Sequence[float]] = {}

    def at(self, close: int) -> Sequence[float]:
        """Return the outputs of the current bar, which closes at `close` (UTC ms)."""
        if close in self._known:
            return self._known.pop(close)
        coming = self._data.coming() if hasattr(self._data, "coming") else []
        if not coming:
            return self._models.evaluate_last(
                partial(tail, self._data), close, self._signal, self._step, tails=self._tails
            )
        read = partial(self._until, coming)
        evaluation = self._models.evaluate(read, self._signal, self._step, tails=self._tails)
        closes = [close, *(row.close_time for row in coming)]
        last = [values[-len(closes) :].tolist() for values in evaluation]
        self._known = dict(zip(closes, zip(*last, strict=True), strict=True))
        return self._known.pop(close)

    def _until(self, coming: Sequence[Any], names: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Return the columns of the bars that the models need now, and of those to come."""
        columns = tail(self._data, names, self._models.lookback + 1)
        fields = {name: "close_time" if name == "timestamp" else name for name in columns}
        return {
            name: np.append(columns[name], [getattr(row, field) for row in coming])
            for name, field in fields.items()
        }
