"""Slippage models: how far the price of a fill moves against the account; own ones are added here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from scorenet.base.registry import Registry

if TYPE_CHECKING:
    from .costs import Costs

__all__ = ["SLIPPAGE", "FillFacts", "SlippageModel", "fixed", "register_slippage"]


class FillFacts(NamedTuple):
    """What is known of a fill and of the bar in which it happens.

    Attributes:
        size: what is still to be filled, signed base units.
        price: the price before slippage.
        order: "market", "limit", "stop", "stoplimit", "stoptrail" or "stoptraillimit".
        open, high, low: of the bar.
        volume: of the bar, base units.
    """

    size: float
    price: float
    order: str
    open: float
    high: float
    low: float
    volume: float


class SlippageModel(Protocol):
    """A pure function from the costs of the account and the facts of a fill to an adverse move of the price."""

    def __call__(self, costs: Costs, fill: FillFacts, /) -> float:
        """Return the move as a fraction of the price, at least 0 and below 1."""
        ...


_Model = TypeVar("_Model", bound=SlippageModel)

SLIPPAGE: Registry[SlippageModel] = Registry("slippage_model")


def register_slippage(name: str) -> Callable[[_Model], _Model]:
    """Return a decorator that enters a function (costs, fill) -> fraction as a slippage model.

    Raises:
        ValueError: the name is taken, or is no identifier.
    """
    enter = SLIPPAGE.register(name)

    def decorate(model: _Model) -> _Model:
        enter(model)
        return model

    return decorate


@register_slippage("fixed")
def fixed(costs: Costs, fill: FillFacts) -> float:
    """Move every price by the same fraction, `Costs.slippage`."""
    return costs.slippage
