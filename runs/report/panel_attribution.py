"""The report's panel of where the profit came from, and what the filters refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..folder.contents import LoadedRun
from ..metric_rows import show
from .markup import esc, panel, table

__all__ = ["attribution"]

_CUTS = (
    ("by_state", "State"),
    ("by_side", "Side"),
    ("by_reason", "Decision"),
    ("by_symbol", "Symbol"),
    ("by_month", "Month"),
)
_WORDS = {"inside": "in distribution", "outside": "out of distribution", "unknown": "not known"}
_COLUMNS = ("net", "gross", "fees", "slippage", "funding")
_COSTS = (
    ("taker_fees", "taker fees"),
    ("maker_fees", "maker fees"),
    ("liquidation_fees", "liquidation fees"),
    ("slippage", "slippage"),
    ("funding", "funding"),
)


def attribution(run: LoadedRun) -> str:
    """Return the profit by state, side, decision, symbol and month, and what each filter refused; nothing without."""
    found = run.metrics.get("attribution")
    if not isinstance(found, Mapping) or "by_state" not in found:
        return ""
    rows = [
        [esc(f"{label}: {_WORDS.get(part, part.replace('_', ' '))}"), *_amounts(amounts)]
        for cut, label in _CUTS
        for part, amounts in found[cut].items()
    ]
    heads = ["", "Net", "Before costs", "Fees", "Slippage", "Funding"]
    note = (
        f"{esc(run.currency)}. The profit of the run, cut in five ways; the parts of each add up to it. State: that of "
        "the market when the position was kept. Decision: the one whose order opened or last changed the position; "
        "costs belong to the decision that sent the order."
    )
    body = (table(heads, rows) if rows else "<p class=empty>The run has no profit and no loss.</p>") + _costs(
        found
    )
    return panel("Where the profit came from", body + _refused(found), note=note, name="attribution")


def _amounts(part: Mapping[str, Any]) -> list[str]:
    return [esc(show("money", part[name])) for name in _COLUMNS]


def _costs(found: Mapping[str, Any]) -> str:
    split = ", ".join(f"{label} {show('money', found['costs'][key])}" for key, label in _COSTS)
    insured = found.get("insurance")
    beyond = f" Losses of {show('money', insured)} beyond the equity were not charged." if insured else ""
    profit, gross = show("money", found["total"]), show("money", found["gross"])
    return f"<p>{esc(f'Profit {profit} = {gross} before costs, less {split}.{beyond}')}</p>"


def _refused(found: Mapping[str, Any]) -> str:
    refused = found.get("refused")
    if not refused:
        return ""
    rows = [
        [esc(reason.replace("_", " ")), esc(show("count", part["bars"])), esc(show("money", part["pnl"]))]
        for reason, part in refused.items()
    ]
    text = (
        "What each filter refused: the profit, before costs, of the target that it set to 0, from its bar to the "
        "next. A filter that helps has refused losses."
    )
    return f"<p>{esc(text)}</p>" + table(["Filter", "Bars", "Profit refused"], rows)
