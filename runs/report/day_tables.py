"""Tables of the tearsheet that QuantStats gets wrong or leaves undefined: months, rows of longer runs."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from ..metric_rows import MISSING

__all__ = ["months_table", "without_undefined"]

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# QuantStats prints these whatever the length of a run; the days that each needs to say something.
_NEEDS_DAYS = {
    "3M": 91,
    "6M": 182,
    "1Y": 365,
    "3Y (ann.)": 3 * 365,
    "5Y (ann.)": 5 * 365,
    "10Y (ann.)": 10 * 365,
    "Best Month": 60,
    "Worst Month": 60,
    "Win Month": 60,
    "Avg. Up Month": 60,
    "Avg. Down Month": 60,
    "Gain/Pain (1M)": 60,
    "Expected Yearly": 365,
    "Win Quarter": 182,
    "Best Year": 2 * 365,
    "Worst Year": 2 * 365,
    "Win Year": 2 * 365,
}
_DROPPED = ("Treynor Ratio",)  # a ratio that is printed as a percentage
_UNDEFINED = re.compile(r"-?(?:nan|inf|∞)%?", re.IGNORECASE)


def months_table(returns: pd.Series) -> str:
    """Return the months of a strategy as a table, from returns of UTC days; a month outside the run is a dash."""
    days = pd.DatetimeIndex(returns.index)
    months = (1.0 + returns).groupby([days.year, days.month]).prod() - 1.0
    years = sorted({year for year, _ in months.index})
    head = "".join(f"<th>{month}</th>" for month in _MONTHS)
    rows = []
    for year in years:
        cells = [_month(months.get((year, month))) for month in range(1, 13)]
        rows.append(f"<tr><td>{year}</td>{''.join(cells)}</tr>")
    return (
        f'<div class="months"><table><thead><tr><th>Year</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def without_undefined(page: str, days: int) -> str:
    """Return QuantStats' page without rows that `days` UTC days cannot fill; an undefined cell is a dash."""

    def mend(row: re.Match[str]) -> str:
        cells = re.findall(r"<td>(.*?)</td>", row.group(0), flags=re.DOTALL)
        label = cells[0].strip() if cells else ""
        if label in _DROPPED or days < _NEEDS_DAYS.get(label, 0):
            return ""
        text = re.sub(r"<td>(\s*)([^<]*?)(\s*)</td>", _dash, row.group(0))
        return _multiplier(text, cells) if re.fullmatch(r"\d{4}", label) and len(cells) == 5 else text

    return re.sub(r"<tr>.*?</tr>", mend, page, flags=re.DOTALL)


def _month(value: float | None) -> str:
    if value is None or not np.isfinite(value):
        return f"<td>{MISSING}</td>"
    tone = "up" if value > 0 else "down" if value < 0 else ""
    return f'<td class="{tone}">{100 * value:.1f}</td>'


def _dash(cell: re.Match[str]) -> str:
    before, text, after = cell.groups()
    return f"<td>{before}{MISSING if _UNDEFINED.fullmatch(text) or text == '-' else text}{after}</td>"


def _multiplier(row: str, cells: list[str]) -> str:
    """Return a row of years; "times the benchmark" says something of two gains only."""
    try:
        gains = [float(cell) for cell in cells[1:3]]
    except ValueError:
        gains = [0.0]
    if min(gains) > 0:
        return row
    parts = re.split(r"(<td>.*?</td>)", row, flags=re.DOTALL)
    parts[7] = f"<td>{MISSING}</td>"
    return "".join(parts)
