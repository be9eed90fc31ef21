"""What `scorenet walkforward` prints: the figures of the one account, the folds side by side, the verdict."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..metric_rows import ROWS, show
from ..statistics import format_table

__all__ = ["format_walk"]

_KINDS = {row.key: row.kind for row in ROWS}
_COLUMNS = ("total_return", "sharpe_ratio", "max_drawdown")


def format_walk(metrics: Mapping[str, Any], report: Path) -> str:
    """Return the text for the terminal; its last line is the verdict."""
    parts = [format_table(metrics, name="out of sample"), "", *_folds(metrics), ""]
    if metrics["paths"] is not None:
        parts.append(_paths(metrics["paths"]))
    parts += [
        f"models  {metrics['training_seconds']:.0f} s of training; the last is in {metrics['last_model']}",
        f"next    refit due {metrics['refit_due'][:10]}{_live(metrics)}",
        f"report  {report}",
        str(metrics["verdict"]),
    ]
    return "\n".join(parts)


def _paths(found: Mapping[str, Any]) -> str:
    median, low, high = (show("ratio", found[f"sharpe_ratio_{name}"]) for name in ("median", "5", "95"))
    losses = f"{found['share_of_losses'] * 100:.0f} % lose"
    return f"paths   {found['n_paths']} paths: median Sharpe ratio {median}, 5 % to 95 %: {low} to {high}; {losses}"


def _live(metrics: Mapping[str, Any]) -> str:
    """Return the command that trades the last model; none for a market that closes, which cannot be traded live."""
    return (
        "" if metrics.get("calendar") else f": scorenet live --model {metrics['last_model']} --symbol SYMBOL"
    )


def _folds(metrics: Mapping[str, Any]) -> list[str]:
    objective = metrics["objective"]
    chosen = any(fold["trials"] for fold in metrics["folds"])
    head = f"{'fold':>4}  {'out of sample':<23} {'return':>8} {'Sharpe':>7} {'drawdown':>9} {'orders':>7}"
    lines = [head + (f"  {objective} in validation, settings" if chosen else "")]
    for fold in metrics["folds"]:
        figures = [show(_KINDS[name], fold[name]) for name in _COLUMNS]
        text = f"{fold['fold']:>4}  {fold['test_since'][:10]} {fold['test_until'][:10]}   "
        text += f"{figures[0]:>8} {figures[1]:>7} {figures[2]:>9} {fold['n_orders']:>7,}"
        if chosen:
            settings = json.loads(fold["settings"])
            values = ", ".join(
                f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
                for name, value in settings.items()
            )
            text += f"  {show(_KINDS[objective], fold[f'validation_{objective}'])}, {values}"
        lines.append(text)
    return lines
