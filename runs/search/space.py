"""The search space: the settings that a search changes, their values, and the constraints between them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

from scorenet import ConfigError

from .constraints import Constraint
from .dimensions import Dimension
from .known import LEVELS, KnownSettings
from .parse import parse_dimension

__all__ = ["SearchSpace"]


@dataclass(frozen=True, eq=False)
class SearchSpace:
    """Dimensions by the bare names of their settings, in order, and constraints.

    Attributes:
        fixed: values of settings that are not searched; constraints may name them.
    """

    dimensions: Mapping[str, Dimension]
    known: KnownSettings
    constraints: tuple[Constraint, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(
        cls,
        dimensions: Iterable[str],
        constraints: Iterable[str] = (),
        *,
        known: KnownSettings | None = None,
        fixed: Mapping[str, Any] | None = None,
    ) -> SearchSpace:
        """Read `key=v1,v2,...` and `key=low..high[,log][,int]`, and expressions between the settings.

        `fixed` are settings that differ from their defaults in all trials.

        Raises:
            ConfigError: a text cannot be read, a setting is unknown, named twice or impossible at one of its values, or
                a constraint names no setting that is searched.
        """
        known = known or KnownSettings.of()
        found: dict[str, Dimension] = {}
        for text in dimensions:
            name, dimension = parse_dimension(text, known)
            if name in found:
                raise ConfigError(f"{name}: expected its values in one place, found it twice")
            found[name] = dimension
        if not found:
            raise ConfigError("expected at least one setting to search, such as cooldown=0,6,12")
        space = cls(found, known, fixed=_defaults(known) | dict(fixed or {}))
        read = tuple(Constraint.parse(text, space.fixed) for text in constraints)
        for constraint in read:
            if not set(constraint.names) & set(found):
                raise ConfigError(
                    f"constraint {constraint.text!r}: expected a setting that is searched ({', '.join(found)}), "
                    f"found {', '.join(constraint.names) or 'none'}"
                )
        space = cls(found, known, read, space.fixed)
        space._check_values()
        return space

    @cached_property
    def size(self) -> int | None:
        """Return the number of combinations, constraints aside; None with a range of numbers."""
        sizes = [dimension.size for dimension in self.dimensions.values()]
        return None if None in sizes else prod(size for size in sizes if size is not None)

    @property
    def levels(self) -> tuple[str, ...]:
        """Return which of strategy, account and model the search changes."""
        used = self.known.by_level(dict.fromkeys(self.dimensions))
        return tuple(level for level in LEVELS if used[level])

    def at(self, index: int) -> dict[str, Any]:
        """Return combination 0 to size - 1; the last setting changes fastest.

        Raises:
            ConfigError: the space has a range of numbers.
        """
        values: dict[str, Any] = {}
        for name, dimension in reversed(list(self.dimensions.items())):
            index, own = divmod(index, dimension.size or 1)
            values[name] = dimension.at(own)
        return {name: values[name] for name in self.dimensions}

    def index(self, params: Mapping[str, Any]) -> int:
        """Return the number of a combination; the inverse of `at`."""
        index = 0
        for name, dimension in self.dimensions.items():
            index = index * (dimension.size or 1) + dimension.index(params[name])
        return index

    def draw(self, rng: random.Random) -> dict[str, Any]:
        """Return values drawn independently of each other, constraints aside."""
        return {name: dimension.draw(rng) for name, dimension in self.dimensions.items()}

    def allows(self, params: Mapping[str, Any]) -> bool:
        """Return whether the values fulfil all constraints.

        Raises:
            ConfigError: a constraint cannot be evaluated with them.
        """
        if not self.constraints:
            return True
        values = {**self.fixed, **params}
        return all(constraint.holds(values) for constraint in self.constraints)

    def _check_values(self) -> None:
        # A value that is impossible whatever the others are is a typing error: better said before the first trial.
        ends = {name: dimension.ends for name, dimension in self.dimensions.items()}
        corners = [{name: values[place] for name, values in ends.items()} for place in (0, -1)]
        for name, values in ends.items():
            for value in values:
                self._check_value(name, value, corners)

    def _check_value(self, name: str, value: Any, corners: list[dict[str, Any]]) -> None:
        errors = []
        for others in ({}, *corners):
            try:
                self.known.check({**others, name: value})
                return
            except ConfigError as error:
                errors.append(error)
        raise errors[0]


def _defaults(known: KnownSettings) -> dict[str, Any]:
    return {name: value for level in reversed(LEVELS) for name, value in known.defaults[level].items()}
