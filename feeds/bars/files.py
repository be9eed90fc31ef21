"""Read and write bar files (parquet, CSV); a file is written completely or not at all."""

import json
import logging
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from scorenet.base.error_line import error_line

from ..errors import BadBars, BadSource, MissingData, StoreError
from .caps import TooLarge, check_footer, check_header, check_rows
from .cells import COLUMNS, OPTIONAL_COLUMNS
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
from .settlements import check_funding
from .symbols import one_symbol
from .timeframes import TIMEFRAMES
from .times import iso
from .whole_file import write_whole

__all__ = ["EXTENSIONS", "Siblings", "read_bars", "read_with_siblings", "write_bars"]

EXTENSIONS = (".parquet", ".csv")

_log = logging.getLogger("feeds")

# Errors that readers raise for a damaged file.
_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    MemoryError,
    RecursionError,
    pa.ArrowException,
)
_FLAGS = {"true": True, "false": False}
_NAME = re.compile(rf"(?P<symbol>.+)_(?P<timeframe>{'|'.join(TIMEFRAMES)})")


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
) -> pd.DataFrame:
    """Return the canonical bars of a parquet or CSV file.

    Symbol and timeframe come from the arguments, the file's metadata, its name (`BTCUSDT_1h.parquet`) or the spacing of
    the bars. Of a file with several symbols in a column `symbol`, `symbol` chooses one. If the file `X_1h.parquet` has
    no funding_rate, open_interest or mark_open column, `X_funding.parquet`, `X_open_interest_1h.parquet` and
    `X_mark_1h.parquet` (bars of the mark price, of the same size) in the same folder are used if present; the funding
    file must have every settlement that is due on the bars, the mark prices every bar.

    Raises:
        BadSource: the file is neither .parquet nor .csv.
        MissingData: there is no such file, or its funding file lacks settlements, or a bar its mark price.
        StoreError: the file is empty, damaged or cannot be read.
        BadBars: its bars violate the contract, or are of several symbols of which none is chosen.
    """
    bars, siblings = read_with_siblings(path, symbol, timeframe, gaps)
    siblings.check(bars)
    return bars


def read_with_siblings(
    path: str | Path,
    symbol: str | None = None,
    timeframe: str | None = None,
    gaps: GapPolicy = "raise",
) -> tuple[pd.DataFrame, Siblings]:
    """Return the same as `read_bars`, and the joined files, which the caller checks for the bars that it uses.

    Raises:
        BadSource, MissingData, StoreError, BadBars: as `read_bars`, except for settlements that are missing.
    """
    check_gap_policy(gaps)
    path = Path(path)
    frame = _read_table(path)
    named = _NAME.fullmatch(path.stem)
    stem = named["symbol"] if named else path.stem
    try:
        bars = as_bars(
            one_symbol(frame, symbol),
            symbol=symbol or _note(frame, "symbol") or stem,
            timeframe=timeframe or _note(frame, "timeframe") or (named["timeframe"] if named else None),
            gaps="keep",
            source=str(path),
        )
        bars, siblings = _join_siblings(bars, path, stem)
        return with_gaps(bars, gaps), siblings
    except BadBars as error:
        raise _in_file(error, path) from error


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
    # The key under which pandas itself stores attrs.
    notes = {**(table.schema.metadata or {}), b"PANDAS_ATTRS": json.dumps(bars.attrs).encode()}
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(notes), sink, write_page_checksum=True)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _check_extension(path: Path) -> None:
    if path.suffix.lower() not in EXTENSIONS:
        raise BadSource(f"expected a bar file ending in .parquet or .csv, found {str(path)!r}")


def _read_table(path: Path) -> pd.DataFrame:
    _check_extension(path)
    if path.is_dir():
        raise BadSource(f"expected a bar file, found the folder {path}")
    if not path.exists():
        raise MissingData(f"there is no file {path}{_others(path)}")
    try:
        if path.stat().st_size == 0:
            raise StoreError(f"{path} is empty (0 bytes); write or download it again")
        if path.suffix.lower() == ".csv":
            return _from_text(_csv(path))
        frame = _from_parquet(path)
    except TooLarge as error:
        raise StoreError(f"cannot read {path}: {error}") from error
    except _UNREADABLE as error:
        reason = error_line(error)
        raise StoreError(
            f"cannot read {path}: it is damaged or not a bar file ({reason}); replace it"
        ) from error
    return frame.reset_index() if frame.index.name in COLUMNS else frame


def _from_parquet(path: Path) -> pd.DataFrame:
    # Arrow's thread pools do not survive a fork, and a forked process may then abort at exit. A script that reads bars
    # and then optimises does fork. Reading from memory without threads starts no thread pool.
    check_footer(pq.read_metadata(path))
    file = pq.ParquetFile(pa.BufferReader(path.read_bytes()), page_checksum_verification=True)
    table = file.read(use_threads=False)
    frame: pd.DataFrame = table.to_pandas(use_threads=False)
    frame.attrs = json.loads((table.schema.metadata or {}).get(b"PANDAS_ATTRS", b"{}"))
    return frame


def _csv(path: Path) -> pd.DataFrame:
    frame = pd.read_csv(path, dtype=str, nrows=check_header(path) + 1)
    check_rows(len(frame))
    return frame


def _from_text(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a CSV's columns as numbers, exact to the last digit; a cell that is not a number stays text."""
    for name in frame.columns:
        cells = frame[name].to_numpy(dtype=object, na_value=np.nan)
        if name == "filled":
            frame[name] = [_FLAGS.get(str(cell).lower(), cell) for cell in cells]
        elif name == "timestamp" and all(isinstance(cell, str) and cell.isdigit() for cell in cells):
            frame[name] = cells.astype(np.int64)
        elif name in COLUMNS[1:] or name in OPTIONAL_COLUMNS:
            frame[name] = _parsed(cells)
    return frame


def _parsed(cells: NDArray[np.object_]) -> NDArray[Any]:
    try:
        return cells.astype(np.float64)
    except ValueError:
        return np.array([_number(cell) for cell in cells], dtype=object)


def _number(cell: object) -> object:
    try:
        return float(str(cell))
    except ValueError:
        return cell


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
            series = one_symbol(_read_table(beside), bars.attrs["symbol"])
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


def _in_file(error: BadBars, path: Path) -> BadBars:
    """Return the same error with the file's name in front, unless it is there already."""
    message = str(error)
    if ".parquet: " not in message and ".csv: " not in message:
        message = f"{path}: {message}"
        if error.reason in ("unsorted", "duplicate"):
            message += "; a file holds one symbol, or names each row's in a column 'symbol' to choose by"
    return type(error)(
        message, row=error.row, column=error.column, timestamp=error.timestamp, reason=error.reason
    )


def _others(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; there is no folder {path.parent} either"
    found = sorted(other.name for other in path.parent.iterdir() if other.suffix.lower() in EXTENSIONS)
    beside = ("_funding", "_open_interest", "_mark_")
    bars = [name for name in found if not any(part in name for part in beside)]
    return f"; in {path.parent} there is {', '.join(bars[:8])}" if bars else ""
