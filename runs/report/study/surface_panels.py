"""Panels of the surface of a search: importance, heat maps and contours of pairs, slices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from ...folder.contents import LoadedRun
from ...metric_rows import ROWS, show
from ...surface import Axis, axes_of, fitted
from ..markup import esc, panel
from .surface_charts import contour, heat_map, slice_chart

__all__ = ["importance_panel", "objective_of", "slices", "surfaces"]

_MOST_AXES, _MOST_SLICES = 4, 6
_FEW_LABELS = 5  # a list with fewer values has no contour


@dataclass(frozen=True, eq=False)
class _Surface:
    """The complete trials of a run: axes in order of importance, objective values [N], position of the best."""

    axes: list[Axis]
    values: npt.NDArray[np.float64]
    best: int
    name: str
    write: Callable[[float], str]


def objective_of(run: LoadedRun) -> tuple[str, str, Callable[[float], str]]:
    """Return the key, the label and the format of a search's first objective."""
    key = str((run.metrics.get("objectives") or ["sharpe_ratio"])[0])
    row = next((row for row in ROWS if row.key == key), None)
    if row is None:
        return key, key, lambda value: f"{value:.3g}"
    return key, row.label, lambda value: show(row.kind, value)


def importance_panel(run: LoadedRun) -> str:
    """Return bars of how much of the objective's variance each setting explains; nothing for another run."""
    found = (run.metrics.get("surface") or {}).get("importance")
    if run.trials is None or not isinstance(found, dict) or not found:
        return ""
    fit = run.metrics["surface"].get("importance_fit")
    pairs = run.metrics["surface"].get("interactions") or {}
    shown = [*sorted(found.items(), key=lambda item: -item[1])]
    shown += [item for item in sorted(pairs.items(), key=lambda item: -item[1])[:3] if item[1] >= 0.01]
    bars = "".join(
        f"<div class=bar><span>{esc(name)}</span><i>"
        f"<u class=reason-trade style='width:{min(1.0, share) * 100:.1f}%'></u></i>"
        f"<b>{share * 100:.0f} %</b><small>{'together' if ' x ' in name else ''}</small></div>"
        for name, share in shown
    )
    weak = fit is None or fit < 0.3
    note = "share of the objective's variance over the space, by functional ANOVA over a random forest"
    if weak:
        note += "; the forest hardly predicts trials that it has not seen: the shares mean little here"
    return panel(
        "Which settings matter",
        f"<div class=bars>{bars}</div>",
        note=esc(note),
        name="importance",
        wide=False,
    )


def surfaces(run: LoadedRun) -> str:
    """Return heat maps of pairs of the settings that matter most, and the contour of the first pair."""
    found = _surface(run)
    if found is None or len(found.axes) < 2:
        return ""
    figures = []
    top = found.axes[:_MOST_AXES]
    for one, other in combinations(top, 2):
        figures.append(
            _figure(
                f"{one.name} and {other.name}", heat_map(one, other, found.values, found.best, found.write)
            )
        )
    drawn = [place for place, axis in enumerate(top) if not axis.labels or len(axis.labels) >= _FEW_LABELS]
    forest: Any = fitted(found.axes, found.values) if len(drawn) > 1 else None
    if forest is not None:
        pairs = list(combinations(drawn, 2))[: 2 - len(figures) % 2]
        for pair in pairs:
            names = f"{found.axes[pair[0]].name} and {found.axes[pair[1]].name}, fitted"
            figures.append(_figure(names, contour(found.axes, forest, pair, found.best, found.write)))
    note = f"{found.name}, mean of the trials in each cell; darker is higher; the frame or ring marks the best trial"
    body = f"<div class=grid>{''.join(figures)}</div>"
    return panel("Pairs of settings", body, note=esc(note), name="surface")


def slices(run: LoadedRun) -> str:
    """Return the objective along each setting."""
    found = _surface(run)
    if found is None:
        return ""
    figures = [
        f"<figure>{slice_chart(axis, found.values, found.best, found.name, found.write)}</figure>"
        for axis in found.axes[:_MOST_SLICES]
    ]
    note = "a dot is a trial; the line is the mean; the ring marks the best trial"
    return panel("Along each setting", f"<div class=grid>{''.join(figures)}</div>", note=note, name="slices")


def _figure(caption: str, chart: str) -> str:
    return f"<figure><figcaption>{esc(caption)}</figcaption>{chart}</figure>"


def _surface(run: LoadedRun) -> _Surface | None:
    if run.trials is None or "best_trial" not in run.metrics:
        return None
    key, label, write = objective_of(run)
    complete = run.trials[run.trials["status"] == "complete"].reset_index(drop=True)
    complete = complete[complete[key].notna()].reset_index(drop=True)
    place = np.flatnonzero(complete["number"] == run.metrics["best_trial"])
    axes = axes_of(complete)
    if not len(place) or not axes:
        return None
    order = (run.metrics.get("surface") or {}).get("importance") or {}
    axes.sort(key=lambda axis: -order.get(axis.name, 0.0))
    return _Surface(axes, complete[key].to_numpy(np.float64), int(place[0]), label, write)
