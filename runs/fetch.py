"""`scorenet fetch`: download missing rows into the store and report what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scorenet.base.times import iso

from .tables import format_rows

__all__ = ["fetch_symbols", "format_reports"]


def fetch_symbols(symbols: Sequence[str], *, progress: bool, **options: Any) -> list[dict[str, Any]]:
    """Download the missing bars (and funding, open interest, mark prices) of each symbol; return one row per series.

    Raises:
        BadSource, BadSymbol, BadTimeframe: before any bar is requested.
        ExchangeError: when the exchange fails to deliver; all rows received before are stored.
        StoreError: when the store cannot be written.
    """
    from feeds.download.api import fetch

    given = {name: value for name, value in options.items() if value is not None}
    reports = fetch(symbols, progress=progress, **given)
    return [
        {
            "symbol": report.symbol,
            "kind": report.kind,
            "timeframe": report.timeframe,
            "rows": report.rows,
            "new_rows": report.new_rows,
            "requests": report.requests,
            "start": None if report.first is None else iso(report.first),
            "end": None if report.last is None else iso(report.last),
            "missing": sum(gap.missing for gap in report.gaps),
            "gaps": [{"start": iso(g.start), "end": iso(g.end), "missing": g.missing} for g in report.gaps],
            "revised": len({revision.timestamp for revision in report.revisions}),
            "revisions": [
                {"time": iso(r.timestamp), "column": r.column, "stored": r.stored, "now": r.now}
                for r in report.revisions
            ],
            "path": str(report.path),
        }
        for report in reports
    ]


def format_reports(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table for the terminal, and a line for each gap and each changed value."""
    hidden = ("gaps", "revisions", "path")
    table = format_rows([{name: row[name] for name in row if name not in hidden} for row in rows])
    holes = [
        f"{row['symbol']} {row['kind']}: {gap['missing']} bars missing from {gap['start']} to {gap['end']}"
        for row in rows
        for gap in row["gaps"]
    ]
    changes = [
        f"{row['symbol']} {row['kind']} {change['time']}: the exchange changed {change['column']} "
        f"from {change['stored']:g} to {change['now']:g}"
        for row in rows
        for change in row["revisions"]
    ]
    return "\n".join([table, *holes, *changes])
