"""Allocations: how the capital is divided between the active symbols, and their registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from scorenet.base.registry import Registry

from .risk_parity import equal_risk_weights

if TYPE_CHECKING:
    from .rules import Rules

__all__ = [
    "ALLOCATIONS",
    "ActiveSymbols",
    "Allocation",
    "covariance",
    "divisors",
    "equal",
    "needs_covariance",
    "register_allocation",
    "risk",
]


class ActiveSymbols(NamedTuple):
    """The N symbols that share the capital at a bar's close.

    Attributes:
        names: their names.
        volatility: annual volatility of each symbol's log-returns by the model, the last known one [N]; else NaN.
        full_exposure: largest exposure of each that `max_exposure` and `target_volatility` allow, fraction of its part
            of the capital [N]; NaN with an unknown volatility.
        covariance: annual covariance of the symbols' log-returns over the last `covariance_window` bars, shrunk
            [N, N]; None unless the allocation was registered with `covariance=True`.
    """

    names: tuple[str, ...]
    volatility: NDArray[np.float64]
    full_exposure: NDArray[np.float64]
    covariance: NDArray[np.float64] | None = None


class Allocation(Protocol):
    """A pure function from the rules and the active symbols to a weight for each of them."""

    def __call__(self, rules: Rules, active: ActiveSymbols, /) -> Sequence[float] | NDArray[np.float64]:
        """Return the weights [N], at least 0 and of any scale; a symbol's part of the capital is its share of them."""
        ...


_Allocation = TypeVar("_Allocation", bound=Allocation)

ALLOCATIONS: Registry[Allocation] = Registry("allocation")

_with_covariance: set[Allocation] = set()


def register_allocation(name: str, *, covariance: bool = False) -> Callable[[_Allocation], _Allocation]:
    """Return a decorator that registers a function (rules, active) -> weights as an allocation.

    With `covariance` the field `active.covariance` is computed before each call.

    Raises:
        ValueError: the name is already registered, or is not an identifier.
    """
    enter = ALLOCATIONS.register(name)

    def decorate(allocation: _Allocation) -> _Allocation:
        enter(allocation)
        if covariance:
            _with_covariance.add(allocation)
        return allocation

    return decorate


def needs_covariance(name: str) -> bool:
    """Return whether an allocation reads the covariance of the returns."""
    return ALLOCATIONS[name] in _with_covariance


@register_allocation("equal")
def equal(rules: Rules, active: ActiveSymbols) -> Sequence[float]:
    """Return the same weight for each active symbol."""
    return [1.0] * len(active.names)


@register_allocation("risk")
def risk(rules: Rules, active: ActiveSymbols) -> NDArray[np.float64]:
    """Return weights with which full exposures are proportional to the inverse volatility.

    A position rule under `target_volatility` divides by the volatility itself; then the weights do not divide again.
    """
    return _of_capital(1.0 / np.where(active.volatility > 0.0, active.volatility, np.inf), active)


@register_allocation("covariance", covariance=True)
def covariance(rules: Rules, active: ActiveSymbols) -> NDArray[np.float64]:
    """Return weights with which full long exposures have equal parts of the portfolio's variance.

    The signs of the targets are not known when the weights are computed, and change between. All long, and with the
    same variance all short, is the case in which positively correlated symbols are riskiest.
    """
    if active.covariance is None:
        raise ValueError(
            "allocation 'covariance': expected the covariance of the symbols' returns, found none"
        )
    return _of_capital(equal_risk_weights(active.covariance), active)


def divisors(name: str, weights: Sequence[float] | NDArray[np.float64], symbols: int) -> list[float]:
    """Return the inverse of each symbol's part of the capital: infinity for a part of 0.

    Raises:
        ValueError: the weights of the allocation `name` are not N finite numbers of at least 0.
    """
    values = [float(weight) for weight in weights]
    if len(values) != symbols or not all(0.0 <= value < np.inf for value in values):
        raise ValueError(
            f"allocation {name!r}: expected {symbols} finite weights of at least 0, found {values[:10]}"
        )
    # Equal weights of 1 give exactly the number of symbols.
    total = sum(values)
    return [total / value if value > 0.0 else float("inf") for value in values]


def _of_capital(exposures: NDArray[np.float64], active: ActiveSymbols) -> NDArray[np.float64]:
    """Return the weights with which the full exposures of the symbols are proportional to `exposures`."""
    full = active.full_exposure
    return np.where(full > 0.0, exposures / np.where(full > 0.0, full, 1.0), 0.0)
