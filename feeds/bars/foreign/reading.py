"""Read the table of another program: its columns, numbers and times, and say what was taken for what."""

from __future__ import annotations

import datetime as dt
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...errors import BadBars
from ..cells import COLUMNS
from ..symbols import SYMBOL_COLUMNS
from ..timeframes import TIMEFRAMES
from .columns import Chosen, choose_columns, plain_name
from .hints import Hints
from .moments import local_midnight, naive_error, numbers_to_utc, to_utc
from .numbers import decimal_mark, to_numbers

__all__ = ["Reading", "explained", "from_frame", "from_text"]

_FLAGS = {"true": True, "false": False}
_CLOCK = re.compile(r"\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?")
_TICKS = ("tickvol", "tick_volume", "tick_vol")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a table was read.

    Attributes:
        taken: column of bars -> column of the file.
        times: the form of the times, in words; "" where they are those of the contract.
        reversed: whether the newest bar was first.
    """

    taken: dict[str, str]
    times: str = ""
    reversed: bool = False

    @property
    def is_plain(self) -> bool:
        """Return whether the file has the names, times and order of the contract."""
        same = all(name == own for name, own in self.taken.items())
        return same and not self.reversed and self.times in ("", "milliseconds since 1970")

    def said(self) -> str:
        """Return the reading as one line of text."""
        parts = [f"{name} from {own!r}" for name, own in self.taken.items() if name != own]
        parts += [f"times are {self.times}"] if self.times else []
        return "; ".join([", ".join(parts[:-1]) or "columns as named", *parts[-1:]][:2]) + (
            "; newest bar first" if self.reversed else ""
        )


def from_text(
    frame: pd.DataFrame, path: Path, symbol: str | None, hints: Hints
) -> tuple[pd.DataFrame, Reading]:
    """Return a table of texts with the contract's names, numbers and UTC ms, and how it was read.

    Raises:
        BadBars: a column is missing or has two readings; the message says which was taken for which.
    """
    frame = _with_joined_times(frame)
    chosen = _complete(frame, symbol, hints, path)
    cells = {name: _cells(frame[own]) for name, own in chosen.names.items()}
    try:
        if not len(frame):
            return frame.rename(columns={own: name for name, own in chosen.names.items()}), Reading(taken={})
        times, words = to_utc(cells["timestamp"], chosen.names["timestamp"], hints)
        numbers = [name for name in cells if name not in ("timestamp", "filled", *SYMBOL_COLUMNS)]
        named = [(chosen.names[name], cells[name]) for name in numbers]
        mark = decimal_mark(named, hints.decimal, frame.attrs.get("separator", ","))
    except BadBars as error:
        raise explained(error, chosen, path, symbol) from error
    values: dict[str, Any] = {"timestamp": times}
    values |= {name: to_numbers(cells[name], mark) for name in numbers}
    _check_volume(values["volume"], frame, chosen, path, symbol)
    if "filled" in cells:
        values["filled"] = [_FLAGS.get(str(cell).lower(), cell) for cell in cells["filled"]]
    values |= {name: cells[name] for name in SYMBOL_COLUMNS if name in cells}
    table, turned = _oldest_first(pd.DataFrame(values))
    return table, Reading(taken=dict(chosen.names), times=words, reversed=turned)


def _with_joined_times(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with one column more if a date and a time of day stand in two, as MetaTrader writes them."""
    named = {plain_name(str(name)): name for name in frame.columns}
    if len(named) < len(frame.columns) or not len(frame) or not {"date", "time"} <= named.keys():
        return frame
    date, time = frame[named["date"]], frame[named["time"]].str.strip()
    if not _CLOCK.fullmatch(str(time.iloc[0])):
        return frame
    joined = frame.assign(**{f"{named['date']} {named['time']}": date.str.strip() + " " + time})
    joined.attrs = dict(frame.attrs)
    return joined


def _check_volume(
    volume: NDArray[Any], frame: pd.DataFrame, chosen: Chosen, path: Path, symbol: str | None
) -> None:
    """Raise an error for a volume of nothing where MetaTrader counts price changes in a column of its own."""
    ticks = next((str(name) for name in frame.columns if plain_name(str(name)) in _TICKS), None)
    if ticks is None or len(volume) < 2 or any(cell != 0 for cell in volume):
        return
    what = f"{chosen.names['volume']!r} is 0 in every row, and {ticks!r} can be the volume"
    asked = Chosen(names=chosen.names, problem=what, fix=f"volume={ticks}")
    raise explained(BadBars(what, column="volume", reason="missing_column"), asked, path, symbol)


