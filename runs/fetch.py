"""`scorenet fetch`: download what the store lacks and say what is there now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runs.markets import stamp
from runs.tables import format_rows

__all__ = ["fetch_symbols", "format_reports"]


def fetch_symbols(symbols: Sequence[str], *, progress: bool, **options: Any) -> list[dict[str, Any]]:
    """Download the missing bars (and funding, open interest) of each symbol; return one row a series.

    Raises:
        BadSymbol, BadTimeframe: before any bar is requested.
        ExchangeError: when the exchange does not deliver; what had arrived is kept.
        StoreError: when the store cannot be written.
    """
    from feeds.download import fetch

    reports = fetch(symbols, progress=progress, **options)
    return [
        {
            "symbol": report.symbol,
            "kind": report.kind,
            "timeframe": report.timeframe,
            "rows": report.rows,
            "new_rows": report.new_rows,
            "requests": report.requests,
            "start": None if report.first is None else stamp(report.first),
            "end": None if report.last is None else stamp(report.last),
            "missing": sum(gap.missing for gap in report.gaps),
            "gaps": [
                {"start": stamp(g.start), "end": stamp(g.end), "missing": g.missing} for g in report.gaps
            ],
            "path": str(report.path),
        }
        for report in reports
    ]


def format_reports(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table for the terminal, and a line for each hole."""
    table = format_rows([{name: row[name] for name in row if name not in ("gaps", "path")} for row in rows])
    holes = [
        f"{row['symbol']} {row['kind']}: {gap['missing']} bars missing from {gap['start']} to {gap['end']}"
        for row in rows
        for gap in row["gaps"]
    ]
    return "\n".join([table, *holes])
