"""Closed-form scores and log-densities of Gaussian mixtures at any noise level: oracle, baseline, and the base of nets.

Noise of size sigma adds sigma^2 to every eigenvalue of every covariance and changes no eigenvector. So each
covariance is decomposed once, and density, score, denoiser and divergence are diagonal afterwards, whatever sigma is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

__all__ = ["Mixture", "Spectrum"]


class Spectrum(NamedTuple):
    """A mixture along the axes of its components, K components of d axes, in one dtype on one device."""

    axes: Tensor  # [d, K * d], the eigenvectors of each covariance side by side
    back: Tensor  # [K * d, d], its transpose, laid out for the way back
    centres: Tensor  # [K, d], the means along those axes
    means: Tensor  # [K, d]
    variances: Tensor  # [K, d], the eigenvalues
    log_weights: Tensor  # [K]


class _Seen(NamedTuple):
    """Rows seen from each component: offsets [N, K, d] along its axes, precisions, log w_k N_k(x) [N, K]."""

    offset: Tensor
    precision: Tensor
    joint: Tensor


@dataclass(frozen=True, eq=False)
class Mixture:
    """A Gaussian mixture whose density, score and denoiser at noise level sigma are exact.

    Every method takes rows x [N, d] and sigma, a number or a level a row [N, 1], and computes in the dtype and on
    the device of x; the parameters themselves are kept as they were given.

    Attributes:
        weights: [K], summing to 1.
        means: [K, d].
        covariances: [K, d, d].
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor
    _cache: dict[tuple[torch.dtype, torch.device], Spectrum] = field(
        default_factory=dict, init=False, repr=False
    )

    @classmethod
    def gaussian(cls, x: Tensor) -> Self:
        """Fit one Gaussian to rows x [N, d]."""
        centred = x - x.mean(0)
        covariance = centred.T @ centred / max(len(x) - 1, 1)
        return cls(torch.ones(1, dtype=x.dtype), x.mean(0)[None], covariance[None])

    @classmethod
    def random(cls, dim: int, components: int, seed: int, spread: float = 2.0) -> Self:
        """Draw a mixture with unequal weights and rotated, unequal covariances."""
        g = torch.Generator().manual_seed(seed)
        weights = torch.rand(components, generator=g, dtype=torch.float64) + 0.3
        means = spread * torch.randn(components, dim, generator=g, dtype=torch.float64)
        mixing = torch.randn(components, dim, dim, generator=g, dtype=torch.float64) / math.sqrt(dim)
        scales = 0.3 + torch.rand(components, 1, dim, generator=g, dtype=torch.float64)
        factors = torch.linalg.qr(mixing).Q * scales
        return cls(weights / weights.sum(), means, factors @ factors.transpose(1, 2))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild from `to_dict`.

        Raises:
            ValueError: if the shapes do not fit together, a number is not finite, the weights are not positive with
                the sum 1, or a covariance is not symmetric and positive semi-definite.
        """
        parts = [
            torch.tensor(values[name], dtype=torch.float64) for name in ("weights", "means", "covariances")
        ]
        weights, means, covariances = parts
        if weights.dim() != 1 or means.dim() != 2 or covariances.shape != (*means.shape, means.shape[-1]):
            raise ValueError("mixture: expected weights [K], means [K, d] and covariances [K, d, d]")
        if len(weights) != len(means) or not means.numel():
            raise ValueError(f"mixture: {len(weights)} weights for {len(means)} means")
        if not all(bool(part.isfinite().all()) for part in parts):
            raise ValueError("mixture: expected finite numbers")
        if not bool((weights > 0).all()) or abs(float(weights.sum()) - 1) > 1e-6:
            raise ValueError("mixture: expected positive weights with the sum 1")
        if not torch.allclose(covariances, covariances.mT, rtol=1e-6, atol=1e-12):
            raise ValueError("mixture: a covariance is not symmetric")
        lowest = torch.linalg.eigvalsh(covariances)
        if bool((lowest[:, 0] < -1e-8 * lowest[:, -1].abs()).any()):
            raise ValueError("mixture: a covariance has negative eigenvalues")
        return cls(weights, means, covariances)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists for JSON."""
        return {name: getattr(self, name).double().tolist() for name in ("weights", "means", "covariances")}

    @property
    def dim(self) -> int:
        """Number of coordinates d."""
        return int(self.means.shape[1])

    @property
    def mean(self) -> Tensor:
        """The mean of the whole mixture, [d]."""
        return self.weights @ self.means

    @property
    def covariance(self) -> Tensor:
        """The covariance of the whole mixture, [d, d]."""
        offset = self.means - self.mean
        between = (self.weights[:, None] * offset).T @ offset
        return torch.as_tensor((self.weights[:, None, None] * self.covariances).sum(0) + between)

    def log_density(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """Return log p_sigma(x), [N], nats."""
        return torch.logsumexp(self._see(x, sigma).joint, dim=1)

    def responsibilities(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """Return the probability [N, K] that each component made x."""
        return torch.softmax(self._see(x, sigma).joint, dim=1)

    def score(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """Return grad_x log p_sigma(x), [N, d]."""
        seen = self._see(x, sigma)
        pull = seen.offset * seen.precision * -torch.softmax(seen.joint, dim=1)[..., None]
        return pull.flatten(1) @ self.spectrum(x).back

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return E[clean | noisy = x], [N, d]."""
        seen, spectrum = self._see(x, sigma), self.spectrum(x)
        share = torch.softmax(seen.joint, dim=1)
        kept = seen.offset * (spectrum.variances * seen.precision) * share[..., None]
        return share @ spectrum.means + kept.flatten(1) @ spectrum.back

    def score_and_divergence(self, x: Tensor, sigma: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        """Return the score [N, d] and its divergence, the Laplacian of log p_sigma, [N]."""
        seen, spectrum = self._see(x, sigma), self.spectrum(x)
        share = torch.softmax(seen.joint, dim=1)
        pulls = self._pulls(seen, spectrum)
        score = (share[..., None] * pulls).sum(1)
        # The spread of the components' pulls about their mean: no difference of two large squares.
        spread = (share * (pulls - score[:, None]).square().sum(2)).sum(1)
        return score, spread - (share * seen.precision.sum(-1)).sum(1)

    def score_and_hessian(self, x: Tensor, sigma: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        """Return the score [N, d] and its Jacobian, the Hessian of log p_sigma, [N, d, d]."""
        seen, spectrum = self._see(x, sigma), self.spectrum(x)
        share = torch.softmax(seen.joint, dim=1)
        pulls = self._pulls(seen, spectrum)
        score = (share[..., None] * pulls).sum(1)
        apart = share.sqrt()[..., None] * (pulls - score[:, None])
        count, dim = spectrum.means.shape
        axes = spectrum.back.view(count * dim, dim)
        squares = (axes[:, :, None] * axes[:, None]).view(count * dim, dim * dim)
        stiffness = (share[..., None] * seen.precision).flatten(1) @ squares
        return score, torch.bmm(apart.mT, apart) - stiffness.view(-1, dim, dim)

    def _pulls(self, seen: _Seen, spectrum: Spectrum) -> Tensor:
        """Return each component's own score, [N, K, d]."""
        count, dim = spectrum.means.shape
        turned = (-seen.offset * seen.precision).transpose(0, 1)
        return torch.bmm(turned, spectrum.back.view(count, dim, dim)).transpose(0, 1)

    def sample(self, n: int, seed: int, sigma: float = 0.0) -> Tensor:
        """Draw n rows [n, d] of the mixture noised to sigma."""
        g = torch.Generator().manual_seed(seed)
        pick = torch.multinomial(self.weights, n, replacement=True, generator=g)
        noisy = self.covariances + sigma**2 * torch.eye(self.dim, dtype=self.means.dtype)
        factor = torch.linalg.cholesky(noisy)[pick]
        noise = torch.randn(n, self.dim, 1, generator=g, dtype=self.means.dtype)
        out: Tensor = self.means[pick] + (factor @ noise)[..., 0]
        return out

    def spectrum(self, x: Tensor) -> Spectrum:
        """Return the decomposition in the dtype and on the device of x."""
        key = (x.dtype, x.device)
        if key not in self._cache:
            # A tensor made in inference mode could never be differentiated through, and these are kept.
            with torch.inference_mode(False):
                parts = self._decompose()
                self._cache[key] = Spectrum(*(part.contiguous().to(x.dtype).to(x.device) for part in parts))
        return self._cache[key]

    def _decompose(self) -> tuple[Tensor, ...]:
        values, vectors = torch.linalg.eigh(self.covariances.double().cpu())
        count, dim = self.means.shape
        means = self.means.double().cpu()
        return (
            vectors.permute(1, 0, 2).reshape(dim, count * dim),
            vectors.mT.reshape(count * dim, dim),
            (means[:, None] @ vectors)[:, 0],
            means,
            values.clamp_min(0.0),
            self.weights.double().cpu().log(),
        )

    def _see(self, x: Tensor, sigma: Tensor | float) -> _Seen:
        spectrum = self.spectrum(x)
        level = torch.as_tensor(sigma, dtype=x.dtype, device=x.device)
        noisy = spectrum.variances + (level.square()[..., None] if level.dim() else level.square())
        offset = (x @ spectrum.axes).view(len(x), *spectrum.means.shape) - spectrum.centres
        precision = noisy.reciprocal()
        distance = (offset.square() * precision + noisy.log()).sum(-1)
        joint = spectrum.log_weights - 0.5 * (distance + self.dim * math.log(2 * math.pi))
        return _Seen(offset, precision, joint)
