"""One coordinate of the score at a few fixed noise levels: what a live bar of the `state` signal costs.

All that depends on sigma alone (precisions, determinants, the modulation of every block) is computed once, and what
depends on x alone is computed once for all levels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .denoiser import Denoiser, precondition
from .mixture import Mixture
from .networks import NoiseConditionalMlp

__all__ = ["LevelScore"]


class LevelScore:
    """Evaluate coordinate `coordinate` of a trained denoiser's score at each of `sigmas`, float64."""

    def __init__(self, denoiser: Denoiser, sigmas: Sequence[float], coordinate: int) -> None:
        network = denoiser.network
        if not isinstance(network, NoiseConditionalMlp):
            raise TypeError(f"LevelScore: expected a NoiseConditionalMlp, found {type(network).__name__}")
        level = torch.tensor(sigmas, dtype=torch.float64)[:, None, None]  # [L, 1, 1]
        c = precondition(level)
        out = c.c_out / level.square() * (1.0 if denoiser.base is None else c.c_in)
        told = level.square() / c.c_out
        self._coordinate, self._shrink = coordinate, -c.c_skip
        self._base = None if denoiser.base is None else _BaseScore(denoiser.base, level)
        self._network = network
        with torch.no_grad():
            self._modulations = network.modulations(c.c_noise)
            enter, pull = network.enter.weight.T, network.enter_pull.weight.T
            # c_in x and the part of the pull that is linear in x, in one product.
            plain = 0.0 if denoiser.base is None else told * c.c_skip * pull
            self._enter = (c.c_in * enter + plain).contiguous()  # [L, d, h]
            self._enter_score = (told * pull).contiguous()  # [L, d, h]
            self._leave = (network.leave.weight[coordinate] * out).mT.contiguous()  # [L, h, 1]
            self._bias = network.leave.bias[coordinate] * out[..., 0]

    def __call__(self, x: Tensor) -> Tensor:
        """Return the coordinate of the score of rows x [N, d] at each level, [L, N]."""
        entered = x @ self._enter + self._network.enter.bias
        if self._base is None:
            start = (self._shrink * x)[..., self._coordinate]
        else:
            score = self._base(x)
            start = score[..., self._coordinate]
            entered = torch.baddbmm(entered, score, self._enter_score)
        hidden = self._network.hidden(entered, self._modulations)
        return torch.bmm(hidden, self._leave)[..., 0] + self._bias + start


class _BaseScore:
    """The score of a mixture at fixed levels, [L, N, d]."""

    def __init__(self, base: Mixture, level: Tensor) -> None:
        spectrum = base.spectrum(level)
        noisy = spectrum.variances + level.square()[..., None]  # [L, 1, K, d]
        log_norm = 0.5 * (noisy.log().sum(-1) + base.dim * math.log(2 * math.pi))
        self._log_weight = spectrum.log_weights - log_norm
        self._half_precision = -0.5 / noisy
        self._axes, self._back, self._shift = spectrum.axes, 2 * spectrum.back, spectrum.centres.flatten()
        self._shape = tuple(spectrum.means.shape)

    def __call__(self, x: Tensor) -> Tensor:
        offset = (x @ self._axes - self._shift).view(len(x), *self._shape)
        pulled = offset * self._half_precision  # [L, N, K, d]
        joint = (offset * pulled).sum(-1) + self._log_weight
        return (torch.softmax(joint, dim=-1)[..., None] * pulled).flatten(2) @ self._back
