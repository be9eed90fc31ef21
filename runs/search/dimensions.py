"""The values that one setting may take in a search: a list, a range of whole numbers, or a range of numbers."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

from scorenet import ConfigError

__all__ = ["Choice", "Dimension", "FloatRange", "IntRange"]


@dataclass(frozen=True)
class Choice:
    """A list of values, each once.

    Raises:
        ConfigError: the list is empty or has a value twice.
    """

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        seen = [repr(value) for value in self.values]
        if not seen:
            raise ConfigError("expected at least one value")
        for text in seen:
            if seen.count(text) > 1:
                raise ConfigError(f"expected each value once, found {text} twice")

    @property
    def size(self) -> int | None:
        return len(self.values)

    @property
    def ends(self) -> tuple[Any, ...]:
        return self.values

    def at(self, index: int) -> Any:
        return self.values[index]

    def index(self, value: Any) -> int:
        return [repr(known) for known in self.values].index(repr(value))

    def draw(self, rng: random.Random) -> Any:
        return self.values[rng.randrange(len(self.values))]


@dataclass(frozen=True)
class IntRange:
    """The whole numbers from `low` to `high`, both included; with `log`, small ones are drawn more often.

    Raises:
        ConfigError: the range is empty, or a range with `log` does not start above 0.
    """

    low: int
    high: int
    log: bool = False

    def __post_init__(self) -> None:
        _check_range(self.low, self.high, self.log)

    @property
    def size(self) -> int | None:
        return self.high - self.low + 1

    @property
    def ends(self) -> tuple[Any, ...]:
        return (self.low, self.high)

    def at(self, index: int) -> int:
        return self.low + index

    def index(self, value: Any) -> int:
        return int(value) - self.low

    def draw(self, rng: random.Random) -> int:
        if not self.log:
            return rng.randint(self.low, self.high)
        # Each number has the part of the log axis within half of it, the ends too.
        exact = math.exp(rng.uniform(math.log(self.low - 0.5), math.log(self.high + 0.5)))
        return min(max(round(exact), self.low), self.high)


@dataclass(frozen=True)
class FloatRange:
    """The numbers from `low` to `high`; with `log`, every factor is as likely as another.

    Raises:
        ConfigError: an end is not finite, the range is empty, or a range with `log` does not start above 0.
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        _check_range(self.low, self.high, self.log)

    @property
    def size(self) -> int | None:
        return None

    @property
    def ends(self) -> tuple[Any, ...]:
        return (self.low, self.high)

    def at(self, index: int) -> float:
        raise ConfigError(f"a range of numbers, {self.low:g}..{self.high:g}, has no grid; list the values")

    def index(self, value: Any) -> int:
        raise ConfigError(f"a range of numbers, {self.low:g}..{self.high:g}, has no grid; list the values")

    def draw(self, rng: random.Random) -> float:
        if not self.log:
            return rng.uniform(self.low, self.high)
        exact = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        return min(max(exact, self.low), self.high)


Dimension = Choice | IntRange | FloatRange


def _check_range(low: float, high: float, log: bool) -> None:
    if not (math.isfinite(low) and math.isfinite(high)) or not low < high:
        raise ConfigError(f"expected low..high with low below high, found {low}..{high}")
    if log and low <= 0:
        raise ConfigError(f"expected a range above 0 for log, found {low}..{high}")
