"""Columns, values and bar sizes that a data lacks: what is wrong, and the line of code that mends it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import backtrader as bt
import numpy as np
from numpy.typing import NDArray

from scorenet import FeatureMismatch, ScoreModel
from scorenet.base.times import DAY_MS, iso
from scorenet.features import INPUTS, OPTIONAL_INPUTS

from ..buffers import has_column, whole
from ..datas import bar_milliseconds, bar_name, symbol_of

__all__ = ["check_bars", "check_calendar", "check_fits", "check_values"]

_JOINS = {
    "funding_rate": "join_funding(frame, funding)",
    "open_interest": "join_open_interest(frame, open_interest)",
}
_FIRST_FREE = 7  # of GenericCSVData: after the time and six columns


def check_fits(model: ScoreModel, data: Any) -> int:
    """Return the bar size of `data` in ms, after a check of its columns and, if it is preloaded, of its values.

    Raises:
        FeatureMismatch: the model was trained on bars of another size, needs a column that the data lacks, or a bar
            has no price or volume.
    """
    step, trained = bar_milliseconds(data), model.info.get("bar_ms")
    names = model.features.inputs
    for name in names:
        if name in OPTIONAL_INPUTS and not has_column(data, name) and not _is_own_line(data, name):
            raise FeatureMismatch(_lacks(model, data, name))
    # The frame of a feed of this project has been validated, and so has its bar size.
    foreign = not hasattr(data, "absent") and len(data.lines.datetime.array) > model.lookback
    bars = whole(data, names) if foreign else {}
    first = {column: values[: model.lookback + 1] for column, values in bars.items()}
    if trained is not None and int(trained) != step:
        raise FeatureMismatch(_other_size(data, step, int(trained), _spacing(first) if first else None))
    if hasattr(data, "calendar"):  # a feed of this project; of any other the model's calendar is taken
        check_calendar(model.calendar, data.calendar, symbol_of(data))
    if first:
        check_bars(model, data, first, step)
        check_values(data, bars)
    return step


def check_calendar(trained: str | None, found: str | None, symbol: str) -> None:
    """Check that bars have the calendar that the model was trained with.

    Raises:
        FeatureMismatch: they have another one, or one of both has none; the message says how to name it.
    """
    if trained == found:
        return
    if trained is None:
        raise FeatureMismatch(
            f"the model was trained on a market that never closes, {symbol} has the calendar {found}; train a model "
            "on bars with this calendar"
        )
    of = f"has the calendar {found}" if found else "has no calendar"
    raise FeatureMismatch(
        f"the model was trained on bars with the calendar {trained}, {symbol} {of}; if it is a market of {trained}, "
        f"say so: --calendar {trained}, in Python as_bars(frame, calendar={trained!r})"
    )


def check_bars(model: ScoreModel, data: Any, bars: Mapping[str, NDArray[Any]], step: int) -> None:
    """Check that most of the first bars [T] are `step` ms apart, as the data says, and that the columns have values.

    In a market with sessions they are so in trading time.

    Raises:
        FeatureMismatch: they are not, or a column has no value at all: the model would never trade.
    """
    spacing = _spacing({"timestamp": model.clock.trading_ms(bars["timestamp"])})
    if spacing is not None and spacing != step and model.calendar is not None:
        raise FeatureMismatch(
            f"{symbol_of(data)}: most bars do not follow one another in the sessions of {model.calendar}, the model's "
            "calendar; Backtrader takes times without a zone for UTC: give it a frame with "
            "frame.index = frame.index.tz_convert('UTC').tz_localize(None), or use "
            f"BarsData(dataname=as_bars(frame, calendar={model.calendar!r}))"
        )
    if spacing is not None and spacing != step:
        raise FeatureMismatch(_other_size(data, step, step, spacing))
    for name in model.features.inputs:
        if name in bars and len(bars[name]) and not np.isfinite(bars[name]).any():
            raise FeatureMismatch(_lacks(model, data, name, len(bars[name])))


def check_values(data: Any, bars: Mapping[str, NDArray[Any]]) -> None:
    """Check that each of the bars [T] has prices above 0 and a volume of at least 0.

    A pandas frame of several markets, or one that was reindexed, has rows without values. Backtrader fills orders at
    them, and the account has no equity from then on.

    Raises:
        FeatureMismatch: one has not; the message has its time and the line that removes such bars.
    """
    for name in INPUTS:
        values = bars[name]
        fits = np.isfinite(values) & ((values >= 0.0) if name == "volume" else (values > 0.0))
        if not fits.all():
            first, count = int(np.argmin(fits)), int(np.count_nonzero(~fits))
            bar = f"the bar that closes at {iso(int(bars['timestamp'][first]))} has {name} {values[first]:g}"
            least = "at least 0" if name == "volume" else "a price above 0"
            raise FeatureMismatch(
                f"{symbol_of(data)}: {bar}, expected {least}; orders would be filled at such bars ({count:,} of "
                f"{len(values):,}). Remove them before you add the data, from a pandas frame with "
                f"frame.dropna(subset={list(INPUTS)})"
            )


def _spacing(bars: Mapping[str, NDArray[Any]]) -> int | None:
    """Return the commonest distance of bars in ms; None with fewer than three of them."""
    apart, times = np.unique(np.diff(bars["timestamp"]), return_counts=True)
    return int(apart[np.argmax(times)]) if times.sum() > 1 else None


def _other_size(data: Any, says: int, trained: int, spacing: int | None) -> str:
    name, size = symbol_of(data), bar_name(trained)
    if spacing is None or spacing == says:
        return (
            f"the model was trained on bars of {size}, {name} has bars of {bar_name(says)}; train a model on this bar "
            f"size, or load bars of the model's. If these are bars of {size}, say so: {_feed(data)}({_size(trained)})"
        )
    if spacing == trained:
        return (
            f"{name} says that its bars are of {bar_name(says)}, but they are {size} apart; "
            f"say so: {_feed(data)}({_size(spacing)})"
        )
    return (
        f"{name} says that its bars are of {bar_name(says)}, but they are {bar_name(spacing)} apart, and the model was "
        f"trained on bars of {size}; load bars of that size, and say so: {_feed(data)}({_size(trained)})"
    )


def _size(step: int) -> str:
    frame, unit = ("Days", DAY_MS) if step % DAY_MS == 0 else ("Minutes", 60_000)
    if step % unit:
        frame, unit = "Seconds", 1_000
    return f"dataname=..., timeframe=bt.TimeFrame.{frame}, compression={step // unit}"


def _lacks(model: ScoreModel, data: Any, name: str, bars: int = 0) -> str:
    what = (
        f"has no value in the first {bars} bars of {symbol_of(data)}" if bars else f"{symbol_of(data)} lacks"
    )
    said = f"the model ({model.features.name} features) reads the column {name}, which {what}; "
    if hasattr(data, "absent"):
        return f"{said}add it to the bars: BarsData(dataname={_JOINS[name]})"
    value: Any = repr(name)
    if isinstance(data, bt.feeds.GenericCSVData):
        value = f"{_FIRST_FREE}"
        said += f"give the number of its column in the file (here {_FIRST_FREE}, from 0): "
    else:
        said += "declare it: "
    lines = "" if name in bt.feed.DataBase.lines._getlines() else f'lines = ("{name}",); '
    return f"{said}class WithColumn({_feed(data)}): {lines}params = (({name!r}, {value}),)"


def _is_own_line(data: Any, name: str) -> bool:
    """Return whether Backtrader's own line of another name has the column."""
    return name == "open_interest" and not hasattr(data, "absent") and hasattr(data.lines, "openinterest")


def _feed(data: Any) -> str:
    kind = type(data)
    return f"bt.feeds.{kind.__name__}" if hasattr(bt.feeds, kind.__name__) else kind.__name__
