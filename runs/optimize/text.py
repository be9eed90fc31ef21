"""What `scorenet optimize` prints: the best trial, what is left of it on held-out bars, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..metric_rows import ROWS, show
from ..statistics import format_table

__all__ = ["format_study"]

_KINDS = {row.key: (row.label, row.kind) for row in ROWS}


def format_study(metrics: Mapping[str, Any], report: Path) -> str:
    """Return the text for the terminal; its last line is the verdict."""
    parts = [format_table(metrics, name="best trial"), "", _best(metrics)]
    parts += [line for line in (_stability(metrics), _held_out(metrics)) if line]
    if metrics.get("rerun"):
        parts += ["", f"again   {metrics['rerun']}"]
    return "\n".join([*parts, f"report  {report}", str(metrics["verdict"])])


def _best(metrics: Mapping[str, Any]) -> str:
    settings = ", ".join(f"{name}={_short(value)}" for name, value in metrics["best_settings"].items())
    others = [f"{metrics[f'n_{kind}']:,} {kind}" for kind in ("failed", "pruned") if metrics[f"n_{kind}"]]
    return f"best    trial {metrics['best_trial']} of {metrics['n_trials']:,}{_listed(others)}: {settings}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _listed(others: list[str]) -> str:
    return f" ({', '.join(others)})" if others else ""


def _stability(metrics: Mapping[str, Any]) -> str:
    found = (metrics.get("surface") or {}).get("stability")
    if not found:
        return ""
    name, kind = _objective(metrics)
    return (
        f"around  {found['neighbours']} neighbouring trials have a mean {name} of {show(kind, found['mean'])} where "
        f"the best has {show(kind, found['best'])} and the median trial {show(kind, found['median'])}: "
        f"a {found['shape']}"
    )


def _held_out(metrics: Mapping[str, Any]) -> str:
    found = metrics.get("held_out")
    if not found:
        return ""
    name, kind = _objective(metrics)
    key = metrics["objectives"][0]
    held = found["benchmark"].get(key)
    beside = "" if held is None else f" (buy-and-hold {show(kind, held)})"
    return (
        f"later   on {found['bars']:,} held-out bars its {name} is {show(kind, found[key])}{beside}, in the search "
        f"{show(kind, metrics[key])}"
    )


def _objective(metrics: Mapping[str, Any]) -> tuple[str, str]:
    label, kind = _KINDS[metrics["objectives"][0]]
    return label[0].lower() + label[1:] if not label.startswith("Sharpe") else label, kind
