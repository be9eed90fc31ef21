"""Stochastic processes of simulated log-returns, with their exact conditional expectations.

Every process is a frozen dataclass. `sigma` is the standard deviation of an HOURLY log-return; for a bar of h hours it
is sigma sqrt(h). `draw` returns log-returns and their volatility; `expected` returns the exact
E[r_{t+1} | bars up to t]. With the same seed all processes use the same Gaussian draws, so that they can be compared on
the same noise. Use different seeds for independent markets.
"""

import dataclasses
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorenet.base.did_you_mean import did_you_mean

from ..errors import BadSource

__all__ = [
    "AR1",
    "OPTIONS",
    "PROCESSES",
    "Floats",
    "Planted",
    "Process",
    "RandomWalk",
    "Regimes",
    "ar1_path",
    "generator",
    "make_process",
]

Floats = NDArray[np.float64]

# Options of every simulated market, in addition to the parameters of its process.
OPTIONS = ("seed", "bars", "timeframe", "start", "symbol")


@dataclass(frozen=True, kw_only=True)
class Process(ABC):
    """Base class of all processes.

    Attributes:
        sigma: standard deviation of an hourly log-return.
    """

    sigma: float = 0.006

    def __post_init__(self) -> None:
        _within(self, "sigma", 1e-6, 0.1)

    @property
    def memory(self) -> int:
        """Return how many of the latest bars the expectation depends on."""
        return 1

    @abstractmethod
    def draw(self, seed: int, bars: int, hours: float) -> tuple[Floats, Floats]:
        """Return log-returns [T] and the volatility per bar [T] of bars of `hours` hours."""

    @abstractmethod
    def expected(self, returns: Floats, hours: float) -> Floats:
        """Return E[r_{t+1} | r_0 .. r_t], log-return per bar [T]; r_0 is the market's first return."""


@dataclass(frozen=True, kw_only=True)
class RandomWalk(Process):
    """Independent Gaussian log-returns: the next one cannot be forecast."""

    def draw(self, seed: int, bars: int, hours: float) -> tuple[Floats, Floats]:
        volatility = np.full(bars, self.sigma * math.sqrt(hours))
        return volatility * _normal(seed, "returns", bars), volatility

    def expected(self, returns: Floats, hours: float) -> Floats:
        return np.zeros(len(returns))


@dataclass(frozen=True, kw_only=True)
class AR1(Process):
    """Autoregressive returns r_t = phi r_{t-1} + s e_t: momentum for phi > 0, reversal for phi < 0.

    Attributes:
        phi: autocorrelation of the log-returns, in (-1, 1).
    """

    phi: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        _within(self, "phi", -0.999, 0.999)

    def draw(self, seed: int, bars: int, hours: float) -> tuple[Floats, Floats]:
        scale = self.sigma * math.sqrt(hours)
        shocks = scale * _normal(seed, "returns", bars)
        return ar1_path(self.phi, shocks), np.full(bars, scale)

    def expected(self, returns: Floats, hours: float) -> Floats:
        return self.phi * returns


@dataclass(frozen=True, kw_only=True)
class Regimes(Process):
    """Returns with three volatility regimes (quiet, normal, stressed), stochastic volatility and symmetric jumps.

    The volatility can be forecast, but the expected log-return is zero at every bar. The unconditional standard
    deviation is `sigma`.

    Attributes:
        stay: probability that a regime lasts another bar.
        spread: ratio of stressed to normal, and of normal to quiet volatility.
        volatility_of_volatility: stationary standard deviation of the log-volatility inside a regime.
        persistence: autocorrelation of that log-volatility, per bar.
        jump_rate: probability of a jump per bar.
        jump_size: standard deviation of a jump, in units of the bar's volatility.
    """

    stay: float = 0.995
    spread: float = 2.0
    volatility_of_volatility: float = 0.25
    persistence: float = 0.97
    jump_rate: float = 0.002
    jump_size: float = 6.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _within(self, "stay", 0.0, 1.0)
        _within(self, "spread", 1.0, 10.0)
        _within(self, "volatility_of_volatility", 0.0, 1.0)
        _within(self, "persistence", 0.0, 0.9999)
        _within(self, "jump_rate", 0.0, 0.2)
        _within(self, "jump_size", 0.0, 50.0)

    def draw(self, seed: int, bars: int, hours: float) -> tuple[Floats, Floats]:
        levels = np.array([1 / self.spread, 1.0, self.spread])
        wobble = self.volatility_of_volatility * _stationary(seed, "log_volatility", bars, self.persistence)
        # The chain is symmetric, so each regime takes a third of the time.
        mean_square = float(np.mean(levels**2)) * math.exp(2 * self.volatility_of_volatility**2)
        mean_square *= 1 + self.jump_rate * self.jump_size**2
        scale = self.sigma * math.sqrt(hours / mean_square)
        volatility = scale * levels[self.regimes(seed, bars)] * np.exp(wobble)
        jumps = (_uniform(seed, "jump_times", bars) < self.jump_rate) * _normal(seed, "jumps", bars)
        return volatility * (_normal(seed, "returns", bars) + self.jump_size * jumps), volatility

    def expected(self, returns: Floats, hours: float) -> Floats:
        return np.zeros(len(returns))

    def regimes(self, seed: int, bars: int) -> NDArray[np.int64]:
        """Return the regime of each bar [T]: 0 quiet, 1 normal, 2 stressed."""
        draws = _uniform(seed, "regimes", bars)
        leaves = draws > self.stay
        # When a regime ends, each of the two others follows with equal probability.
        moves = np.where(leaves, np.where(draws > (1 + self.stay) / 2, 2, 1), 0)
        return (1 + np.cumsum(moves)) % 3


