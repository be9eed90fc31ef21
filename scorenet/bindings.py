"""Bind a model to the code of its user: the names it was made with, and the sha256 of the source of each own one.

Loading a model imports nothing. It only compares what is registered with what the model was made with.
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
    """Refuse settings that name what nobody has registered, or own code that a model cannot be bound to.

    Raises:
        ConfigError: with the nearest known name.
    """
    for part in _parts(config):
        part.registered[part.name]
    bindings(config)


def bindings(config: ModelConfig) -> dict[str, dict[str, str]]:
    """Return the sha256 of the source of every own part that `config` names, by kind and name.

    Raises:
        ConfigError: for a part whose source is in no file.
    """
    found: dict[str, dict[str, str]] = {}
    for part in _parts(config):
        source = own_source(part.kind, part.name)
        if source == UNREADABLE:
            raise ConfigError(
                f"{part.kind} {part.name!r}: its source cannot be read, and a model is bound to it; "
                "define it in a file and give that with --plugin FILE.py, or import it"
            )
        if source is not None:
            found.setdefault(part.kind, {})[part.name] = source
    return found


def check_bindings(config: ModelConfig, stored: Mapping[str, Any], where: str) -> None:
    """Refuse a model whose parts are not registered, or not as they were when it was made.

    Raises:
        CheckpointError: says what is missing or differs, and what to do.
    """
    for part in _parts(config):
        kept = stored.get(part.kind, {})
        expected = kept.get(part.name) if isinstance(kept, Mapping) else None
        if part.name not in part.registered:
            made = f" (source sha256 {_short(expected)})" if expected else ""
            raise CheckpointError(
                f"{where}: made with {part.kind} {part.name!r}{made}, which is not registered; "
                "register it before loading: --plugin FILE.py, or import your module"
            )
        found = own_source(part.kind, part.name)
        if found != expected:
            raise CheckpointError(
                f"{where}: {part.kind} {part.name!r} is not the one that it was made with: expected source sha256 "
                f"{_short(expected)}, found {_short(found)}; load it with the file as it was, or train it again"
            )


def _parts(config: ModelConfig) -> Iterator[_Part]:
    yield _Part("features", config.features, FEATURE_SETS)
    yield _Part("objective", config.state.objective, OBJECTIVES)
    yield _Part("network", config.state.network, NETWORKS)
    yield _Part("sampler", config.sampler, SAMPLERS)
    for name in config.signals:
        yield _Part("signal", name, SIGNALS)


def _short(source: object) -> str:
    """Return the head of a hash; None stands for a part of this package."""
    return "of this package" if source is None else str(source)[:12]
