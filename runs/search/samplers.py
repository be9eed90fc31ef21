"""Ask and tell: samplers propose the values of the next trial and are told how it went."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from scorenet import ConfigError

from .space import SearchSpace

__all__ = ["GridSampler", "Proposal", "RandomSampler", "Sampler", "ask_many", "permutation"]

_TRIES = 100_000  # draws in a row that no constraint allows
_PATIENCE = 200  # draws in a row that are refused, before a finite space is gone through instead
_COUNTABLE = 10_000_000  # combinations that may be gone through


@dataclass(frozen=True)
class Proposal:
    """The values of one trial, by the bare names of the settings.

    Attributes:
        number: number of the trial, by which its result is told; unique in the sampler.
    """

    number: int
    params: dict[str, Any]


class Sampler(Protocol):
    """What proposes trials; the same seed and the same answers give the same proposals."""

    @property
    def at_most(self) -> int | None:
        """Return a limit on the number of proposals; None: there is none."""

    def ask(self) -> Proposal | None:
        """Return the next trial, or None when every combination has been proposed.

        Raises:
            ConfigError: no combination fulfils the constraints.
        """

    def tell(self, number: int, values: Sequence[float] | None) -> None:
        """Report the objectives of a trial; None: it failed."""


def ask_many(sampler: Sampler, count: int) -> list[Proposal]:
    """Return the next `count` trials, fewer at the end of the space."""
    found: list[Proposal] = []
    while len(found) < count and (proposal := sampler.ask()) is not None:
        found.append(proposal)
    return found


class GridSampler:
    """Every combination that the constraints allow, in order; the last setting changes fastest.

    Raises:
        ConfigError: the space has a range of numbers.
    """

    def __init__(self, space: SearchSpace) -> None:
        for name, dimension in space.dimensions.items():
            if dimension.size is None:
                low, high = dimension.ends
                raise ConfigError(
                    f"{name}: a grid needs a list of values, found the range {low:g}..{high:g}; list them, or draw "
                    "from the range with --trials N"
                )
        self._space = space
        self._size = space.size or 0
        self._next = 0
        self._count = 0

    @property
    def at_most(self) -> int | None:
        """Return the number of combinations, constraints aside."""
        return self._size

    def ask(self) -> Proposal | None:
        """Return the next combination, or None after the last.

        Raises:
            ConfigError: no combination fulfils the constraints.
        """
        while self._next < self._size:
            params = self._space.at(self._next)
            self._next += 1
            if self._space.allows(params):
                self._count += 1
                return Proposal(self._count - 1, params)
        if not self._count:
            raise _nothing_allowed(self._space, self._size)
        return None

    def tell(self, number: int, values: Sequence[float] | None) -> None:
        """Learn nothing: a grid is the same whatever comes out."""


class RandomSampler:
    """Random combinations that the constraints allow; in a finite space each comes once, until all have come."""

    def __init__(self, space: SearchSpace, seed: int = 0) -> None:
        self._space = space
        self._rng = random.Random(seed)
        self._seen: set[int] = set()
        self._rest: Iterator[int] | None = None
        self._count = 0

    @property
    def at_most(self) -> int | None:
        """Return the number of combinations, constraints aside; None with a range of numbers."""
        return self._space.size

    def ask(self) -> Proposal | None:
        """Return the next trial, or None when every combination of a finite space has been proposed.

        Raises:
            ConfigError: no combination fulfils the constraints, or none was found in 100,000 draws.
        """
        params = self._drawn() if self._rest is None else self._remaining()
        if params is None:
            if not self._count:
                raise _nothing_allowed(self._space, self._space.size or 0)
            return None
        self._count += 1
        return Proposal(self._count - 1, params)

    def tell(self, number: int, values: Sequence[float] | None) -> None:
        """Learn nothing: the draws are the same whatever comes out."""

    def _drawn(self) -> dict[str, Any] | None:
        size = self._space.size
        for tries in range(_TRIES):
            if tries == _PATIENCE and size is not None and size <= _COUNTABLE:
                # Most of the space is used up or not allowed: what is left comes in random order.
                self._rest = permutation(size, self._rng)
                return self._remaining()
            params = self._space.draw(self._rng)
            if not self._is_new(params) or not self._space.allows(params):
                continue
            if size is not None:
                self._seen.add(self._space.index(params))
            return params
        raise ConfigError(
            f"no new combination in {_TRIES:,} draws fulfils {_texts(self._space)}; narrow the ranges or relax them"
        )

    def _remaining(self) -> dict[str, Any] | None:
        for index in self._rest or ():
            if index in self._seen:
                continue
            params = self._space.at(index)
            if self._space.allows(params):
                return params
        return None

    def _is_new(self, params: dict[str, Any]) -> bool:
        return self._space.size is None or self._space.index(params) not in self._seen


def permutation(size: int, rng: random.Random) -> Iterator[int]:
    """Yield 0 to size - 1 in random order; memory grows with what was yielded, not with `size`."""
    moved: dict[int, int] = {}
    for last in range(size - 1, -1, -1):
        place = rng.randrange(last + 1)
        yield moved.get(place, place)
        end = moved.pop(last, last)
        if place != last:
            moved[place] = end


def _nothing_allowed(space: SearchSpace, size: int) -> ConfigError:
    return ConfigError(f"none of the {size:,} combinations fulfils {_texts(space)}; relax it or add values")


def _texts(space: SearchSpace) -> str:
    return " and ".join(repr(constraint.text) for constraint in space.constraints) or "the constraints"
