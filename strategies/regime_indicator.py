"""The regime of the market as Backtrader lines; `once` and `next` use the same code for both."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import backtrader as bt
import numpy as np
from numpy.typing import NDArray

from scorenet import ScoreModel
from scorenet.features import Bars
from scorenet.regimes.coordinates import coordinates
from scorenet.regimes.filter import WINDOW
from scorenet.regimes.labels import latest_regime, required

from .buffers import store, tail, whole
from .cerebro.columns import check_fits
from .datas import to_milliseconds
from .schedule import ModelSchedule

__all__ = ["MarketRegime", "regimes_of_bars"]

Array = NDArray[np.float64]


class MarketRegime(bt.Indicator):
    """The likeliest regime of the market given the last 168 bars, by a model's `regime_map`.

    Params:
      - ``model``: a model folder, a `ScoreModel`, or a sequence of (since, model) pairs (`ModelSchedule`).

    Lines: ``regime`` (number, NaN where the state is not known), ``regime_age`` (bars that it has lasted, 1 at its
    first), ``regime_changed`` (1.0 at the first bar of another regime than the bar before, otherwise 0.0).

    `names` are those of the newest model's regimes, by number.

    Raises:
        ConfigError: a model has no regimes.
    """

    lines = ("regime", "regime_age", "regime_changed")
    params = (("model", None),)
    plotinfo = {"subplot": True}

    def __init__(self) -> None:
        self._models = ModelSchedule(self.p.model)
        (self._step,) = {check_fits(model, self.data) for model in self._models.models}
        self.names = [required(model.regime_map) for model in self._models.models][-1].names
        self._needs = self._models.lookback + WINDOW
        self.addminperiod(self._needs)
        self._last, self._age = math.nan, 0.0
        self._outputs = [getattr(self.lines, name) for name in ("regime", "regime_age", "regime_changed")]

    def next(self) -> None:
        number = self._models.number_at(int(to_milliseconds(self.data.lines.datetime[0])))
        if number < 0:
            self._show(math.nan)
            return
        model = self._models.models[number]
        bars = tail(self.data, model.features.inputs, model.lookback + WINDOW)
        x = model.features.compute(bars, self._step, model.clock)[-WINDOW:]
        position = coordinates(model.features.names, x, model.lookback)
        times = model.clock.trading_ms(bars["timestamp"][-WINDOW:])
        label = latest_regime(model.regime_map, position, times, self._step)
        self._show(float(label) if label >= 0 else math.nan)

    def _show(self, regime: float) -> None:
        changed = regime != self._last and not math.isnan(regime + self._last)
        self._age = math.nan if math.isnan(regime) else self._age + 1 if regime == self._last else 1.0
        self._last = regime
        for line, value in zip(self._outputs, (regime, self._age, float(changed)), strict=True):
            line[0] = value

    def once(self, start: int, end: int) -> None:
        regimes = regimes_of_bars(self._models, partial(whole, self.data), self._step)
        changed = np.zeros(len(regimes))
        differs = regimes[1:] != regimes[:-1]
        changed[1:] = differs & ~np.isnan(regimes[1:] + regimes[:-1])
        index = np.arange(len(regimes))
        begin = np.maximum.accumulate(np.where(np.concatenate([[True], differs]), index, 0))
        age = np.where(np.isnan(regimes), np.nan, index - begin + 1.0)
        for line, values in zip(self._outputs, (regimes, age, changed), strict=True):
            store(line, start, end, values)


def regimes_of_bars(models: ModelSchedule, read: Callable[[tuple[str, ...]], Bars], step: int) -> Array:
    """Return the regime of every bar [T] by the model of its time, NaN where it is not known.

    `read(names)` returns columns of all bars with "timestamp", the bar close in UTC ms; `step` is the bar size in ms.
    """
    closes = np.asarray(read(())["timestamp"], dtype=np.int64)
    out = np.full(len(closes), math.nan)
    for model, rows in models.spans(closes):
        first = max(rows.start - model.lookback - WINDOW + 1, 0)
        part = {name: values[first : rows.stop] for name, values in read(model.features.inputs).items()}
        out[rows] = _regimes(model, part, step)[rows.start - first :]
    out[: models.lookback + WINDOW - 1] = math.nan
    return out


def _regimes(model: ScoreModel, bars: dict[str, np.ndarray], step: int) -> Array:
    """Return the regime of each of consecutive bars, [T]; NaN where the state is not known."""
    x = model.features.compute(bars, step, model.clock)
    labels = model.regimes(x, bars["timestamp"]).astype(np.float64)
    return np.where(labels < 0, math.nan, labels)
