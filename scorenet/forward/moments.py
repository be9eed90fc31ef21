"""Mean, standard deviation, quantiles and tail means of the forward density's Gaussian mixture.

The tail mean uses the dual form max over q of q - E[(q - y)+] / share. At the quantile its derivative in q is zero, so
an error of 1e-6 in the quantile changes it by 1e-12, and a few Newton steps are enough at every bar.

References:
    Optimization of Conditional Value-at-Risk (Rockafellar & Uryasev, 2000).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .net import Parts

__all__ = ["TAIL_SHARE", "lower_tail_mean", "mixture_quantile", "moments", "pooled", "tail_means"]

TAIL_SHARE = 0.05
"""Share of the outcomes in a tail."""

_STEPS = 10  # steps for a tail mean; trained nets need 5
_MORE_STEPS = 200  # steps for a quantile; most rows need 6
_ROUNDING = 1e-9  # shorter steps, relative to the bracket, are those of a search that has arrived
_TINY = 1e-300  # keeps log and division finite far outside a tail


def moments(parts: Parts) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation, each [N], of the mixture over all members; parts are [M, N, K]."""
    weights, means, widths = parts[0].exp(), parts[1], parts[2]
    mean = (weights * means).sum(-1).mean(0)
    second = (weights * (means.square() + widths.square())).sum(-1).mean(0)
    return mean, (second - mean.square()).clamp_min(0.0).sqrt()


def pooled(parts: Parts) -> Parts:
    """Return weights, means and widths of one mixture over all members, each [N, M K]."""
    members, rows, _ = parts[1].shape
    weights, means, widths = (part.transpose(0, 1).reshape(rows, -1) for part in parts)
    return weights.exp() / members, means, widths


def tail_means(parts: Parts, share: float = TAIL_SHARE) -> tuple[Tensor, Tensor]:
    """Return the mean of the lowest and of the highest `share` of outcomes, each [N]; parts are [M, N, K]."""
    weights, means, widths = pooled(parts)
    return lower_tail_mean(weights, means, widths, share), -lower_tail_mean(weights, -means, widths, share)


def lower_tail_mean(
    weights: Tensor, means: Tensor, widths: Tensor, share: float, cut: Tensor | None = None
) -> Tensor:
    """Return E[y | y <= its `share`-quantile] of pooled mixtures, [N]; `cut` is that quantile if it is known."""
    if cut is None:
        cut = mixture_quantile(weights, means, widths, share, steps=_STEPS)
    gap = cut[:, None] - means
    z = gap / widths
    density = torch.exp(-0.5 * z.square()) / math.sqrt(2 * math.pi)
    shortfall = (weights * (gap * torch.special.ndtr(z) + widths * density)).sum(1)
    return torch.as_tensor(cut - shortfall / share)


def mixture_quantile(
    weights: Tensor, means: Tensor, widths: Tensor, q: float, steps: int = _MORE_STEPS
) -> Tensor:
    """Return the q-quantile of pooled mixtures [N, C], [N], by Newton's method on the log of the distribution function.

    A step that would leave the bracket, or that is not half as long as the one before, is replaced by a bisection.
    Every row takes its own steps, so no row depends on others.
    """
    if q > 0.5:
        return -mixture_quantile(weights, -means, widths, 1.0 - q, steps)
    mean = (weights * means).sum(1)
    std = ((weights * (means.square() + widths.square())).sum(1) - mean.square()).clamp_min(0.0).sqrt()
    # Cantelli's inequality bounds every quantile.
    low, high = mean - std * math.sqrt((1.0 - q) / q), mean + std * math.sqrt(q / (1.0 - q))
    at = mean + std * float(torch.special.ndtri(torch.tensor(q, dtype=torch.float64)))
    step = span = high - low
    for _ in range(steps):
        z = (at[:, None] - means) / widths
        below = (weights * torch.special.ndtr(z)).sum(1).clamp_min(_TINY)
        density = (weights * torch.exp(-0.5 * z.square()) / widths).sum(1) / math.sqrt(2 * math.pi)
        low, high = torch.where(below < q, at, low), torch.where(below < q, high, at)
        newton = -below * (below / q).log() / density.clamp_min(_TINY)
        ends = at + newton
        shorter = newton.abs() <= torch.maximum(0.5 * step.abs(), _ROUNDING * span)
        good = (ends >= low) & (ends <= high) & shorter
        step = torch.where(good, newton, 0.5 * (low + high) - at)
        if not bool((at + step != at).any()):
            break
        at = at + step
    return at
