"""Choose the noise level whose regimes return when the map is fitted to other rows.

References:
    A Stability Based Method for Discovering Structure in Clustered Data (Ben-Hur, Elisseeff & Guyon, 2002).
    Comparing Partitions (Hubert & Arabie, 1985): the adjusted Rand index.
    The Jackknife and the Bootstrap for General Stationary Observations (Kuensch, 1989): blocks of dependent rows.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .flow import SampleDenoiser, basins, climb, nearest

__all__ = ["adjusted_rand", "agreement"]

Labels = NDArray[np.int64]

_BLOCKS = 24  # consecutive rows stay together in a half, because neighbours are dependent


def adjusted_rand(first: Labels, second: Labels) -> float:
    """Return the agreement of two labelings [N]: 1 for the same grouping, 0 expected for independent ones."""
    _, a = np.unique(first, return_inverse=True)
    _, b = np.unique(second, return_inverse=True)
    table = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(table, (a, b), 1)

    def pairs(counts: NDArray[np.float64]) -> float:
        return float((counts * (counts - 1)).sum() / 2)

    rows, columns, total = pairs(table.sum(1)), pairs(table.sum(0)), pairs(np.array([float(len(a))]))
    expected, most = rows * columns / max(total, 1.0), (rows + columns) / 2
    return 1.0 if most == expected else (pairs(table) - expected) / (most - expected)


def agreement(rows: Tensor, sigma: float, *, least: float, splits: int, seed: int) -> float:
    """Return how well two halves of the rows [M, C] agree on the regimes of all rows: the mean adjusted Rand index.

    Each split puts half of the blocks of consecutive rows into one half and fits a map to each. A half with a single
    regime does not confirm several: such a split counts 0. In one coordinate two halves agree in part even about
    the bumps of noise (0.3 to 0.5 on random walks at sigma 0.1), so a level must also be coarse enough to smooth
    them away.
    """
    generator = np.random.default_rng(seed)
    block = np.arange(len(rows)) * _BLOCKS // len(rows)
    found = []
    for _ in range(splits):
        chosen = generator.permutation(_BLOCKS)[: _BLOCKS // 2]
        first = torch.from_numpy(np.isin(block, chosen))
        one, other = (_labels(rows, part, sigma, least) for part in (first, ~first))
        single = len(np.unique(one)) == 1 or len(np.unique(other)) == 1
        found.append(0.0 if single else adjusted_rand(one, other))
    return float(np.mean(found))


def _labels(rows: Tensor, part: Tensor, sigma: float, least: float) -> Labels:
    ends = climb(SampleDenoiser(rows[part]), rows, sigma)
    modes, _ = basins(ends[part], sigma, least)
    return np.asarray(nearest(ends, modes).numpy())
