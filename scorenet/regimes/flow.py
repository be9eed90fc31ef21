"""Follow the score uphill: the fixed points of the denoiser are the modes of the density smoothed at sigma.

By Tweedie's formula D(x, sigma) = x + sigma^2 grad log p_sigma(x). So x <- D(x, sigma) is gradient ascent on
log p_sigma with step sigma^2. For the exact denoiser of a sample this iteration is mean shift.

References:
    Mean Shift: A Robust Approach toward Feature Space Analysis (Comaniciu & Meer, 2002).
    Tweedie's Formula and Selection Bias (Efron, 2011).
    A Connection between Score Matching and Denoising Autoencoders (Vincent, 2011).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Denoise", "SampleDenoiser", "basins", "climb", "nearest"]

Denoise = Callable[[Tensor, float], Tensor]

_BLOCK = 1024  # rows at a time: bounds memory
_ITERATIONS = 300
_STILL = 1e-3  # a step below this many sigma is the end of the flow
_LEAP = 0.5  # longest accelerated step, in sigma
_LINK = 0.5  # end points within this many sigma are one mode


@dataclass(frozen=True, eq=False)
class SampleDenoiser:
    """E[clean | noisy = x] for clean rows that are a draw from `rows` [M, C]: the optimum of denoising score matching.

    A network that is trained without limit on these rows converges to this function. In one or two coordinates it is
    cheap to evaluate, so no network is needed.
    """

    rows: Tensor

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        """Return the denoised rows [N, C] of x [N, C]; a row does not depend on the others."""
        square = (x[:, None] - self.rows[None]).square().sum(2)
        return torch.softmax(square / (-2.0 * sigma**2), dim=1) @ self.rows


def climb(denoise: Denoise, x: Tensor, sigma: float) -> Tensor:
    """Return where the flow from each row of x [N, C] ends at level sigma, [N, C].

    Steps grow while they keep their direction, up to half a sigma: on a flat slope the plain iteration is slow. Modes
    of a density smoothed at sigma are more than a sigma apart, so such a step does not leap over one.
    """
    ends = x.clone()
    for begin in range(0, len(x), _BLOCK):
        moving = torch.arange(begin, min(begin + _BLOCK, len(x)))
        last = torch.zeros_like(ends[moving])
        pace = torch.ones(len(moving), 1, dtype=x.dtype)
        for _ in range(_ITERATIONS):
            step = denoise(ends[moving], sigma) - ends[moving]
            onward = (step * last).sum(dim=1, keepdim=True) > 0
            pace = torch.where(onward, 2.0 * pace, 1.0)
            length = step.norm(dim=1, keepdim=True)
            leap = torch.minimum(pace, torch.clamp(_LEAP * sigma / length.clamp_min(1e-300), min=1.0))
            ends[moving] += leap * step
            active = length[:, 0] > _STILL * sigma
            moving, last, pace = moving[active], step[active], leap[active]
            if not len(moving):
                break
    return ends


def basins(ends: Tensor, sigma: float, least: float = 0.0) -> tuple[Tensor, Tensor]:
    """Group end points [N, C] into modes; return the modes [K, C] and the mode of each row, [N].

    Points that a chain of steps of at most half a sigma connects are one mode, so the order of the rows does not
    matter. A mode with less than the share `least` of the rows is no mode; its rows belong to the nearest other.
    """
    count = len(ends)
    close = torch.cdist(ends, ends) <= _LINK * sigma
    group = torch.arange(count)
    while True:  # each row takes the smallest number among its neighbours, until nothing changes
        lower = torch.where(close, group[None], count).amin(dim=1)
        lower = lower[lower]
        if torch.equal(lower, group):
            break
        group = lower
    numbers, member, sizes = torch.unique(group, return_inverse=True, return_counts=True)
    modes = torch.stack([ends[member == k].mean(dim=0) for k in range(len(numbers))])
    kept = torch.nonzero(sizes >= max(least * count, 1)).flatten()
    if not len(kept):
        kept = sizes.argmax()[None]
    modes = modes[kept]
    order = sorted(range(len(modes)), key=lambda k: tuple(modes[k].tolist()))
    modes = modes[order]
    return modes, nearest(ends, modes)


def nearest(ends: Tensor, modes: Tensor) -> Tensor:
    """Return the number of the mode [K, C] that is nearest to each end point [N, C]; [N]."""
    return torch.as_tensor((ends[:, None] - modes[None]).square().sum(2).argmin(dim=1))
