"""The panel of a walk-forward: its folds side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ...folder.contents import LoadedRun
from ...metric_rows import MISSING, ROWS, show
from ..markup import esc, panel, table

__all__ = ["folds"]

_KINDS = {row.key: row.kind for row in ROWS}
_LABELS = {row.key: row.label for row in ROWS}
_FIGURES = (("total_return", "Return"), ("sharpe_ratio", "Sharpe"), ("max_drawdown", "Drawdown"))


def folds(run: LoadedRun) -> str:
    """Return a row per fold: its dates, its model and settings, the figures of its test part; nothing without folds."""
    found = run.metrics.get("folds")
    if not isinstance(found, list) or not found:
        return ""
    objective = str(run.metrics.get("objective"))
    chosen = any(fold.get("trials") for fold in found)
    heads = ["Fold", "Learns from", "Trades", *(label for _, label in _FIGURES), "Orders", "Model"]
    if chosen:
        heads += ["In validation", "Settings"]
    rows = [_row(fold, objective, chosen) for fold in found]
    note = (
        "One account over all folds: positions, windows and equity carry over from one to the next. Each fold is "
        "traded by a model and settings from earlier bars only; daily figures."
    )
    if chosen:
        note += (
            f" In validation: the {_LABELS.get(objective, objective)} of the settings on the part that chose them, "
            "which is better than what to expect of them later."
        )
    return panel("Fold by fold", table(heads, rows), note=esc(note), name="folds")


def _row(fold: Mapping[str, Any], objective: str, chosen: bool) -> list[str]:
    cells = [
        str(fold["fold"]),
        _span(fold, "train"),
        _span(fold, "test"),
        *(_shown(name, fold[name]) for name, _ in _FIGURES),
        f"{fold['n_orders']:,}",
        str(fold["model"])[:8],
    ]
    if chosen:
        settings = json.loads(fold["settings"])
        cells += [
            _shown(objective, fold.get(f"validation_{objective}")),
            ", ".join(f"{name} {_value(value)}" for name, value in settings.items()),
        ]
    return [esc(cell) for cell in cells]


def _span(fold: Mapping[str, Any], name: str) -> str:
    return f"{fold[f'{name}_since'][:10]} – {fold[f'{name}_until'][:10]}"


def _shown(name: str, value: float | None) -> str:
    return MISSING if value is None else show(_KINDS[name], value)


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
