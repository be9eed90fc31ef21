"""Panels of a search: what the best is worth, held-out figures, the best trials, the failed ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ...folder.contents import LoadedRun
from ...metric_rows import MISSING, ROWS, show
from ..charts import svg
from ..markup import details, esc, panel, table
from .plane import HALF_PLANE, Plane, dots, ring, ticks_of
from .surface_panels import objective_of

__all__ = ["best_trials", "failures", "held_out", "outcome"]

_PREFIX = "params_"
_BEST = 20
_SHOWN = ("sharpe_ratio", "total_return", "max_drawdown", "turnover", "n_trades", "exposure")
_REASONS = 12


def outcome(run: LoadedRun) -> str:
    """Return the cards of a search: how many trials, how much luck, how stable, how good on held-out bars."""
    if run.trials is None or "selection" not in run.metrics:
        return ""
    found: Mapping[str, Any] = run.metrics["selection"]
    cards = [
        ("Trials", f"{run.metrics['n_trials']:,}", _trials_note(run, found)),
        ("SPA p-value", _number(found.get("spa_p_value_cash"), 3), "a search without an edge does as well"),
        ("Deflated Sharpe", _number(found.get("deflated_sharpe")), _luck(found)),
        ("PBO", _number(found.get("pbo")), "how often the choice fails out of sample"),
        _stability(run),
        _later(run),
    ]
    body = "".join(
        f"<div class=card><span>{esc(name)}</span><b>{esc(value)}</b><small>{esc(note)}</small></div>"
        for name, value, note in cards
        if value
    )
    return f'<div class="cards search" id="search">{body}</div>'


def held_out(run: LoadedRun) -> str:
    """Return the objective in the search against the held-out part, a dot per judged trial."""
    if run.held_out is None or not len(run.held_out):
        return ""
    key, name, write = objective_of(run)
    seen, later = (run.held_out[column].to_numpy(np.float64) for column in (key, f"held_out_{key}"))
    there = np.isfinite(seen) & np.isfinite(later)
    if there.sum() < 3:
        return ""
    ends = []
    for values in (seen[there], later[there]):
        low, high = float(values.min()), float(values.max())
        air = 0.06 * (high - low) or 0.1
        ends.append((low - air, high + air))
    plane = Plane(ends[0], ends[1])
    parts = [
        plane.grid(
            ticks_of(*ends[0], write, 7), ticks_of(*ends[1], write), (f"{name}, search", f"{name}, held out")
        )
    ]
    if ends[1][0] < 0 < ends[1][1]:
        parts.append(f'<path class="level" d="M{plane.x(ends[0][0]):.1f} {plane.y(0):.1f}H{plane.right}"/>')
    best = run.held_out["number"].to_numpy() == run.metrics.get("best_trial")
    parts.append(dots(plane, seen[~best], later[~best], "dot", 2.8))
    if best.any() and there[best].any():
        parts.append(ring(plane, float(seen[best][0]), float(later[best][0]), "the best trial"))
    order = float(pd.Series(seen[there]).rank().corr(pd.Series(later[there]).rank()))
    note = (
        f"{int(there.sum()):,} trials: the best 20 and others over all ranks; rank correlation {order:+.2f}. The best "
        "was chosen before, and nothing here was used to choose"
    )
    chart = svg(HALF_PLANE, f"{name} in the search and held out", "".join(parts))
    return panel("In the search and held out", chart, note=esc(note), name="held_out", wide=False)


def best_trials(run: LoadedRun) -> str:
    """Return the table of the best 20 trials, with their held-out figure where they were judged."""
    if run.trials is None or "best_trial" not in run.metrics:
        return ""
    key, name, write = objective_of(run)
    smaller = key in {"volatility", "turnover", "fees", "funding", "slippage", "liquidations"}
    complete = run.trials[(run.trials["status"] == "complete") & run.trials[key].notna()]
    best = complete.sort_values([key, "number"], ascending=[smaller, True]).head(_BEST)
    later = {}
    if run.held_out is not None and len(run.held_out):
        later = dict(zip(run.held_out["number"], run.held_out[f"held_out_{key}"], strict=True))
    settings = [str(column) for column in best if str(column).startswith(_PREFIX)]
    metrics = [key, *(metric for metric in _SHOWN if metric != key)]
    kinds = {row.key: row for row in ROWS}
    heads = ["Trial", *(column.removeprefix(_PREFIX) for column in settings)]
    heads += [name, f"{name}, held out", *(kinds[metric].label for metric in metrics[1:])]
    rows = []
    for _, trial in best.iterrows():
        cells = [esc(f"{trial['number']:,}"), *(esc(_setting(trial[column])) for column in settings)]
        judged = later.get(trial["number"])
        cells += [
            esc(write(trial[key])),
            esc(MISSING if judged is None or judged != judged else write(judged)),
        ]
        cells += [esc(show(kinds[metric].kind, _known(trial[metric]))) for metric in metrics[1:]]
        rows.append(cells)
    return panel("The best trials", table(heads, rows), name="best_trials")


def failures(run: LoadedRun) -> str:
    """Return the reasons of failed and stopped trials with their counts; nothing without any."""
    if run.trials is None:
        return ""
    ended = run.trials[run.trials["status"].isin(["failed", "pruned"])]
    if not len(ended):
        return ""
    rows = []
    failed = ended[ended["status"] == "failed"]
    groups = failed.groupby("reason")["number"].agg(["size", "first"]).sort_values("size", ascending=False)
    for reason, group in groups.head(_REASONS).iterrows():
        rows.append([esc(reason), esc(f"{group['size']:,}"), esc(f"{group['first']:,}")])
    pruned = int((ended["status"] == "pruned").sum())
    if pruned:
        rows.append(["stopped early, below the median of earlier trials", f"{pruned:,}", MISSING])
    more = (
        f"<p class=note>and {len(groups) - _REASONS:,} further reasons</p>" if len(groups) > _REASONS else ""
    )
    body = table(["Reason", "Trials", "First of them"], rows) + more
    return panel("Trials without a result", details(f"{len(ended):,} trials", body), name="failures")


def _trials_note(run: LoadedRun, found: Mapping[str, Any]) -> str:
    others = [(run.metrics.get("n_failed"), "failed"), (run.metrics.get("n_pruned"), "stopped early")]
    others.append((found.get("n_idle"), "never traded"))
    said = ", ".join(f"{count:,} {kind}" for count, kind in others if count)
    effective = found.get("effective_trials")
    return said or ("" if effective is None else f"worth {effective:,.0f} independent ones")


def _luck(found: Mapping[str, Any]) -> str:
    expected, best = found.get("expected_max_sharpe"), found.get("sharpe_ratio")
    if expected is None or best is None:
        return ""
    return f"best {best:.2f}, luck alone {expected:.2f}"


def _stability(run: LoadedRun) -> tuple[str, str, str]:
    around = (run.metrics.get("surface") or {}).get("stability")
    if not around:
        return ("Shape", "", "")
    kept = around["kept"]
    note = "" if kept is None else f"neighbours keep {max(0.0, kept):.0%} of its advantage"
    return ("The best stands on a", str(around["shape"]), note)


def _later(run: LoadedRun) -> tuple[str, str, str]:
    found = run.metrics.get("held_out")
    if not found:
        return ("Held out", "", "")
    key, name, write = objective_of(run)
    value = found.get(key)
    market = (found.get("benchmark") or {}).get(key)
    beside = "" if market is None else f"buy-and-hold {write(market)}"
    return (f"{name}, held out", MISSING if value is None else write(value), beside)


def _number(value: Any, digits: int = 2) -> str:
    return MISSING if value is None else f"{value:.{digits}f}"


def _setting(value: Any) -> str:
    if pd.isna(value):
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _known(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
