"""Numbers as people and spreadsheets write them; a spelling with two readings is an error."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BadBars

__all__ = ["decimal_mark", "is_number", "to_numbers"]

_PLAIN = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_GROUPED = re.compile(r"[+-]?\d[\d.,  '’]*")
_SPACED = re.compile(r"[+-]?\d{1,3}(?:[ '’]\d{3})+(?:[.,]\d*)?")  # 1 234.5, but not two cells such as 10 11
_SPACES = str.maketrans("", "", " '’")
# Spreadsheets of many countries separate thousands by a space that no line breaks at; all spaces are read as one kind.
_ANY_SPACE = str.maketrans(
    dict.fromkeys(map(chr, (0xA0, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000)), " ")
)
_THOUSAND = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}")
_PROVEN_POINT = re.compile(r"[+-]?(?:\d{4,}(?:\.\d*)?|\d*\.\d{0,2}|\d*\.\d{4,}|0+\.\d+)(?:[eE][+-]?\d+)?")
_WORDS = {"nan", "inf", "-inf", "+inf", "infinity"}

Cells = NDArray[np.object_]


def is_number(cell: str) -> bool:
    """Return whether a cell is a number, in whatever spelling."""
    text = _bare(cell)
    return bool(_PLAIN.fullmatch(text) or _GROUPED.fullmatch(text)) or text.lower() in _WORDS


def decimal_mark(columns: Sequence[tuple[str, Cells]], told: str | None, separator: str = ",") -> str:
    """Return what separates decimals in all columns, "." or ",".

    A comma can separate thousands or decimals: cells such as 1,234.5 or 0,5 say which, 1,234 alone does not. Where
    cells are separated by `;`, as in countries of the decimal comma, a point can be either as well. `told` is the
    answer of a person ("point", "comma").

    Raises:
        BadBars: the cells contradict each other, or leave it open.
    """
    if told is not None:
        return "." if told == "point" else ","
    point = comma = open_ = None
    for name, cells in columns:
        if _floats(cells) is not None:
            continue
        for row, cell in enumerate(cells):
            text = _bare(str(cell)).translate(_SPACES)
            mark = _says(text)
            if mark == ".":
                point = point or (name, row, str(cell))
            elif mark == ",":
                comma = comma or (name, row, str(cell))
            elif mark == "?":
                open_ = open_ or (name, row, str(cell))
    if point and comma:
        raise _refused(
            point,
            f"{point[2]!r} has a decimal point, and {comma[2]!r} (row {comma[1]}, column {comma[0]!r}) a decimal comma",
        )
    if not (point or comma or open_) and separator == ";":
        open_ = _thousand(columns)
    if open_ and not point and not comma:
        raise _refused(open_, f"{open_[2]!r} can be a thousand and more, or a number with three decimals")
    return "," if comma else "."


def to_numbers(cells: Cells, mark: str) -> NDArray[Any]:
    """Return cells as float64, exact to the last digit; a cell that is no number stays text, as object."""
    floats = _floats(cells)
    if floats is not None and mark == ".":
        return floats
    return _narrow(np.array([_number(cell, mark) for cell in cells], dtype=object))


def _thousand(columns: Sequence[tuple[str, Cells]]) -> tuple[str, int, str] | None:
    """Return a cell such as 42.000 if every cell with a point can be thousands, and none is a plain 1234."""
    found = None
    for name, cells in columns:
        for row, cell in enumerate(cells):
            text = _bare(str(cell))
            if _PROVEN_POINT.fullmatch(text):
                return None
            if found is None and _THOUSAND.fullmatch(text):
                found = (name, row, str(cell))
    return found


def _floats(cells: Cells) -> NDArray[np.float64] | None:
    """Return plain cells as floats; None if one is written in another way."""
    # float() reads 1_000, which no program that writes bars means as a number.
    if any("_" in cell for cell in cells if isinstance(cell, str)):
        return None
    try:
        return cells.astype(np.float64)
    except ValueError:
        return None


def _narrow(values: NDArray[np.object_]) -> NDArray[Any]:
    try:
        return values.astype(np.float64) if all(isinstance(value, float) for value in values) else values
    except ValueError:
        return values


def _number(cell: object, mark: str) -> object:
    if not isinstance(cell, str):
        return cell
    text = _bare(cell)
    if text.lower() in _WORDS:
        return float(text)
    text = text.translate(_SPACES) if _SPACED.fullmatch(text) else text
    other = "," if mark == "." else "."
    whole, point, decimals = text.partition(mark)
    if other in whole:
        if not re.fullmatch(rf"[+-]?\d{{1,3}}(?:{re.escape(other)}\d{{3}})+", whole):
            return cell
        whole = whole.replace(other, "")
    text = f"{whole}.{decimals}" if point else whole
    return float(text) if _PLAIN.fullmatch(text) else cell


def _says(text: str) -> str:
    """Return the decimal mark that a cell proves, "?" if it has a comma and proves none, "" otherwise."""
    if not _GROUPED.fullmatch(text) or ("," not in text and text.count(".") < 2):
        return ""
    if "," in text and "." in text:
        return "." if text.rindex(".") > text.rindex(",") else ","
    if text.count(",") > 1:
        return "."
    if text.count(".") > 1:
        return ","
    whole, _, rest = text.lstrip("+-").partition(",")
    return "?" if len(rest) == 3 and 1 <= len(whole) <= 3 and not whole.startswith("0") else ","


def _bare(cell: str) -> str:
    """Return a cell without spaces around it and without a sign of a currency; its spaces are plain ones."""
    return cell.translate(_ANY_SPACE).strip().lstrip("$€£").strip()


def _refused(where: tuple[str, int, str], what: str) -> BadBars:
    name, row, _ = where
    return BadBars(
        f"row {row}, column {name!r}: {what}; say which",
        row=row,
        column=name,
        reason="decimal",
    )
