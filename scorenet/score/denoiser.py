"""The denoiser D(x, sigma) = E[clean | noisy = x] and the score that Tweedie's formula reads from it.

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
    """The four scalings, each [N, 1], that keep a network's input and target at unit variance for any sigma."""

    c_skip: Tensor
    c_out: Tensor
    c_in: Tensor
    c_noise: Tensor


def precondition(sigma: Tensor) -> Preconditioning:
    """Return the scalings for data of unit variance (sigma_data = 1)."""
    total = 1.0 + sigma**2
    return Preconditioning(1.0 / total, sigma / total.sqrt(), 1.0 / total.sqrt(), sigma.log() / 4.0)


class _Scalings(NamedTuple):
    """Each [N, 1]: of x into the network, of the base's score into it, and of its answer into a score."""

    c_in: Tensor
    of_base_score: Tensor
    out: Tensor


class Denoiser(ScoreModule):
    """Wrap a raw network F into D(x, sigma) = D_q(x, sigma) + c_in c_out F(c_in x, c_noise, b) on scaled features.

    `base` is the mixture q whose exact denoiser D_q the network corrects. None is the standard normal and the
    usual preconditioning, c_skip x + c_out F(c_in x, c_noise). The better q, the less there is to learn; where
    noise hides all but the mean and covariance, nothing is left. The network also sees b = (D_q - c_skip x) / c_out,
    what it would have to answer if q were the data's density: how far q is to be trusted is easier to learn than where
    its components are.

    Args:
        network: any module with forward(x [N, d], c_noise [N, 1], b [N, d] or nothing) -> [N, d]; c_noise is
            ln(sigma) / 4.
        base: q.
    """

    def __init__(self, network: nn.Module, base: Mixture | None = None) -> None:
        super().__init__(base)
        self.network = network

    def forward(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return the denoised [N, d] for noisy x [N, d] at level sigma (a number or [N, 1])."""
        level = sigma_column(sigma, x)
        score = self.base_score(x, level)
        start = precondition(level).c_skip * x if self.base is None else self.base.denoise(x, level)
        return start + level**2 * self._correct(x, level, score)

    def score(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return grad_x log p_sigma(x), [N, d]: (D(x, sigma) - x) / sigma^2 without its cancellation at small sigma."""
        level = sigma_column(sigma, x)
        start = self.base_score(x, level)
        return start + self._correct(x, level, start)

    def correction(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return what the network adds to the score of `base`, [N, d]."""
        level = sigma_column(sigma, x)
        return self._correct(x, level, self.base_score(x, level))

    def score_and_divergence(self, x: Tensor, sigma: Tensor | float) -> tuple[Tensor, Tensor]:
        """Return the score [N, d] and its exact divergence [N], by d backward passes through the network alone."""
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
            turned = torch.zeros_like(growth)
            for axis in range(x.shape[1]):
                parts = torch.autograd.grad(
                    raw[:, axis].sum(), inputs, retain_graph=axis + 1 < x.shape[1], materialize_grads=True
                )
                turned += scalings.c_in[:, 0] * parts[0][:, axis]
                if slope is not None:
                    turned += (parts[1] * slope[:, :, axis]).sum(1)
        return start + scalings.out * raw.detach(), growth + scalings.out[:, 0] * turned

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
        # One more c_in than without a mixture: mixture and data share mean and covariance, and what else they
        # differ in dies away faster than the noise grows.
        return _Scalings(c.c_in, 1.0 / out, out if self.base is None else c.c_in * out)
