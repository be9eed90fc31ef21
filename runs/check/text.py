"""The terminal output of `scorenet check-model`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..tables import format_mapping, format_rows

__all__ = ["GROUPS", "format_check"]

GROUPS = (
    ("What trading uses", True),
    ("What tells how good the score is; a mark here stops no trade", False),
)
"""The findings in two groups: title, and whether trading uses what they measure."""


def format_check(content: Mapping[str, Any]) -> str:
    """Return the check as text for a terminal: key metrics, tables, findings and the path of the page."""
    score = content["score"]
    on = "its own samples" if content["measured_on"] == "samples" else " – ".join(content["span"])
    parts = [
        format_mapping({"model": content["model"]["path"], "measured on": on, "rows": score["rows"]}),
        format_mapping(content["key_metrics"]),
        _titled("Score by noise level", score["by_sigma"]),
        _titled("Stein identities: z near 1 is within chance", score["stein"]),
        _titled(
            "Density routes, nats: heat is the reference, per_bar the net used at every bar", score["routes"]
        ),
    ]
    gates = [
        {"symbol": symbol, **row} for symbol, rows in (content.get("gates") or {}).items() for row in rows
    ]
    if gates:
        parts.append(_titled("Share of bars rejected as out of distribution, by nominal level", gates))
    for title, trading in GROUPS:
        group = [verdict for verdict in content["verdicts"] if verdict["trading"] is trading]
        marks = [f"{'ok ' if verdict['good'] else '!  '} {verdict['text']}" for verdict in group]
        parts += ["\n".join([title, *marks])] if marks else []
    parts += [] if content.get("thorough") else ["--thorough measures more rows and every density method"]
    parts.append(f"page  {content['page']}")
    return "\n\n".join(parts)


def _titled(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    return f"{title}\n{format_rows([_rounded(row) for row in rows])}"


def _rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: float(value) if isinstance(value, float) else value for name, value in row.items()}