def from_frame(
    frame: pd.DataFrame, path: Path, symbol: str | None, hints: Hints
) -> tuple[pd.DataFrame, Reading]:
    """Return a table of a typed file (parquet, feather) with the contract's names, and how it was read.

    Raises:
        BadBars: as `from_text`.
    """
    if isinstance(frame.index, pd.DatetimeIndex) or frame.index.name in COLUMNS:
        name = str(frame.index.name or "timestamp")
        attrs = dict(frame.attrs)
        frame = frame.rename_axis(name).reset_index() if name not in frame.columns else frame
        frame.attrs = attrs
    chosen = _complete(frame, symbol, hints, path)
    own = chosen.names["timestamp"]
    table = pd.DataFrame({name: frame[source] for name, source in chosen.names.items()})
    try:
        table["timestamp"], words = _typed_times(frame[own], own, hints)
    except BadBars as error:
        raise explained(error, chosen, path, symbol) from error
    table, turned = _oldest_first(table)
    table.attrs = dict(frame.attrs)
    return table, Reading(taken=dict(chosen.names), times=words, reversed=turned)


def explained(error: BadBars, chosen: Chosen, path: Path, symbol: str | None) -> BadBars:
    """Return an error with what was taken for what, and the command that answers it if there is one."""
    option = f"--columns {shlex.quote(chosen.fix)}" if chosen.fix else _OPTIONS.get(error.reason, "")
    answer = f"; {_command(path, symbol, option)}" if option else ""
    text = f"{error}\ntook {chosen.said() or 'no column'}{answer}"
    return type(error)(
        text, row=error.row, column=error.column, timestamp=error.timestamp, reason=error.reason
    )


_OPTIONS = {
    "naive": "--timezone UTC",
    "date_order": "--dates dmy",
    "decimal": "--decimal comma",
    "misaligned": "--dates days",
}


def _command(path: Path, symbol: str | None, option: str) -> str:
    timeframe = next((t for t in TIMEFRAMES if path.name.replace("-", "_").find(f"_{t}") > 0), "1h")
    words = f"--symbol {shlex.quote(symbol or 'BTC/USDT:USDT')} --timeframe {timeframe} {option}".rstrip()
    return f"try `scorenet data import {shlex.quote(str(path))} {words}`"


def _complete(frame: pd.DataFrame, symbol: str | None, hints: Hints, path: Path) -> Chosen:
    found = [str(name) for name in frame.columns]
    frame.columns = pd.Index(found)
    doubled = next((name for name in found if found.count(name) > 1), None)
    if doubled is not None:
        what = f"expected each column once, found {doubled!r} twice"
        raise BadBars(what, column=doubled, reason="duplicate_column")
    chosen = choose_columns(found, hints.columns, symbol)
    if chosen.problem is None:
        return chosen
    missing = next((name for name in COLUMNS if name not in chosen.names), None)
    raise explained(
        BadBars(chosen.problem, column=missing, reason="missing_column"),
        chosen,
        path,
        symbol,
    )


def _typed_times(moments: pd.Series, own: str, hints: Hints) -> tuple[Any, str]:
    """Return times of a typed column, as they are where the contract knows them, and how they were read."""
    if isinstance(moments.dtype, pd.DatetimeTZDtype) and len(moments):
        local = pd.DatetimeIndex(moments).tz_localize(None)
        if not (local == local.normalize()).all() or moments.iloc[0].utcoffset() == dt.timedelta(0):
            return moments, ""
        if hints.dates != "days":
            raise local_midnight(own, str(moments.iloc[0]))
        return local.tz_localize("UTC"), "trading days"
    if pd.api.types.is_datetime64_dtype(moments.dtype) and len(moments):
        index = pd.DatetimeIndex(moments)
        if hints.timezone is None and not (index == index.normalize()).all():
            raise naive_error(own, str(index[0]))
        if hints.timezone is None:
            return index.tz_localize("UTC"), "dates"
        texts = np.array([stamp.isoformat(sep=" ") for stamp in index], dtype=object)
        return to_utc(texts, own, hints)
    if pd.api.types.is_integer_dtype(moments.dtype) and len(moments) and not moments.isna().any():
        return numbers_to_utc(moments.to_numpy(), own)
    if pd.api.types.is_string_dtype(moments.dtype) and all(isinstance(cell, str) for cell in moments):
        return to_utc(moments.to_numpy(dtype=object), own, hints)
    return moments, ""


def _oldest_first(table: pd.DataFrame) -> tuple[pd.DataFrame, bool]:
    """Return the rows in order of time if the newest was first; rows without any order stay as they are."""
    times = table["timestamp"]
    if len(table) < 2 or not times.is_monotonic_decreasing or not times.is_unique:
        return table, False
    return table.iloc[::-1].reset_index(drop=True), True


def _cells(column: pd.Series) -> Any:
    return column.to_numpy(dtype=object, na_value=np.nan)
