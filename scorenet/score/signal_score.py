"""One coordinate of the score at a few fixed noise levels: the per-bar computation of the `state` signal.

Terms that depend on sigma alone (precisions, determinants, the modulation of every block) are computed once; terms
that depend on x alone are computed once for all levels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .denoiser import Denoiser, precondition
from .mixture import Mixture
from .networks.ensemble import Ensemble
from .networks.mlp import NoiseConditionalMlp
from .score_module import ScoreModule

__all__ = ["LevelScore", "SignalScore"]


class SignalScore:
    """One coordinate of a trained score at level sigma, and its standard deviation.

    The standard deviation is over the members of an ensemble, or for a single network over the levels sigma / 2,
    sigma and 2 sigma.
    """

    def __init__(self, denoiser: ScoreModule, sigma: float, coordinate: int) -> None:
        members = list(denoiser.members) if isinstance(denoiser, Ensemble) else [denoiser]
        levels = [0.5 * sigma, sigma, 2.0 * sigma]
        self._members = [_at_levels(cast(ScoreModule, member), levels, coordinate) for member in members]

    def __call__(self, x: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the coordinate of the score [N] of rows x [N, d], float64, and its standard deviation [N]."""
        around = [member(x).numpy() for member in self._members]  # [L, N] each
        if len(around) == 1:
            return around[0][1], around[0].std(axis=0)
        middle = np.stack([levels[1] for levels in around])
        return middle.mean(axis=0), middle.std(axis=0)


def _at_levels(denoiser: ScoreModule, sigmas: Sequence[float], coordinate: int) -> Callable[[Tensor], Tensor]:
    """Return a function of rows x [N, d] that gives the coordinate of the score at each level, [L, N]."""
    if type(denoiser) is Denoiser and type(denoiser.network) is NoiseConditionalMlp:
        return LevelScore(denoiser, sigmas, coordinate)

    def at_levels(x: Tensor) -> Tensor:
        # The score of an energy network is a derivative, and inference mode has no autograd.
        with torch.inference_mode(False), torch.no_grad():
            rows = x.clone()
            return torch.stack([denoiser.score(rows, sigma)[:, coordinate] for sigma in sigmas])

    return at_levels


class LevelScore:
    """Evaluate coordinate `coordinate` of a trained denoiser's score at each of `sigmas`, float64."""

    def __init__(self, denoiser: Denoiser, sigmas: Sequence[float], coordinate: int) -> None:
        network = denoiser.network
        if not isinstance(network, NoiseConditionalMlp):
            raise TypeError(f"LevelScore: expected a NoiseConditionalMlp, found {type(network).__name__}")
        level = torch.tensor(sigmas, dtype=torch.float64)[:, None, None]  # [L, 1, 1]
        c = precondition(level)
        out = c.c_out / level.square() * (1.0 if denoiser.base is None else c.c_in)
        of_base = level.square() / c.c_out
        self._coordinate, self._shrink = coordinate, -c.c_skip
        self._base = None if denoiser.base is None else _BaseScore(denoiser.base, level)
        self._network = network
        with torch.no_grad():
            self._modulations = network.modulations(c.c_noise)
            enter, enter_base = network.enter.weight.T, network.enter_pull.weight.T
            # c_in x, and the part of the base output that is linear in x, in one product.
            plain = 0.0 if denoiser.base is None else of_base * c.c_skip * enter_base
            self._enter = (c.c_in * enter + plain).contiguous()  # [L, d, h]
            self._enter_score = (of_base * enter_base).contiguous()  # [L, d, h]
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
        self._axes, self._back_rotation, self._shift = (
            spectrum.axes,
            2 * spectrum.back_rotation,
            spectrum.centres.flatten(),
        )
        self._shape = tuple(spectrum.means.shape)

    def __call__(self, x: Tensor) -> Tensor:
        offset = (x @ self._axes - self._shift).view(len(x), *self._shape)
        along_axes = offset * self._half_precision  # [L, N, K, d]
        joint = (offset * along_axes).sum(-1) + self._log_weight
        return (torch.softmax(joint, dim=-1)[..., None] * along_axes).flatten(2) @ self._back_rotation
