"""Read and write bar files (parquet, CSV); a file is written completely or not at all."""

import logging
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..errors import BadBars, BadSource, StoreError
from .foreign.hints import Hints
from .foreign.reading import Reading
from .foreign.unpack import inner_name
from .frame import (
    GapPolicy,
    as_bars,
    check_gap_policy,
    join_funding,
    join_mark,
    join_open_interest,
    with_gaps,
)
from .joins import check_mark, settlements_of
from .parquet import sealed
from .sessions.closed import without_open_bar
from .settlements import check_funding, warn_of_percent
from .symbols import one_symbol
from .table_file import EXTENSIONS, read_bar_table, read_series_table
from .timeframes import TIMEFRAMES
from .times import iso
from .whole_file import write_whole

__all__ = ["EXTENSIONS", "Siblings", "read_bars", "read_with_siblings", "write_bars"]

WRITTEN = (".parquet", ".csv")
"""The endings of files that are written."""

_log = logging.getLogger("feeds")

_SIZES = "|".join(TIMEFRAMES)
_NAME = re.compile(rf"(?P<symbol>.+)_(?P<timeframe>{_SIZES})")
_DATED = re.compile(rf"(?P<symbol>[^-]+)-(?P<timeframe>{_SIZES})(?:-\d{{4}}-\d\d(?:-\d\d)?|-futures)?")
"""Names as Binance (BTCUSDT-1h-2024-01) and freqtrade (BTC_USDT-1h) give them."""


@dataclass(frozen=True, kw_only=True)
class Siblings:
    """The files beside a bar file that were joined to it.

    Attributes:
        funding: path of the funding file, None if there is none.
        settlements: its settlement times [N], UTC ms.
        open_interest: path of the open-interest file, None if there is none.
        mark: path of the file of mark prices, None if there is none.
    """

    funding: Path | None = None
    settlements: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    open_interest: Path | None = None
    mark: Path | None = None

    def check(self, bars: pd.DataFrame) -> None:
        """Check that the files cover `bars`; a missing open interest is only a warning, because it is 0.0 in the bars.

        Raises:
            MissingData: the funding file lacks settlements that are due on the bars, or a bar has no mark price.
        """
        if self.mark is not None:
            check_mark(bars, str(self.mark))
        if self.funding is not None:
            check_funding(bars, self.settlements, str(self.funding))
        if self.open_interest is not None:
            unknown = bars["timestamp"].to_numpy()[bars["open_interest"].to_numpy() == 0.0]
            if len(unknown):
                _log.warning(
                    "%s: no open interest on %d of %d bars, from %s to %s; it counts as unknown (0.0) there",
                    self.open_interest,
                    len(unknown),
                    len(bars),
                    iso(int(unknown[0])),
                    iso(int(unknown[-1])),
                )


def read_bars(
    path: str | Path,
    symbol: str | None = None,
    timeframe: str | None = None,
    gaps: GapPolicy = "raise",
    hints: Hints | None = None,
    calendar: str | None = None,
) -> pd.DataFrame:
    """Return the canonical bars of a file: parquet, feather, CSV, or CSV in a .gz or .zip file.

    Columns, times and numbers of many programs are known (docs/data.md); `hints` say what a file leaves open, and
    `attrs["read_as"]` says what was taken for what where it is not the contract's.

    Symbol and timeframe come from the arguments, the file's metadata, its name (`BTCUSDT_1h.parquet`) or the spacing of
    the bars. Of a file with several symbols in a column `symbol`, `symbol` chooses one. If the file `X_1h.parquet` has
    no funding_rate, open_interest or mark_open column, `X_funding.parquet`, `X_open_interest_1h.parquet` and
    `X_mark_1h.parquet` (bars of the mark price, of the same size) in the same folder are used if present; the funding
    file must have every settlement that is due on the bars, the mark prices every bar. A last bar that has not closed
    yet, or had not when the file was written, is left out with a warning. `calendar` is the trading
    calendar of a market that closes, as `as_bars` takes it; a parquet file of `write_bars` knows it.

    Raises:
        BadSource: the file's ending is unknown.
        MissingData: there is no such file, or its funding file lacks settlements, or a bar its mark price.
        StoreError: the file is empty, damaged or cannot be read.
        BadBars: its bars violate the contract, are of several symbols of which none is chosen, or its columns, numbers
            or times have two readings.
    """
    bars, siblings = read_with_siblings(path, symbol, timeframe, gaps, hints, calendar)
    siblings.check(bars)
    return bars


