"""Slippage models, which compute the adverse price move of a fill, and their registry."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from scorenet.base.registry import Registry

if TYPE_CHECKING:
    from .costs import Costs

__all__ = [
    "SLIPPAGE",
    "FillFacts",
    "SlippageModel",
    "fixed",
    "impact",
    "register_slippage",
    "spread",
    "square_root_move",
]


class FillFacts(NamedTuple):
    """A fill and the bar in which it happens.

    Attributes:
        size: size of the fill, signed base units: all that is open of the order, or what the bar's volume allows.
        price: price before slippage, quote currency.
        order: "market", "limit", "stop", "stoplimit", "stoptrail" or "stoptraillimit".
        open, high, low: prices of the bar, quote currency.
        volume: volume of the bar, base units.
    """

    size: float
    price: float
    order: str
    open: float
    high: float
    low: float
    volume: float


class SlippageModel(Protocol):
    """A pure function from the account's costs and a fill to an adverse price move."""

    def __call__(self, costs: Costs, fill: FillFacts, /) -> float:
        """Return the move as a fraction of the price, at least 0 and below 1."""
        ...


_Model = TypeVar("_Model", bound=SlippageModel)

SLIPPAGE: Registry[SlippageModel] = Registry("slippage_model")


def register_slippage(name: str) -> Callable[[_Model], _Model]:
    """Return a decorator that registers a function (costs, fill) -> fraction as a slippage model.

    Raises:
        ValueError: the name is already registered, or is not an identifier.
    """
    enter = SLIPPAGE.register(name)

    def decorate(model: _Model) -> _Model:
        enter(model)
        return model

    return decorate


@register_slippage("fixed")
def fixed(costs: Costs, fill: FillFacts) -> float:
    """Return the same fraction for every fill, `Costs.slippage`."""
    return costs.slippage


@register_slippage("spread")
def spread(costs: Costs, fill: FillFacts) -> float:
    """Return half of the spread, `Costs.half_spread`."""
    return costs.half_spread


@register_slippage("impact")
def impact(costs: Costs, fill: FillFacts) -> float:
    """Return half of the spread and the square-root impact of the fill's share of its bar's volume.

    In a bar without volume the fill counts as all of it. The move is at most half of the price.

    References:
        Bouchaud, Farmer, Lillo (2009), "How markets slowly digest changes in supply and demand": the square-root law.

    Raises:
        ValueError: the bar's volume is not a number.
    """
    if not 0.0 <= fill.volume < math.inf:
        raise ValueError(
            f"slippage_model 'impact' needs the volume of every bar, found {fill.volume!r}; "
            "use bars with volume, or 'spread'"
        )
    return square_root_move(costs.half_spread, costs.impact, fill.size, fill.volume)


def square_root_move(half_spread: float, impact: float, size: float, volume: float) -> float:
    """Return the move of `impact` for a fill of `size` in a bar of `volume` (base units)."""
    share = abs(size) / volume if volume else 1.0
    return min(half_spread + impact * math.sqrt(share), 0.5)
