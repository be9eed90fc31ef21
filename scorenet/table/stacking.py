"""Stacking: a weighted sum of normalised densities, with weights that maximise the likelihood of held-out rows.

Adding noise is a linear operation on densities: the noised sum is the sum of the noised members with the same weights.
So the stack has a log-density and a score at every noise level.

References:
    Linearly Combining Density Estimators via Stacking (Smyth & Wolpert, 1999).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..density.heat import heat_log_density
from ..sampling.registry import Sampler
from ..sampling.samplers import heun
from ..score.divergence import denoiser_field
from ..score.score_module import ScoreModule

__all__ = ["Member", "NetDensity", "Stack", "stacking_weights", "strongest"]

_BLOCK = 4096  # rows scored at a time
_ROUNDS = 500  # of expectation-maximisation for the weights


class Member(Protocol):
    """A density with a closed form or a solver at every noise level."""

    def log_density(self, x: Tensor, sigma: float) -> Tensor:
        """Return log p_sigma(x), [N], nats."""

    def score(self, x: Tensor, sigma: float) -> Tensor:
        """Return grad_x log p_sigma(x), [N, d]."""

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n rows [n, d] without noise."""


@dataclass(frozen=True, eq=False)
class NetDensity:
    """The density of a trained score net with a base mixture; its log-density comes from the heat equation."""

    denoiser: ScoreModule
    sigma_min: float
    sigma_max: float
    sampler: Sampler = heun

    def log_density(self, x: Tensor, sigma: float) -> Tensor:
        """Return log p_sigma(x), [N], nats."""
        base = self.denoiser.base
        assert base is not None  # noqa: S101, a net of the stack corrects a mixture
        return heat_log_density(
            denoiser_field(self.denoiser), base, x, sigma=sigma, sigma_max=max(self.sigma_max, 2 * sigma)
        )

    @torch.no_grad()
    def score(self, x: Tensor, sigma: float) -> Tensor:
        """Return grad_x log p_sigma(x), [N, d]."""
        return self.denoiser.score(x, sigma)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n rows [n, d] without noise."""
        base = self.denoiser.base
        assert base is not None  # noqa: S101
        seed = int(torch.randint(2**31, (1,), generator=generator))
        return self.sampler(self.denoiser, base, n, seed, sigma_min=self.sigma_min, sigma_max=self.sigma_max)


@dataclass(frozen=True, eq=False)
class Stack:
    """The density sum_k weights[k] members[k]."""

    members: tuple[Member, ...]
    weights: Tensor

    def log_density(self, x: Tensor, sigma: float) -> Tensor:
        """Return log p_sigma(x), [N], nats."""
        if not len(x):
            return x.new_empty(0)
        blocks = [self._joint(rows, sigma).logsumexp(dim=1) for rows in torch.split(x, _BLOCK)]
        return torch.cat(blocks)

    def score(self, x: Tensor, sigma: float) -> Tensor:
        """Return grad_x log p_sigma(x), [N, d]: the members' scores, weighted by their posterior probabilities."""
        out = [torch.empty_like(x[:0])]
        for rows in torch.split(x, _BLOCK):
            share = self._joint(rows, sigma).softmax(dim=1)
            scores = torch.stack([member.score(rows, sigma) for member in self.members], dim=1)
            out.append((share[..., None] * scores).sum(1))
        return torch.cat(out)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n rows [n, d] without noise."""
        pick = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        counts = torch.bincount(pick, minlength=len(self.members)).tolist()
        drawn = [m.sample(count, generator) for m, count in zip(self.members, counts, strict=True) if count]
        rows = torch.cat(drawn)
        return rows[torch.randperm(n, generator=generator)]

    def _joint(self, x: Tensor, sigma: float) -> Tensor:
        logs = [member.log_density(x, sigma) for member in self.members]
        return torch.stack(logs, dim=1) + self.weights.log()


def stacking_weights(log_densities: Tensor, *, prior: float = 1.0) -> Tensor:
    """Return the weights [K] that maximise the likelihood of held-out rows, given their ln p_k [N, K].

    `prior` pseudo-rows, shared equally by all members, keep every weight above zero.
    """
    count, members = log_densities.shape
    weights = torch.full((members,), 1.0 / members, dtype=log_densities.dtype)
    for _ in range(_ROUNDS):
        share = (log_densities + weights.log()).softmax(dim=1).sum(0)
        weights = (share + prior / members) / (count + prior)
    return weights


def strongest(members: Sequence[Member], weights: Tensor, share: float) -> Stack:
    """Return a stack of the members with a weight of at least `share`."""
    kept = [k for k, weight in enumerate(weights.tolist()) if weight >= share]
    kept = kept or [int(weights.argmax())]
    return Stack(tuple(members[k] for k in kept), weights[kept] / weights[kept].sum())
