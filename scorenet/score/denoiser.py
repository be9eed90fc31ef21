"""The denoiser D(x, sigma) = E[clean | noisy = x], and the score that follows from it by Tweedie's formula.

References:
    Elucidating the Design Space of Diffusion-Based Generative Models (Karras et al., 2022), arXiv 2206.00364.
    Tweedie's Formula and Selection Bias (Efron, 2011).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .mixture import Mixture
from .score_module import ScoreModule, sigma_column

__all__ = ["Denoiser", "Preconditioning", "precondition"]


class Preconditioning(NamedTuple):
    """The four scalings, each [N, 1], that give a network inputs and targets of unit variance at any sigma."""

    c_skip: Tensor
    c_out: Tensor
    c_in: Tensor
    c_noise: Tensor


def precondition(sigma: Tensor) -> Preconditioning:
    """Return the scalings for data of unit variance (sigma_data = 1)."""
    total = 1.0 + sigma**2
    return Preconditioning(1.0 / total, sigma / total.sqrt(), 1.0 / total.sqrt(), sigma.log() / 4.0)


class _Scalings(NamedTuple):
    """Factors, each [N, 1]: of x as input, of the base score as input, and of the network output in the score."""

    c_in: Tensor
    of_base_score: Tensor
    out: Tensor


class Denoiser(ScoreModule):
    """Wrap a raw network F into D(x, sigma) = D_q(x, sigma) + c_in c_out F(c_in x, c_noise, b) on scaled features.

    q is the base mixture and D_q its exact denoiser, which the network corrects. The better q fits, the smaller the
    correction; at large sigma, where only mean and covariance matter, the correction vanishes. The network also
    receives b = (D_q - c_skip x) / c_out: the output that would be right if q were the data density. From b, the
    network can learn how reliable q is without learning where its components are.

    Without a base, D is the usual preconditioning for a standard normal, c_skip x + c_out F(c_in x, c_noise).

    Args:
        network: any module with forward(x [N, d], c_noise [N, 1], b [N, d] or nothing) -> [N, d]; c_noise is
            ln(sigma) / 4.
        base: q, or None.
    """

    def __init__(self, network: nn.Module, base: Mixture | None = None) -> None:
        super().__init__(base)
        self.network = network

    def forward(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return the denoised rows [N, d] of noisy rows x [N, d] at noise level sigma (a number or [N, 1])."""
        level = sigma_column(sigma, x)
        score = self.base_score(x, level)
        start = precondition(level).c_skip * x if self.base is None else self.base.denoise(x, level)
        return start + level**2 * self._correct(x, level, score)

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return grad_x log p_sigma(x), [N, d]: (D(x, sigma) - x) / sigma^2 without cancellation at small sigma."""
        level = sigma_column(sigma, x)
        start = self.base_score(x, level)
        return start + self._correct(x, level, start)

    def correction(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return the score minus the score of `base`, [N, d]."""
        level = sigma_column(sigma, x)
        return self._correct(x, level, self.base_score(x, level))

    def score_and_divergence(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Tensor]:
        """Return the score [N, d] and its exact divergence [N]; d backward passes, through the network only."""
        level = sigma_column(sigma, x)
        scalings = self._scalings(level)
        if self.base is None:
            shrink = -1.0 / (1.0 + level**2)
            start, growth, slope = shrink * x, x.shape[1] * shrink[:, 0], None
        else:
            start, hessian = self.base.score_and_hessian(x, level)
            growth = hessian.diagonal(dim1=1, dim2=2).sum(1)
            eye = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
            slope = scalings.of_base_score[..., None] * (
                hessian + precondition(level).c_skip[..., None] * eye
            )
        with torch.enable_grad():
            inputs = [part.detach().requires_grad_() for part in self._inputs(x, level, start, scalings)]
            raw = torch.as_tensor(self.network(inputs[0], level.log() / 4.0, *inputs[1:]))
            network_divergence = torch.zeros_like(growth)
            for axis in range(x.shape[1]):
                parts = torch.autograd.grad(
                    raw[:, axis].sum(), inputs, retain_graph=axis + 1 < x.shape[1], materialize_grads=True
                )
                network_divergence += scalings.c_in[:, 0] * parts[0][:, axis]
                if slope is not None:
                    network_divergence += (parts[1] * slope[:, :, axis]).sum(1)
        return start + scalings.out * raw.detach(), growth + scalings.out[:, 0] * network_divergence

    def _correct(self, x: Tensor, level: Tensor, base_score: Tensor) -> Tensor:
        scalings = self._scalings(level)
        inputs = self._inputs(x, level, base_score, scalings)
        return scalings.out * torch.as_tensor(self.network(inputs[0], level.log() / 4.0, *inputs[1:]))

    def _inputs(
        self, x: Tensor, level: Tensor, base_score: Tensor, scalings: _Scalings
    ) -> tuple[Tensor, ...]:
        if self.base is None:
            return (scalings.c_in * x,)
        return scalings.c_in * x, scalings.of_base_score * (base_score + x / (1.0 + level**2))

    def _scalings(self, level: Tensor) -> _Scalings:
        c = precondition(level)
        out = c.c_out / level**2
        # With a mixture, the output has one more factor c_in. Mixture and data have the same mean and covariance,
        # and the effect of higher moments on the score decays faster as sigma grows.
        return _Scalings(c.c_in, 1.0 / out, out if self.base is None else c.c_in * out)
