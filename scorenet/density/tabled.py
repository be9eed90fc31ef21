"""The loss of the per-bar net on fixed rows: all that does not depend on its weights is computed once.

The net's log-density is start + raw r, with r = sqrt(1 + energy), and raw an MLP of the row and of ln(1 + energy). Its
gradient follows from that of the MLP by the product rule; the gradients of start, r and ln(1 + energy) are those of the
base mixture. A step then needs no score network and no second pass of autograd.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..score.mixture import Mixture
from ..score.score_module import ScoreModule
from .gradient import value_and_gradient

if TYPE_CHECKING:
    from .net import DensityNet

__all__ = ["TabledLoss", "label_tolerance", "slope_tolerance"]

_BLOCK = 512  # rows of one call of the score network: larger blocks leave the processor's cache


class TabledLoss:
    """Squared error of slopes, and Huber error of labels, of a net on random batches of rows [N, d].

    Args:
        labels: log p_sigma of the rows, [N], nats.
        base: the mixture of `net`.
        slope_weight: of the slopes' error; both are divided by tolerances.
    """

    def __init__(
        self,
        net: DensityNet,
        denoiser: ScoreModule,
        base: Mixture,
        rows: Tensor,
        labels: Tensor,
        sigma: float,
        slope_weight: float,
    ) -> None:
        self._mlp, self._dim, self._weight = net.net, rows.shape[1], slope_weight
        with torch.no_grad():
            start = net.base_log_density(rows)
            energy = net.energy(start)[:, None]
            blocks = torch.split(rows, _BLOCK)  # type: ignore[no-untyped-call]
            slope = torch.cat([base.score(block, sigma) for block in blocks])
            score = torch.cat([denoiser.score(block, sigma) for block in blocks])
            root, fall = (1 + energy).sqrt(), torch.where(energy > 0, -slope, 0.0)
            scale = slope_tolerance(score).rsqrt()
            tolerance = label_tolerance(labels)
            # One table, so that a batch is one gather. The columns are split again in `__call__`.
            self._table = torch.cat(
                (
                    rows,
                    energy.log1p(),
                    fall / (1 + energy),
                    scale * fall / (2 * root),
                    scale * (score - slope),
                    scale * root,
                    (root[:, 0] / tolerance)[:, None],
                    ((labels - start) / tolerance)[:, None],
                ),
                dim=1,
            )

    def __call__(self, pick: Tensor) -> Tensor:
        """Return the loss on the rows `pick`."""
        d = self._dim
        widths = [d + 1, d, d, d, 1, 1, 1]
        inputs, of_log, of_root, goal, factor, unit, label = torch.split(
            self._table.index_select(0, pick), widths, dim=1
        )  # type: ignore[no-untyped-call]
        raw, gradient = value_and_gradient(self._mlp, inputs)
        slope = factor * (gradient[:, :d] + gradient[:, d:] * of_log) + raw[:, None] * of_root
        value = torch.nn.functional.huber_loss(raw * unit[:, 0], label[:, 0], delta=2.0)
        return torch.as_tensor(value + self._weight * (slope - goal).square().mean())


def label_tolerance(target: Tensor) -> Tensor:
    """Return the tolerance [N], nats, of labels [N], which grows away from their median.

    Accuracy matters near the rejection threshold; far in the tail an error of one nat changes no decision.
    """
    return 1.0 + 0.05 * (target - target.median()).abs()


def slope_tolerance(score: Tensor) -> Tensor:
    """Return the tolerance [N, 1] of scores [N, d], one plus the mean square of each: far rows have steep ones."""
    return 1.0 + score.square().mean(dim=1, keepdim=True)
