"""Slippage models, which compute the adverse price move of a fill, and their registry."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from scorenet.base.registry import Registry

if TYPE_CHECKING:
    from .costs import Costs

__all__ = ["SLIPPAGE", "FillFacts", "SlippageModel", "fixed", "register_slippage"]


class FillFacts(NamedTuple):
    """A fill and the bar in which it happens.

    Attributes:
        size: unfilled size of the order, signed base units.
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
