"""Plain-text tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["format_check", "format_mapping", "format_rerun", "format_rows"]


def format_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return an aligned text table, one line per row; numbers are right-aligned."""
    names = list(rows[0])
    cells = [[_text(row[name]) for name in names] for row in rows]
    widths = [max(len(line[i]) for line in [names, *cells]) for i in range(len(names))]
    right = [all(isinstance(row[name], int | float) for row in rows) for name in names]
    lines = [names, ["-" * width for width in widths], *cells]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def format_mapping(values: Mapping[str, Any], indent: str = "") -> str:
    """Return one aligned line per key; nested mappings are indented below their key."""
    width = max((len(name) for name in values), default=0)
    lines = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}{name}", format_mapping(value, indent + "  ")]
        else:
            lines.append(f"{indent}{name.ljust(width)}  {_text(value)}")
    return "\n".join(lines)


def format_check(found: Mapping[str, Any]) -> str:
    """Return the facts of `scorenet data check`, the first holes as a table, and what the spacing of the bars says."""
    long = ("gaps", "other_sizes")
    parts = [
        format_mapping(
            {name: value for name, value in found.items() if name not in long and value is not None}
        )
    ]
    gaps = found["gaps"]
    if gaps:
        more = f"\n... and {len(gaps) - _HOLES:,} more; --json has all" if len(gaps) > _HOLES else ""
        parts.append(f"missing bars\n{format_rows(gaps[:_HOLES])}{more}")
    if found["other_sizes"]:
        rows = format_rows(found["other_sizes"][:_HOLES])
        parts.append(f"bars of another size, not holes; split the file or resample it\n{rows}")
    if found["rests_at_weekends"]:
        parts.append(
            "The market rests at weekends: these holes are no lost bars. Name its trading calendar, such as "
            "--calendar XNYS; --gaps ffill would invent bars in which nobody traded."
        )
    return "\n\n".join(parts)


_HOLES = 10
"""Holes that are shown; a file may have thousands."""


def format_rerun(found: Mapping[str, Any]) -> str:
    """Return the verdict of `scorenet rerun`, and below it what differs and why."""
    if found["equal"]:
        lines = [f"equal: {found['values']:,} values and every figure of {found['run']} came out again"]
    else:
        lines = [f"NOT EQUAL: {found['n_differences']} differences from {found['run']}"]
    lines += [f"  {difference}" for difference in found["differences"]]
    return "\n".join([*lines, *(f"made otherwise: {cause}" for cause in found["causes"])])


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4f}"
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value) or "-"
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_text(item)}" for name, item in value.items())
    return str(value)
