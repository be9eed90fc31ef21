"""Kernel density estimates with closed-form density and score: one Gaussian on every row, at a chosen width.

The kernel of a row has the covariance of the row's mixture component, times `width`^2. Its centre is shrunk towards
the component's mean, so that the component keeps its covariance. Width 1 is the mixture, width 0 the rows. Noise of
size sigma adds sigma^2 to every variance, so density and score have closed forms at every noise level.

References:
    On Estimation of a Probability Density Function and Mode (Parzen, 1962).
    Density Estimation for Statistics and Data Analysis (Silverman, 1986), 6.1: kernels that keep the variance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..score.mixture import Mixture

__all__ = ["Kernels"]

_PAIRS = 2_000_000  # pairs of row and kernel held at a time
_FLOOR = 1e-3  # a component may have no variance in some direction


@dataclass(frozen=True, eq=False)
class Kernels:
    """Equally weighted Gaussians in K groups that share a covariance.

    Attributes:
        centres: for each group [n_k, d], along the axes of its covariance.
        axes: [K, d, d] eigenvectors in columns.
        variances: [K, d] eigenvalues.
    """

    centres: tuple[Tensor, ...]
    axes: Tensor
    variances: Tensor

    @classmethod
    def shaped(cls, mixture: Mixture, rows: Tensor, width: float, resolution: Tensor) -> Kernels:
        """Put a kernel on each of rows [N, d], with the covariance of the row's component times `width`^2.

        `resolution` [d] is the standard deviation of a value within its lattice cell; it widens every kernel.
        """
        member = mixture.responsibilities(rows, _FLOOR).argmax(1)
        used = torch.unique(member)
        kept = math.sqrt(1.0 - width**2)
        means, shapes = mixture.means[used], mixture.covariances[used] * width**2
        groups = [
            mean + kept * (rows[member == k] - mean) for mean, k in zip(means, used.tolist(), strict=True)
        ]
        return cls._along_axes(groups, shapes + torch.diag(resolution**2))

    @classmethod
    def round(cls, rows: Tensor, width: float, resolution: Tensor) -> Kernels:
        """Put a kernel of standard deviation `width` in every direction on each of rows [N, d]."""
        shape = torch.diag(width**2 + resolution**2)
        return cls._along_axes([rows], shape[None])

    @classmethod
    def _along_axes(cls, groups: list[Tensor], shapes: Tensor) -> Kernels:
        variances, axes = torch.linalg.eigh(shapes)
        turned = tuple(rows @ axis for rows, axis in zip(groups, axes, strict=True))
        return cls(turned, axes, variances.clamp_min(0.0))

    def __len__(self) -> int:
        return sum(len(rows) for rows in self.centres)

    def log_density(self, x: Tensor, sigma: float) -> Tensor:
        """Return log p_sigma(x), [N], nats."""
        blocks = torch.split(x, max(_PAIRS // len(self), 1))
        return torch.cat([torch.logsumexp(self._by_group(rows, sigma)[0], dim=1) for rows in blocks])

    def score(self, x: Tensor, sigma: float) -> Tensor:
        """Return grad_x log p_sigma(x), [N, d]."""
        out = []
        for rows in torch.split(x, max(_PAIRS // len(self), 1)):
            joint, by_group = self._by_group(rows, sigma, scores=True)
            out.append((torch.softmax(joint, dim=1)[..., None] * by_group).sum(1))
        return torch.cat(out)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n rows [n, d] of the density without noise."""
        sizes = torch.tensor([float(len(rows)) for rows in self.centres])
        group = torch.multinomial(sizes, n, replacement=True, generator=generator)
        out = torch.empty(n, self.axes.shape[1], dtype=self.axes.dtype)
        for k, rows in enumerate(self.centres):
            mine = group == k
            count = int(mine.sum())
            pick = rows[torch.randint(len(rows), (count,), generator=generator)]
            noise = torch.randn(pick.shape, generator=generator, dtype=pick.dtype)
            out[mine] = (pick + self.variances[k].sqrt() * noise) @ self.axes[k].T
        return out

    def _by_group(self, x: Tensor, sigma: float, *, scores: bool = False) -> tuple[Tensor, Tensor]:
        """Return each group's log share of the density, [N, K], and its score, [N, K, d] (empty without `scores`)."""
        dim = x.shape[1]
        logs, found = [], []
        for rows, axis, variance in zip(self.centres, self.axes, self.variances, strict=True):
            scale = (variance + sigma**2).sqrt()
            here, there = x @ axis / scale, rows / scale
            distance = torch.addmm(there.square().sum(1), here, there.T, alpha=-2.0)
            distance = distance.add_(here.square().sum(1, keepdim=True)).clamp_min_(0.0)
            volume = float(scale.log().sum()) + 0.5 * dim * math.log(2 * math.pi) + math.log(len(self))
            logs.append(torch.logsumexp(-0.5 * distance, dim=1) - volume)
            if scores:
                nearest = torch.softmax(-0.5 * distance, dim=1) @ there
                found.append((nearest - here) / scale @ axis.T)
        return torch.stack(logs, 1), torch.stack(found, 1) if scores else torch.empty(0)
