"""The regimes of a market: modes, names, persistence, transitions, and the labels of states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from ..base.did_you_mean import did_you_mean
from ..base.printable import one_line
from ..errors import ConfigError
from .coordinates import COORDINATES
from .filter import WINDOW, filter_last, forward_filter
from .flow import SampleDenoiser, climb, nearest

__all__ = ["LIMIT", "RegimeMap", "regime_numbers"]

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

LIMIT = 4.0  # scaled coordinates beyond this count as this: one jump is no evidence against all regimes
_ARRAYS = ("centre", "scale", "rows", "modes", "states", "mean", "std", "transitions", "share", "persistence")


@dataclass(frozen=True, eq=False, kw_only=True)
class RegimeMap:
    """The regimes that a model's training span has; K = 1 means that no level gave several stable ones.

    Attributes:
        names: of the K regimes, ordered by volatility from low to high.
        sigma: noise level of the flow, in standard deviations of the coordinates.
        stability: agreement (adjusted Rand index) between maps of two halves of the training span.
        uses: the coordinates of the flow, of "volatility" and "trend"; C of them.
        centre, scale: [C] mean and standard deviation of the coordinates in training.
        rows: [M, C] scaled training states, averaged over two days: the density that the score belongs to.
        modes: [K, C] where the flow ends, in scaled coordinates.
        states: [K, F] median raw features of the training states of each regime.
        mean, std: [K, C] of the scaled coordinates in each regime.
        transitions: [K, K] P(regime of the next bar | regime).
        share: [K] share of time in training.
        persistence: [K] mean length of a run in training, bars.
        tried: the levels that were compared, from fine to coarse: sigma, number of regimes, stability.
    """

    names: tuple[str, ...]
    sigma: float
    stability: float
    uses: tuple[str, ...]
    centre: Array
    scale: Array
    rows: Array
    modes: Array
    states: Array
    mean: Array
    std: Array
    transitions: Array
    share: Array
    persistence: Array
    tried: tuple[Mapping[str, Any], ...] = ()

    def __repr__(self) -> str:
        return one_line(self, *self.names, sigma=self.sigma, stability=round(self.stability, 3))

    def __len__(self) -> int:
        return len(self.names)

    def by_flow(self, position: Array) -> Labels:
        """Return the regime [N] in whose mode the flow from each position [N, 2] (raw coordinates) ends.

        A row does not depend on the others; -1 for a row that is not finite.
        """
        known = np.isfinite(position).all(axis=1)
        labels = np.where(known, 0, -1).astype(np.int64)
        if len(self) == 1:
            return labels
        start = torch.from_numpy(self._scaled(position[known]))
        ends = climb(SampleDenoiser(torch.from_numpy(self.rows)), start, self.sigma)
        labels[known] = nearest(ends, torch.from_numpy(self.modes)).numpy()
        return labels

    def by_filter(self, position: Array) -> Labels:
        """Return the likeliest regime of each bar given the bars up to it, [T], of consecutive bars [T, 2].

        The label depends on the last `filter.WINDOW` bars only; -1 for a bar that is not finite.
        """
        known = np.isfinite(position).all(axis=1)
        if len(self) == 1:
            return np.where(known, 0, -1).astype(np.int64)
        labels = forward_filter(self._evidence(position), self.transitions, self.share).argmax(axis=1)
        return np.where(known, labels, -1).astype(np.int64)

    def latest(self, position: Array) -> int:
        """Return the last label of `by_filter`, which needs `filter.WINDOW` bars."""
        if not np.isfinite(position[-1]).all():
            return -1
        belief = filter_last(self._evidence(position[-WINDOW:]), self.transitions, self.share)
        return belief.index(max(belief))

    def numbers(self, wanted: Sequence[str | int]) -> frozenset[int]:
        """Return the numbers of regimes that are given by name or by number.

        Raises:
            ConfigError: there is no such regime; the message suggests the nearest name.
        """
        return regime_numbers(self.names, wanted)

    def summary(self) -> list[dict[str, Any]]:
        """Return a row a regime: number, name, share of time, mean run in bars, next regimes by probability."""
        return [
            {
                "regime": k,
                "name": name,
                "share": float(self.share[k]),
                "mean_run": float(self.persistence[k]),
                "next": {other: float(p) for other, p in zip(self.names, self.transitions[k], strict=True)},
            }
            for k, name in enumerate(self.names)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; `from_dict` is the inverse."""
        out = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: value.tolist() if name in _ARRAYS else value for name, value in out.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild from `to_dict`.

        Raises:
            ValueError: a shape does not fit, a number is not finite or a spread is not positive.
            KeyError: a part is missing.
        """
        parts = {name: np.asarray(values[name], dtype=np.float64) for name in _ARRAYS}
        names, uses = tuple(map(str, values["names"])), tuple(map(str, values["uses"]))
        count, width = len(names), len(uses)
        shapes = {"centre": (width,), "scale": (width,), "transitions": (count, count)}
        shapes |= dict.fromkeys(("modes", "mean", "std"), (count, width))
        shapes |= dict.fromkeys(("share", "persistence"), (count,))
        wrong = [name for name, shape in shapes.items() if parts[name].shape != shape]
        wrong += [name for name, part in parts.items() if not part.size or not np.isfinite(part).all()]
        if parts["rows"].ndim != 2 or parts["rows"].shape[1] != width:
            wrong.append("rows")
        if parts["states"].ndim != 2 or len(parts["states"]) != count:
            wrong.append("states")
        wrong += [name for name in ("scale", "std", "share") if not (parts[name] > 0).all()]
        if not np.allclose(parts["transitions"].sum(axis=-1), 1.0, atol=1e-6):
            wrong.append("transitions")
        if wrong or not count or set(uses) - set(COORDINATES) or not float(values["sigma"]) > 0:
            raise ValueError(
                f"regimes: impossible {', '.join(dict.fromkeys(wrong)) or 'names, uses or sigma'}"
            )
        return cls(
            names=names,
            uses=uses,
            sigma=float(values["sigma"]),
            stability=float(values["stability"]),
            tried=tuple(values.get("tried", ())),
            **parts,
        )

    def _evidence(self, position: Array) -> Array:
        """Return the log-likelihood of each position [N, 2] in each regime, [N, K]; 0 where it is not finite."""
        known = np.isfinite(position).all(axis=1)
        evidence = np.zeros((len(position), len(self)))
        z = self._scaled(position[known])
        for k in range(len(self)):
            offset = (z - self.mean[k]) / self.std[k]
            evidence[known, k] = -0.5 * (offset**2).sum(axis=1) - np.log(self.std[k]).sum()
        return evidence

    def _scaled(self, position: Array) -> Array:
        columns = [COORDINATES.index(name) for name in self.uses]
        return np.clip((position[:, columns] - self.centre) / self.scale, -LIMIT, LIMIT)


def regime_numbers(names: Sequence[str], wanted: Sequence[str | int]) -> frozenset[int]:
    """Return the numbers of regimes that are given by name or by number; `names` are those of a model.

    Raises:
        ConfigError: there is no such regime; the message suggests the nearest name.
    """
    found = set()
    for item in wanted:
        if isinstance(item, int) and not isinstance(item, bool) and 0 <= item < len(names):
            found.add(item)
        elif isinstance(item, str) and item in names:
            found.add(names.index(item))
        else:
            hint = did_you_mean(item, names) if isinstance(item, str) else ""
            known = ", ".join(f"{number} ({name})" for number, name in enumerate(names))
            raise ConfigError(f"regimes: this model has no regime {item!r}{hint}; it has {known}")
    return frozenset(found)
