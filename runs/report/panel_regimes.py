"""The report's table of market regimes: share of time, profit, length and what follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..folder.contents import LoadedRun
from ..metric_rows import MISSING, is_annualised, show
from .markup import esc, panel, table

__all__ = ["regimes"]

_HEADS = ("Regime", "Share of time", "P&L", "Sharpe ratio", "Mean run, bars", "Most often followed by")


def regimes(run: LoadedRun) -> str:
    """Return a table of each symbol's regimes, or nothing for a model without several."""
    found = run.metrics.get("regimes")
    if not isinstance(found, Mapping) or all(_count(rows) < 2 for rows in found.values()):
        return ""
    parts, annual = [], is_annualised(run.metrics)
    for symbol, rows in found.items():
        title = f"<h3>{esc(symbol)}</h3>" if len(found) > 1 else ""
        parts.append(title + table(_HEADS, [_row(row, annual) for row in rows]))
    note = (
        "The symbol's own profit after costs on the bars that began in a regime, known at their open; the rows of all "
        "symbols add up to the account's. Regimes are modes of the density of market states in training; the name says "
        "how volatile they are."
    )
    return panel("Regimes", "".join(parts), note=note, name="regimes")


def _row(row: Mapping[str, Any], annual: bool) -> list[str]:
    kinds = (("share", "share"), ("pnl", "money"), ("sharpe_ratio", "ratio"), ("mean_run", "ratio"))
    return [
        esc(row.get("name")),
        *(esc(show(kind, row.get(key) if annual or key != "sharpe_ratio" else None)) for key, kind in kinds),
        esc(_next(row)),
    ]


def _next(row: Mapping[str, Any]) -> str:
    """Return the likeliest other regime after this one, with its share of the changes."""
    following = row.get("next")
    if not isinstance(following, Mapping):
        return MISSING
    others = {name: float(p) for name, p in following.items() if name != row.get("name")}
    total = sum(others.values())
    if not total:
        return MISSING
    likeliest = max(others, key=lambda name: others[name])
    return f"{likeliest} ({others[likeliest] / total:.0%})"


def _count(rows: object) -> int:
    return sum(1 for row in rows if row.get("regime") is not None) if isinstance(rows, list) else 0
