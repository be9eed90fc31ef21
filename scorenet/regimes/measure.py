"""Measure the regimes of a training span: their spread, transitions, share of time, length and names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .coordinates import COORDINATES
from .names import regime_names
from .regime_map import LIMIT, RegimeMap

__all__ = ["mean_runs", "measured"]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Labels = NDArray[np.int64]

_SPREAD = 0.1  # smallest standard deviation of a coordinate in a regime
_PRIOR = 0.5  # transitions counted in advance, so that none is impossible


def measured(draft: RegimeMap, x: Array, position: Array, labels: Labels, starts: Flags) -> RegimeMap:
    """Return the map with the figures of its training span.

    Args:
        x: raw states [N, F].
        position: raw coordinates [N, 2].
        labels: the regime of each averaged state, by the flow [N].
        starts: [N] whether a row begins a run of consecutive bars.
    """
    columns = [COORDINATES.index(name) for name in draft.uses]
    z = np.clip((position[:, columns] - draft.centre) / draft.scale, -LIMIT, LIMIT)
    series = np.split(position, np.flatnonzero(starts)[1:])
    found = _described(draft, z, labels, starts)
    # An averaged state passes through the regimes between two others. The filter sees the states as they are, so the
    # second pass measures the labels that a user gets.
    labels = np.concatenate([found.by_filter(part) for part in series])
    found = _described(found, z, labels, starts)
    labels = np.concatenate([found.by_filter(part) for part in series])
    member = [_rows(labels, k) for k in range(len(draft))]
    centres = np.stack([np.median(position[rows], axis=0) for rows in member])
    return replace(
        found,
        names=regime_names(centres, position, trend="trend" in draft.uses),
        states=np.stack([np.median(x[rows], axis=0) for rows in member]),
        persistence=mean_runs(labels, starts, len(draft)),
    )


def _described(draft: RegimeMap, z: Array, labels: Labels, starts: Flags) -> RegimeMap:
    """Return the map with spread, transitions and shares of the scaled rows z [N, C] with these labels."""
    count = len(draft)
    table, bars = np.full((count, count), _PRIOR), np.bincount(labels, minlength=count) + _PRIOR
    follows = ~starts[1:]
    np.add.at(table, (labels[:-1][follows], labels[1:][follows]), 1.0)
    parts = [z[_rows(labels, k)] for k in range(count)]
    return replace(
        draft,
        mean=np.stack([part.mean(axis=0) for part in parts]),
        std=np.maximum(np.stack([part.std(axis=0) for part in parts]), _SPREAD),
        transitions=table / table.sum(axis=1, keepdims=True),
        share=bars / bars.sum(),
    )


def _rows(labels: Labels, k: int) -> Flags:
    """Return the rows of a regime, or all rows if the filter never takes it."""
    inside = labels == k
    return inside if inside.any() else np.ones(len(labels), dtype=bool)


def mean_runs(labels: Labels, starts: Flags, count: int) -> Array:
    """Return the mean number of consecutive bars [K] in each regime; 0 for a regime without a bar."""
    begins = starts.copy()
    begins[1:] |= labels[1:] != labels[:-1]
    bars = np.bincount(labels[labels >= 0], minlength=count)
    runs = np.bincount(labels[begins & (labels >= 0)], minlength=count)
    return np.asarray(bars / np.maximum(runs, 1), dtype=np.float64)
