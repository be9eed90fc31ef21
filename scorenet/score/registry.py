"""Registries of the settings `state.objective` and `state.network`; users can register their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from torch import Tensor

from ..base.registry import Registry
from ..base.sources import remember_source
from ..config import NoiseConfig, StateConfig
from ..errors import ConfigError
from .mixture import Mixture
from .objectives.batch import NoisyBatch
from .score_module import ScoreModule

__all__ = [
    "NETWORKS",
    "OBJECTIVES",
    "NetworkFactory",
    "Objective",
    "check_pair",
    "register_network",
    "register_objective",
]


class Objective(Protocol):
    """A training loss whose expectation is smallest, at every noise level, at the score of the noised data."""

    def __call__(self, model: ScoreModule, batch: NoisyBatch, /) -> Tensor:
        """Return the loss, a scalar, of a batch of scaled rows with drawn noise levels."""
        ...


class NetworkFactory(Protocol):
    """A function or class that builds an untrained network from these arguments."""

    def __call__(
        self, dim: int, state: StateConfig, noise: NoiseConfig, base: Mixture | None, /
    ) -> ScoreModule:
        """Return a network of the sizes in `state` for `dim` features and the noise levels of `noise`.

        Before training, its correction of `base` should be zero. The base alone is then a candidate in model
        selection, for data from which nothing more can be learned.
        """
        ...


_Objective = TypeVar("_Objective", bound=Objective)
_Network = TypeVar("_Network", bound=NetworkFactory)

OBJECTIVES: Registry[Objective] = Registry("objective", ConfigError)
NETWORKS: Registry[NetworkFactory] = Registry("network", ConfigError)

_NEED_LOG_DENSITY: set[str] = set()


def register_objective(name: str, *, needs_log_density: bool = False) -> Callable[[_Objective], _Objective]:
    """Return a decorator that registers a function (model, batch) -> loss for `state.objective = name`.

    `needs_log_density` restricts it to networks with a method log_density(x, sigma) -> [N].

    Raises:
        ValueError: the name is taken or is not an identifier.
    """
    enter = OBJECTIVES.register(name)

    def decorate(objective: _Objective) -> _Objective:
        enter(objective)
        remember_source("objective", name, objective)
        if needs_log_density:
            _NEED_LOG_DENSITY.add(name)
        return objective

    return decorate


def register_network(name: str) -> Callable[[_Network], _Network]:
    """Return a decorator that registers a factory (dim, state, noise, base) -> ScoreModule as `state.network`.

    A trained network may be evaluated in two threads at once: its output depends on its inputs and weights only.

    Raises:
        ValueError: the name is taken or is not an identifier.
    """
    enter = NETWORKS.register(name)

    def decorate(network: _Network) -> _Network:
        enter(network)
        remember_source("network", name, network)
        return network

    return decorate


def check_pair(config: StateConfig, model: ScoreModule) -> None:
    """Check that the network can be trained with the objective.

    Raises:
        ConfigError: the objective is unknown, or it needs a log-density and the network has none.
    """
    OBJECTIVES[config.objective]
    if config.objective in _NEED_LOG_DENSITY and not hasattr(model, "log_density"):
        raise ConfigError(
            f"state.objective {config.objective!r} needs a network with a log-density, and state.network "
            f"{config.network!r} has none; set state.network=energy, or choose one of "
            f"{', '.join(name for name in OBJECTIVES if name not in _NEED_LOG_DENSITY)}, which train every network"
        )
