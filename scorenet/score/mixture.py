"""Closed-form scores and log-densities of Gaussian mixtures at any noise level: test oracle, baseline, base model.

Noise of size sigma adds sigma^2 to every eigenvalue of every covariance and changes no eigenvector. So each
covariance is decomposed once. After that, density, score, denoiser and divergence are diagonal at every sigma.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from ..base.printable import one_line

__all__ = ["Mixture", "Spectrum"]


class Spectrum(NamedTuple):
    """Eigendecomposition of the K covariances of a mixture in d dimensions, in one dtype on one device."""

    axes: Tensor  # [d, K * d], the eigenvectors of each covariance side by side
    back_rotation: Tensor  # [K * d, d], its transpose: from the axes back to the coordinates
    centres: Tensor  # [K, d], the means along those axes
    means: Tensor  # [K, d]
    variances: Tensor  # [K, d], the eigenvalues
    log_weights: Tensor  # [K]


class _ComponentTerms(NamedTuple):
    """Rows by component: offsets from the mean along its axes and precisions, log w_k N_k(x) [N, K]."""

    offset: Tensor
    precision: Tensor
    joint: Tensor


@dataclass(frozen=True, eq=False)
class Mixture:
    """A Gaussian mixture whose density, score and denoiser at noise level sigma are exact.

    Every method takes rows x [N, d], and sigma as a number or as one level per row [N, 1]. It computes in the dtype
    and on the device of x; the parameters are stored as given.

    Attributes:
        weights: [K], with the sum 1.
        means: [K, d].
        covariances: [K, d, d].
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor
    _cache: dict[tuple[torch.dtype, torch.device], Spectrum] = field(
        default_factory=dict, init=False, repr=False
    )

    def __repr__(self) -> str:
        return one_line(self, f"{len(self.weights)} components of {self.dim} dimensions")

    @classmethod
    def gaussian(cls, x: Tensor) -> Self:
        """Fit one Gaussian to rows x [N, d]."""
        centred = x - x.mean(0)
        covariance = centred.T @ centred / max(len(x) - 1, 1)
        return cls(torch.ones(1, dtype=x.dtype), x.mean(0)[None], covariance[None])

    @classmethod
    def random(cls, dim: int, components: int, seed: int, spread: float = 2.0) -> Self:
        """Draw a mixture in `dim` dimensions with unequal weights and rotated, unequal covariances."""
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
        return torch.logsumexp(self._component_terms(x, sigma).joint, dim=1)

    def responsibilities(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """Return the posterior probability [N, K] of each component given x."""
        return torch.softmax(self._component_terms(x, sigma).joint, dim=1)

    def score(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """Return grad_x log p_sigma(x), [N, d]."""
        terms = self._component_terms(x, sigma)
        weighted = terms.offset * terms.precision * -torch.softmax(terms.joint, dim=1)[..., None]
        return weighted.flatten(1) @ self.spectrum(x).back_rotation

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """Return E[clean | noisy = x], [N, d]."""
        terms, spectrum = self._component_terms(x, sigma), self.spectrum(x)
        share = torch.softmax(terms.joint, dim=1)
        kept = terms.offset * (spectrum.variances * terms.precision) * share[..., None]
        return share @ spectrum.means + kept.flatten(1) @ spectrum.back_rotation

    def score_and_divergence(self, x: Tensor, sigma: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        """Return the score [N, d] and its divergence, the Laplacian of log p_sigma, [N]."""
        terms, spectrum = self._component_terms(x, sigma), self.spectrum(x)
        share = torch.softmax(terms.joint, dim=1)
        scores = self._component_scores(terms, spectrum)
        score = (share[..., None] * scores).sum(1)
        # The spread of the component scores around their mean; the difference of two squares would lose digits.
        spread = (share * (scores - score[:, None]).square().sum(2)).sum(1)
        return score, spread - (share * terms.precision.sum(-1)).sum(1)

    def score_and_hessian(self, x: Tensor, sigma: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        """Return the score [N, d] and its Jacobian, the Hessian of log p_sigma, [N, d, d]."""
        terms, spectrum = self._component_terms(x, sigma), self.spectrum(x)
        share = torch.softmax(terms.joint, dim=1)
        scores = self._component_scores(terms, spectrum)
        score = (share[..., None] * scores).sum(1)
        deviations = share.sqrt()[..., None] * (scores - score[:, None])
        count, dim = spectrum.means.shape
        axes = spectrum.back_rotation.view(count * dim, dim)
        squares = (axes[:, :, None] * axes[:, None]).view(count * dim, dim * dim)
        mean_precision = (share[..., None] * terms.precision).flatten(1) @ squares
        return score, torch.bmm(deviations.mT, deviations) - mean_precision.view(-1, dim, dim)

    def _component_scores(self, terms: _ComponentTerms, spectrum: Spectrum) -> Tensor:
        """Return the score of each component alone, [N, K, d]."""
        count, dim = spectrum.means.shape
        along_axes = (-terms.offset * terms.precision).transpose(0, 1)
        return torch.bmm(along_axes, spectrum.back_rotation.view(count, dim, dim)).transpose(0, 1)

    def sample(self, n: int, seed: int, sigma: float = 0.0) -> Tensor:
        """Draw n rows [n, d] of the mixture plus noise of size sigma."""
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
            # The tensors are cached. Autograd cannot use tensors that were created in inference mode.
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

    def _component_terms(self, x: Tensor, sigma: Tensor | float) -> _ComponentTerms:
        spectrum = self.spectrum(x)
        level = torch.as_tensor(sigma, dtype=x.dtype, device=x.device)
        noisy = spectrum.variances + (level.square()[..., None] if level.dim() else level.square())
        offset = (x @ spectrum.axes).view(len(x), *spectrum.means.shape) - spectrum.centres
        precision = noisy.reciprocal()
        distance = (offset.square() * precision + noisy.log()).sum(-1)
        joint = spectrum.log_weights - 0.5 * (distance + self.dim * math.log(2 * math.pi))
        return _ComponentTerms(offset, precision, joint)