@dataclass(frozen=True, kw_only=True)
class Planted(Process):
    """Predictable returns: r_{t+1} = edge s tanh(z_t) + v_{t+1} e; z_t is the standardised trailing log-return.

    z_t = (r_{t-window+1} + ... + r_t) / (s sqrt(window)); returns before the first bar count as zero. v is s
    unless volatility_of_volatility > 0.

    Attributes:
        edge: size of the edge in standard deviations of a bar's return.
        window: bars in the trailing return.
        volatility_of_volatility: stationary standard deviation of the log-volatility.
        persistence: autocorrelation of that log-volatility, per bar.
    """

    edge: float = 0.10
    window: int = 24
    volatility_of_volatility: float = 0.0
    persistence: float = 0.97

    def __post_init__(self) -> None:
        super().__post_init__()
        _within(self, "edge", -1.0, 1.0)
        _within(self, "window", 1, 10_000)
        _within(self, "volatility_of_volatility", 0.0, 1.0)
        _within(self, "persistence", 0.0, 0.9999)

    @property
    def memory(self) -> int:
        return self.window

    def draw(self, seed: int, bars: int, hours: float) -> tuple[Floats, Floats]:
        scale = self.sigma * math.sqrt(hours)
        wobble = self.volatility_of_volatility * _stationary(seed, "log_volatility", bars, self.persistence)
        volatility = scale * np.exp(wobble - self.volatility_of_volatility**2)
        drift, unit, window = self.edge * scale, scale * math.sqrt(self.window), self.window
        returns = [0.0] * window
        trailing, tanh = 0.0, math.tanh
        for noise in (volatility * _normal(seed, "returns", bars)).tolist():
            step = drift * tanh(trailing / unit) + noise
            trailing += step - returns[-window]
            returns.append(step)
        return np.array(returns[window:]), volatility

    def expected(self, returns: Floats, hours: float) -> Floats:
        scale = self.sigma * math.sqrt(hours)
        padded = np.concatenate([np.zeros(self.window), np.cumsum(returns)])
        trailing = padded[self.window :] - padded[: len(returns)]
        return np.asarray(self.edge * scale * np.tanh(trailing / (scale * math.sqrt(self.window))))


PROCESSES: dict[str, type[Process]] = {
    "ar1": AR1,
    "planted": Planted,
    "random_walk": RandomWalk,
    "regimes": Regimes,
}


def make_process(name: str, **parameters: float) -> Process:
    """Return the process called `name` with the given parameters.

    Raises:
        BadSource: the name or a parameter is unknown, or a value is out of range.
    """
    if name not in PROCESSES:
        raise BadSource(
            f"unknown simulated market {name!r}{did_you_mean(name, PROCESSES, 0.5)}; known: {', '.join(PROCESSES)}"
        )
    fields = {field.name: field.type for field in dataclasses.fields(PROCESSES[name])}
    known = [*OPTIONS, *fields]
    for key in parameters:
        if key not in fields:
            raise BadSource(
                f"market {name!r} has no option {key!r}{did_you_mean(key, known, 0.5)}; it has {', '.join(known)}"
            )
    return PROCESSES[name](**{key: _number(key, value, fields[key]) for key, value in parameters.items()})


def ar1_path(phi: float, shocks: Floats) -> Floats:
    """Return x_t = phi x_{t-1} + shocks_t [T], started at shocks_0."""
    path, last = [], 0.0
    for shock in shocks.tolist():
        last = phi * last + shock
        path.append(last)
    return np.array(path)


def _stationary(seed: int, stream: str, bars: int, persistence: float) -> Floats:
    """Return a unit-variance AR(1) path [T], stationary from its first value on."""
    shocks = _normal(seed, stream, bars)
    shocks[1:] *= math.sqrt(1 - persistence**2)
    return ar1_path(persistence, shocks)


def generator(seed: int, stream: str) -> np.random.Generator:
    """Return the generator of one stream; separate streams keep the first bars equal when more bars are drawn."""
    return np.random.default_rng([seed, *stream.encode()])


def _normal(seed: int, stream: str, size: int) -> Floats:
    return generator(seed, stream).standard_normal(size)


def _uniform(seed: int, stream: str, size: int) -> Floats:
    return generator(seed, stream).random(size)


def _number(key: str, value: Any, kind: Any) -> Any:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise BadSource(f"expected a number for {key}, found {value!r}") from error
    if kind is int:
        if not number.is_integer():
            raise BadSource(f"expected a whole number for {key}, found {value!r}")
        return int(number)
    return number


def _within(process: Process, name: str, low: float, high: float) -> None:
    value = getattr(process, name)
    if not low <= value <= high:
        raise BadSource(f"expected {name} in [{low:g}, {high:g}], found {value!r}")
