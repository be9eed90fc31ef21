"""The cells of a text file as a table of texts: separator, header, lines before it, files without a header."""

from __future__ import annotations

import codecs
import csv
import io
from pathlib import Path

import pandas as pd

from ...errors import BadBars
from ..caps import check_columns, check_first_line, check_rows, most_rows
from .numbers import is_number
from .unpack import unpack

__all__ = ["read_table"]

_SEPARATORS = ",;\t|"
_MOST_LINE = 64 << 10
_MORE = "beyond the header "

# What programs write without a header: the columns in order. Others differ (Kraken's API adds vwap, some exchanges put
# close before high), so files of another width are refused.
_HEADERLESS = {
    6: ("timestamp", "open", "high", "low", "close", "volume"),  # ccxt
    7: ("timestamp", "open", "high", "low", "close", "volume", "trades"),  # Kraken
    12: (  # Binance
        *("timestamp", "open", "high", "low", "close", "volume", "close_time"),
        *("quote_volume", "trades", "taker_buy_volume", "taker_buy_quote_volume", "ignore"),
    ),
}


def read_table(path: Path, numbered: bool = False) -> pd.DataFrame:
    """Return the table of a text file, every cell a text, an empty one NaN.

    A file without a header of a known width gets its columns' names; with `numbered`, they are "1", "2", ...
    `attrs["separator"]` is what separates the cells.

    Raises:
        TooLarge: there are more rows, columns or bytes than bars can have.
        BadBars: the file has no header and its columns are not known, or a row has more cells than the header.
        StoreError, OSError, ValueError: the file is damaged.
    """
    packed = path.name.lower().endswith((".gz", ".zip"))
    content: Path | io.BytesIO = _as_utf8(unpack(path) if packed else path)
    lines = _first_lines(content)
    skipped = 1 if len(lines) > 1 and _is_address(lines[0]) else 0
    lines = lines[skipped:]
    if not lines:
        return pd.DataFrame()
    separator = max(_SEPARATORS, key=lambda mark: (lines[0].count(mark), -_SEPARATORS.index(mark)))
    rows = list(csv.reader(lines, delimiter=separator))
    check_columns(len(rows[0]))
    names = _headerless(rows[0], numbered) if _is_data(rows[0]) else None
    dropped = _ticker_lines(rows, path) if names is None else []
    more: list[str] = []
    if names is None:
        _check_once(rows[0])
        # Rows that end in a separator: pandas would take the first column for an index and move the names to the right.
        more = [f"{_MORE}{cell}" for cell in range(max(map(len, rows)) - len(rows[0]))]
    frame = pd.read_csv(
        content,
        dtype=str,
        sep=separator,
        header=None if names else 0,
        names=names or ([*_named(rows[0]), *more] if more else None),
        index_col=False if names else None,
        skiprows=[*range(skipped), *(skipped + line for line in dropped)],
        nrows=most_rows() + 1,
        encoding="utf-8-sig",
    )
    check_rows(len(frame))
    if more:
        frame = _without_blank(frame, more, len(rows[0]))
    if names == [*_HEADERLESS[7]]:
        _check_kraken(frame)
    if dropped:
        frame = frame.rename(columns={rows[0][0]: rows[2][0]})
    frame.attrs["separator"] = separator
    return frame


def _as_utf8(content: Path | io.BytesIO) -> Path | io.BytesIO:
    """Return text in UTF-16, as spreadsheets and terminals of Windows save it, as UTF-8; any other as it is."""
    if isinstance(content, Path):
        with content.open("rb") as handle:
            mark = handle.read(2)
    else:
        mark = content.getvalue()[:2]
    if mark not in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return content
    raw = content.read_bytes() if isinstance(content, Path) else content.getvalue()
    return io.BytesIO(raw.decode("utf-16").encode())


def _first_lines(content: Path | io.BytesIO) -> list[str]:
    """Return up to four lines from the start; the content is where it was."""
    if isinstance(content, Path):
        with content.open("rb") as handle:
            found = [handle.readline(_MOST_LINE + 1) for _ in range(4)]
    else:
        found = [content.readline(_MOST_LINE + 1) for _ in range(4)]
        content.seek(0)
    check_first_line(found[0])
    if any(b"\0" in line for line in found):
        raise ValueError("its text has zero bytes, as UTF-16 has; save it as UTF-8")
    return [line.decode("utf-8-sig", "replace").rstrip("\r\n") for line in found if line.strip()]


def _named(header: list[str]) -> list[str]:
    """Return the names of a header as pandas gives them: a blank one gets a number."""
    return [name if name.strip() else f"Unnamed: {index}" for index, name in enumerate(header)]


def _without_blank(frame: pd.DataFrame, more: list[str], named: int) -> pd.DataFrame:
    """Return the table without the cells beyond its header, which must be blank."""
    filled = frame[more].notna().any(axis=1)
    if filled.any():
        row = int(filled.to_numpy().argmax())
        raise BadBars(
            f"row {row} has more than the {named} cells that the header names; numbers with a decimal comma need "
            "quotation marks, or another separator than a comma",
            row=row,
            reason="extra_cells",
        )
    return frame.drop(columns=more)


def _check_kraken(frame: pd.DataFrame) -> None:
    """Raise an error for rows that can be of six columns, the last one with a decimal comma, as well as Kraken's."""
    if not frame["volume"].astype(str).str.contains(".", regex=False).any():
        raise BadBars(
            "the file has no header, and its rows can end in a volume and a number of trades, or in one volume with a "
            "decimal comma; if it is the first, say which column is which by its number, from 1",
            reason="headerless",
        )


def _is_address(line: str) -> bool:
    """Return whether a first line is the address of the site that wrote the file."""
    text = line.strip().strip('"').lower()
    return text.startswith(("http://", "https://", "www.")) and not any(c.isspace() for c in text)


def _is_data(cells: list[str]) -> bool:
    filled = [cell for cell in cells if cell.strip()]
    return len(filled) > 1 and all(is_number(cell) for cell in filled[1:]) and filled[0][:1].isdigit()


def _headerless(cells: list[str], numbered: bool) -> list[str]:
    if numbered:
        return [str(index + 1) for index in range(len(cells))]
    names = _HEADERLESS.get(len(cells))
    if names is None:
        raise BadBars(
            f"the file has no header, and no program that is known writes these {len(cells)} columns; say which column "
            "is which by its number, from 1",
            reason="headerless",
        )
    return list(names)


def _check_once(header: list[str]) -> None:
    """Raise an error for a name that comes twice, of which pandas would rename the second."""
    doubled = next((name for name in header if name.strip() and header.count(name) > 1), None)
    if doubled is not None:
        raise BadBars(
            f"expected each column once, found {doubled!r} twice", column=doubled, reason="duplicate_column"
        )


def _ticker_lines(rows: list[list[str]], path: Path) -> list[int]:
    """Return the lines below the header that name tickers, which yfinance writes; none for other files."""
    if len(rows) < 3 or rows[0][:1] != ["Price"] or rows[1][:1] != ["Ticker"]:
        return []
    tickers = sorted({cell for cell in rows[1][1:] if cell})
    if len(tickers) != 1:
        raise BadBars(
            f"expected bars of one ticker, found {', '.join(tickers[:5]) or 'none'}; download one at a time",
            reason="mixed_symbols",
        )
    return [1, 2]