def read_with_siblings(
    path: str | Path,
    symbol: str | None = None,
    timeframe: str | None = None,
    gaps: GapPolicy = "raise",
    hints: Hints | None = None,
    calendar: str | None = None,
) -> tuple[pd.DataFrame, Siblings]:
    """Return the same as `read_bars`, and the joined files, which the caller checks for the bars that it uses.

    Raises:
        BadSource, MissingData, StoreError, BadBars: as `read_bars`, except for settlements that are missing.
    """
    check_gap_policy(gaps)
    path = Path(path)
    name = Path(inner_name(path)).stem
    named = _NAME.fullmatch(name) or _DATED.fullmatch(name)
    stem = named["symbol"] if named else name
    hints = hints or Hints()
    if calendar is not None and hints.dates is None:
        hints = replace(hints, dates="days")  # midnight at the exchange is the session of its date
    frame, reading = read_bar_table(path, symbol or stem, hints)
    try:
        bars = as_bars(
            one_symbol(frame, symbol),
            symbol=symbol or _note(frame, "symbol") or stem,
            timeframe=timeframe or _note(frame, "timeframe") or (named["timeframe"] if named else None),
            gaps="keep",
            source=str(path),
            calendar=calendar or _note(frame, "calendar"),
        )
        bars, siblings = _join_siblings(without_open_bar(bars, path), path, stem)
        warn_of_percent(bars, siblings.funding or path)
        if not reading.is_plain:
            bars.attrs["read_as"] = reading.said()
        return with_gaps(bars, gaps), siblings
    except BadBars as error:
        raise _in_file(error, path, reading) from error


def write_bars(frame: pd.DataFrame, path: str | Path) -> None:
    """Write canonical bars to a parquet or CSV file; the old file stays until the new one is complete.

    Raises:
        BadSource: the file is neither .parquet nor .csv.
        BadBars: the bars violate the contract.
        StoreError: the file cannot be written.
    """
    path = Path(path)
    _check_extension(path)
    bars = as_bars(frame, gaps="keep")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
    csv = path.suffix.lower() == ".csv"
    # CSV floats are written with all digits, so that reading gives the same values bit for bit.
    write_whole(path, bars.to_csv(index=False).encode() if csv else _parquet(bars))


def _parquet(bars: pd.DataFrame) -> bytes:
    table = pa.Table.from_pandas(bars, preserve_index=False)
    sink = pa.BufferOutputStream()
    pq.write_table(sealed(table, bars.attrs), sink, write_page_checksum=True)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _check_extension(path: Path) -> None:
    if path.suffix.lower() not in WRITTEN:
        raise BadSource(f"expected a bar file ending in .parquet or .csv, found {str(path)!r}")


def _join_siblings(bars: pd.DataFrame, path: Path, stem: str) -> tuple[pd.DataFrame, Siblings]:
    found: dict[str, Any] = {}
    for name, column, suffix, join in (
        ("funding", "funding_rate", "funding", join_funding),
        ("open_interest", "open_interest", "open_interest_1h", join_open_interest),
        ("mark", "mark_open", f"mark_{bars.attrs['timeframe']}", join_mark),
    ):
        beside = path.with_name(f"{stem}_{suffix}.parquet")
        if column in bars.columns or not beside.exists():
            continue
        try:
            series = one_symbol(read_series_table(beside), bars.attrs["symbol"])
            bars = join(bars, series)
            found |= {
                name: beside,
                **({"settlements": settlements_of(series)[0]} if name == "funding" else {}),
            }
        except BadBars as error:
            raise _in_file(error, beside) from error
    return bars, Siblings(**found)


def _note(frame: pd.DataFrame, key: str) -> str | None:
    value = frame.attrs.get(key)
    return value if isinstance(value, str) and value else None


def _in_file(error: BadBars, path: Path, reading: Reading | None = None) -> BadBars:
    """Return the same error with the file's name in front, unless it is there already, and how the file was read."""
    message = str(error)
    if ".parquet: " not in message and ".csv: " not in message and f"{path}: " not in message:
        message = f"{path}: {message}"
        if error.reason in ("unsorted", "duplicate"):
            message += "; a file holds one symbol, or names each row's in a column 'symbol' to choose by"
    if reading is not None and not reading.is_plain and reading.taken and error.reason != "gap":
        message += f"\n{reading.said()}; `--columns` of `scorenet data import` names others"
    return type(error)(
        message, row=error.row, column=error.column, timestamp=error.timestamp, reason=error.reason
    )
