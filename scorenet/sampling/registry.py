"""Registry of samplers for the setting `sampler`; `register_sampler` adds a user's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from torch import Tensor

from ..base.registry import Registry
from ..base.sources import remember_source
from ..errors import ConfigError
from ..score.mixture import Mixture

__all__ = ["SAMPLERS", "Sampler", "Scored", "register_sampler"]


class Scored(Protocol):
    """An object with a score at a noise level: a denoiser, a mixture, a stacked density, the chapter's network."""

    def score(self, x: Tensor, sigma: float) -> Tensor:
        """Return grad_x log p_sigma(x), [N, d]."""


class Sampler(Protocol):
    """A function that draws states from a score."""

    def __call__(
        self, model: Scored, base: Mixture, n: int, seed: int, /, *, sigma_min: float, sigma_max: float
    ) -> Tensor:
        """Return n scaled states [n, d], float64, without noise.

        `base` is a mixture with about the mean and covariance of the data; samplers may start from it at sigma_max. The
        score was trained for noise levels from sigma_min to sigma_max. The same seed gives the same states.
        """
        ...


_Sampler = TypeVar("_Sampler", bound=Sampler)

SAMPLERS: Registry[Sampler] = Registry("sampler", ConfigError)


def register_sampler(name: str) -> Callable[[_Sampler], _Sampler]:
    """Return a decorator that registers a sampler under `name`, for use as the setting `sampler = name`.

    The function's signature is (model, base, n, seed, *, sigma_min, sigma_max).

    Raises:
        ValueError: the name is taken or is not an identifier.
    """
    enter = SAMPLERS.register(name)

    def decorate(sampler: _Sampler) -> _Sampler:
        enter(sampler)
        remember_source("sampler", name, sampler)
        return sampler

    return decorate
