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
        """Return the number of values; None: there is no such number."""
        return len(self.values)

    @property
    def ends(self) -> tuple[Any, ...]:
        """Return the values to check before a search: all of a list, the ends of a range."""
        return self.values

    def at(self, index: int) -> Any:
        """Return value 0 to size - 1."""
        return self.values[index]

    def index(self, value: Any) -> int:
        """Return the number of a value; the inverse of `at`."""
        return [repr(known) for known in self.values].index(repr(value))

    def draw(self, rng: random.Random) -> Any:
        """Return a random value."""
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
        """Return the number of values; None: there is no such number."""
        return self.high - self.low + 1

    @property
    def ends(self) -> tuple[Any, ...]:
        """Return the values to check before a search: all of a list, the ends of a range."""
        return (self.low, self.high)

    def at(self, index: int) -> int:
        """Return value 0 to size - 1."""
        return self.low + index

    def index(self, value: Any) -> int:
        """Return the number of a value; the inverse of `at`."""
        return int(value) - self.low

    def draw(self, rng: random.Random) -> int:
        """Return a random value."""
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
        """Return the number of values; None: there is no such number."""
        return None

    @property
    def ends(self) -> tuple[Any, ...]:
        """Return the values to check before a search: all of a list, the ends of a range."""
        return (self.low, self.high)

    def at(self, index: int) -> float:
        """Raise ConfigError: the values have no numbers."""
        raise ConfigError(f"a range of numbers, {self.low:g}..{self.high:g}, has no grid; list the values")

    def index(self, value: Any) -> int:
        """Raise ConfigError: the values have no numbers."""
        raise ConfigError(f"a range of numbers, {self.low:g}..{self.high:g}, has no grid; list the values")

    def draw(self, rng: random.Random) -> float:
        """Return a random value."""
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
