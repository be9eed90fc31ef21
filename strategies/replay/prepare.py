"""Compute once what all sets of a study share: bars on one clock, model outputs, regimes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorenet import FeatureMismatch
from scorenet.base.times import DAY_MS, float_days
from scorenet.calendars import Clock

from ..datas import periods_per_year
from ..regime_indicator import regimes_of_bars
from ..schedule import ModelSchedule, ModelSource
from .columns import COLUMNS
from .market import Facts, ReplayMarket

__all__ = ["prepare"]

Bars = Mapping[str, NDArray[Any]]

_PRICES = ("open", "high", "low", "close")


def prepare(
    bars: Mapping[str, Bars],
    model: ModelSource,
    bar_ms: int,
    *,
    signal: str = "forward",
    trade_from: int | None = None,
    since: int | None = None,
    tails: bool = False,
    regimes: bool = False,
) -> ReplayMarket:
    """Return the market of a study: what a Cerebro with these datas and this model would compute at every bar.

    Args:
        bars: columns [T] of each symbol: "timestamp" (bar open, UTC ms), open, high, low, close, volume, and if present
            funding_rate, open_interest, mark_open ... mark_close, filled.
        model: as `ScoreStrategy`'s parameter: a model, its folder, or (since, model) pairs.
        bar_ms: bar size in ms, the same for all symbols.
        signal: as `ScoreStrategy`'s parameter.
        trade_from: first bar close at which trading may begin, UTC ms; earlier bars warm up.
        since: first bar close that figures count, UTC ms; None counts all bars.
        tails: compute the tail means, which "cvar" reads.
        regimes: compute the market's regimes, which `Rules.regimes` needs.

    Raises:
        ValueError: there is no symbol, times are not in order, or a funding rate is not finite.
        FeatureMismatch, ConfigError, CheckpointError: as from `ScoreStrategy`.
    """
    if not bars:
        raise ValueError("expected the bars of at least one symbol, found none")
    models = ModelSchedule(model)
    _check_size(models, bar_ms)
    closes = {symbol: _closes(symbol, columns, bar_ms) for symbol, columns in bars.items()}
    clock = np.unique(np.concatenate(list(closes.values())))
    values = np.empty((len(COLUMNS), len(bars), len(clock)))
    for number, (symbol, columns) in enumerate(bars.items()):
        outputs = _outputs(models, columns, bar_ms, signal, tails, regimes)
        missing = _missing(closes[symbol], bar_ms, models.clock)
        found = _symbol(columns, closes[symbol], clock, outputs, missing)
        for place, name in enumerate(COLUMNS):
            values[place, number] = found[name]
    begins = max(models.since[0], -math.inf if trade_from is None else trade_from)
    facts = Facts(
        symbols=tuple(bars),
        bar_ms=int(bar_ms),
        lookback=models.lookback,
        horizon=int(models.horizon),
        trade_from=float(begins),
        since=int(clock[0] if since is None else since),
        signal=signal,
        tails=tails,
        learned_until=tuple(one.learned_until for one in models.models),
        regime_names=tuple(tuple(one.regime_map.names) for one in models.models if one.regime_map is not None)
        if regimes
        else (),
        calendar=models.calendar,
        has_volume=all(bool(np.isfinite(columns["volume"]).all()) for columns in bars.values()),
    )
    return ReplayMarket(facts, values)


def _check_size(models: ModelSchedule, bar_ms: int) -> None:
    trained = {int(model.info.get("bar_ms", bar_ms)) for model in models.models}
    if trained != {bar_ms}:
        raise FeatureMismatch(
            f"the model was trained on bars of {trained.pop() // 1000} s, these are bars of {bar_ms // 1000} s; "
            "train a model on this bar size, or load bars of the model's size"
        )


def _closes(symbol: str, columns: Bars, bar_ms: int) -> NDArray[np.int64]:
    opens = np.asarray(columns["timestamp"], dtype=np.int64)
    if not len(opens) or (np.diff(opens) < bar_ms).any():
        raise ValueError(
            f"{symbol}: expected bars in order of time, at least {bar_ms} ms apart, found others or none"
        )
    if not np.isfinite(columns.get("funding_rate", np.zeros(1))).all():
        raise ValueError(f"{symbol}: funding_rate must be a finite number; use 0.0 for bars without one")
    return opens + bar_ms


def _outputs(
    models: ModelSchedule, columns: Bars, bar_ms: int, signal: str, tails: bool, regimes: bool
) -> dict[str, NDArray[Any]]:
    """Return the outputs of every bar [T] by the fields of `Columns`."""
    bars = {**columns, "timestamp": np.asarray(columns["timestamp"], dtype=np.int64) + bar_ms}
    read = partial(_read, bars)
    outputs = models.evaluate(read, signal, bar_ms, tails=tails)._asdict()
    outputs["annual_volatility"] = outputs.pop("volatility") * math.sqrt(
        periods_per_year(bar_ms, models.clock)
    )
    closes = bars["timestamp"]
    labels = regimes_of_bars(models, read, bar_ms) if regimes else np.full(len(closes), np.nan)
    return {
        **outputs,
        "model": np.searchsorted(models.since, closes, side="right") - 1.0,
        "regime": np.where(np.isnan(labels), -1.0, labels),
    }


def _read(bars: Bars, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    return {name: bars[name] for name in (*names, "timestamp") if name in bars}


def _missing(closes: NDArray[np.int64], bar_ms: int, clock: Clock) -> NDArray[np.float64]:
    """Return the number of bars missing before each bar [T], as `HeldForecasts` counts them."""
    days = float_days(closes) if clock.calendar is None else clock.trading_ms(closes) / DAY_MS
    gaps, step = np.diff(days), bar_ms / DAY_MS
    return np.concatenate(([0.0], np.where(gaps > 1.5 * step, np.rint(gaps / step) - 1.0, 0.0)))


def _symbol(
    columns: Bars,
    closes: NDArray[np.int64],
    clock: NDArray[np.int64],
    outputs: Mapping[str, NDArray[Any]],
    missing: NDArray[np.float64],
) -> dict[str, NDArray[Any]]:
    """Return the columns of one symbol on the common clock [U]."""
    has_bar = np.zeros(len(clock))
    has_bar[np.searchsorted(clock, closes)] = 1.0
    bars = np.cumsum(has_bar)
    row = np.maximum(bars - 1.0, 0.0).astype(np.intp)
    empty = np.zeros(len(closes))
    by_bar = {
        **{name: columns[name] for name in (*_PRICES, "volume")},
        **{f"mark_{name}": columns.get(f"mark_{name}", columns[name]) for name in _PRICES},
        "funding": columns.get("funding_rate", empty),
        "invented": columns.get("filled", empty),
        "missing": missing,
        **outputs,
    }
    out = {name: np.asarray(values, dtype=np.float64)[row] for name, values in by_bar.items()}
    return {
        **out,
        "clock": clock,
        "has_bar": has_bar,
        "bars": bars,
        "stamp": np.where(bars > 0.0, closes[row], 0),
    }
