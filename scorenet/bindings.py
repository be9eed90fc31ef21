"""Bind a model to its user's code: the registered names that it uses, and the sha256 of each user-defined source.

Loading a model imports no code. It only compares the registered code with the hashes in the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .base.registry import Registry
from .base.sources import UNREADABLE, own_source
from .config import ModelConfig
from .errors import CheckpointError, ConfigError
from .features import FEATURE_SETS
from .sampling.registry import SAMPLERS
from .score.registry import NETWORKS, OBJECTIVES
from .signals import SIGNALS

__all__ = ["bindings", "check_bindings", "check_names"]


class _Part(NamedTuple):
    kind: str
    name: str
    registered: Registry[Any]


def check_names(config: ModelConfig) -> None:
    """Check that every name in the settings is registered, and that a model can be bound to its source.

    Raises:
        ConfigError: a name is unknown (the message suggests the nearest), or a source cannot be read.
    """
    for part in _parts(config):
        part.registered[part.name]
    bindings(config)


def bindings(config: ModelConfig) -> dict[str, dict[str, str]]:
    """Return the sha256 of the source of every user-defined part of `config`, by kind and name.

    Raises:
        ConfigError: no file contains the source of a part.
    """
    found: dict[str, dict[str, str]] = {}
    for part in _parts(config):
        source = own_source(part.kind, part.name)
        if source == UNREADABLE:
            raise ConfigError(
                f"{part.kind} {part.name!r}: its source cannot be read, but a model stores its hash; "
                "define it in a file, and load the file with --plugin FILE.py or import it"
            )
        if source is not None:
            found.setdefault(part.kind, {})[part.name] = source
    return found


def check_bindings(config: ModelConfig, stored: Mapping[str, Any], where: str) -> None:
    """Check that every part of a model is registered, with the same source as in training.

    Raises:
        CheckpointError: the message names the part that is missing or differs, and what to do.
    """
    for part in _parts(config):
        kept = stored.get(part.kind, {})
        expected = kept.get(part.name) if isinstance(kept, Mapping) else None
        if part.name not in part.registered:
            made = f" (source sha256 {_short(expected)})" if expected else ""
            raise CheckpointError(
                f"{where}: trained with {part.kind} {part.name!r}{made}, which is not registered; "
                "register it before loading: --plugin FILE.py, or import your module"
            )
        found = own_source(part.kind, part.name)
        if found != expected:
            raise CheckpointError(
                f"{where}: {part.kind} {part.name!r} differs from the one in training: expected source sha256 "
                f"{_short(expected)}, found {_short(found)}; load the model with the original file, or train it again"
            )


def _parts(config: ModelConfig) -> Iterator[_Part]:
    yield _Part("features", config.features, FEATURE_SETS)
    yield _Part("objective", config.state.objective, OBJECTIVES)
    yield _Part("network", config.state.network, NETWORKS)
    yield _Part("sampler", config.sampler, SAMPLERS)
    for name in config.signals:
        yield _Part("signal", name, SIGNALS)


def _short(source: object) -> str:
    """Return the first characters of a hash; None stands for a part of this package."""
    return "of this package" if source is None else str(source)[:12]
