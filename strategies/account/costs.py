"""What trading costs and what the exchange allows: one set of names, defaults and checks for every account."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass
from typing import Any, Protocol, Self

from .slippage import SLIPPAGE

__all__ = ["Costs", "OrderRules"]


class OrderRules(Protocol):
    """What an exchange demands of an order, e.g. `feeds.instruments.Instrument`; 0.0 where it demands nothing."""

    @property
    def lot_step(self) -> float: ...

    @property
    def min_quantity(self) -> float: ...

    @property
    def min_notional(self) -> float: ...

    @property
    def max_quantity(self) -> float: ...


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Fees, slippage, order sizes and margin of one account. Nothing is free by default.

    Attributes:
        taker: fee of an order that is filled at once, fraction of the traded value (Bybit linear perpetuals: 5.5 bp).
        maker: fee of a limit order that had to wait for its price; may be negative, down to -0.01.
        slippage: adverse price move of a market or stop order, fraction of the price.
        slippage_model: name of the function that turns it into the move of a fill (`strategies.account.slippage`);
            "fixed" takes it as it is.
        lot_step: base units an order size is rounded to (0: any).
        min_size: smallest order size, base units.
        min_notional: smallest order value, quote currency.
        max_size: largest order size, base units (0: any).
        margin_leverage: leverage the exchange allows. The strategy's `leverage` is its own cap on gross exposure.
        maintenance_margin: fraction of the position's value below which the account is liquidated.
        funding: whether funding is paid and received.

    Raises:
        ValueError: the message names the field, what it may be, and what it was.
    """

    taker: float = 0.00055
    maker: float = 0.0002
    slippage: float = 0.0002
    slippage_model: str = "fixed"
    lot_step: float = 0.001
    min_size: float = 0.0
    min_notional: float = 5.0
    max_size: float = 0.0
    margin_leverage: float = 10.0
    maintenance_margin: float = 0.005
    funding: bool = True

    def __post_init__(self) -> None:
        for name in ("taker", "slippage"):
            if not 0.0 <= self._number(name) < 1.0:
                raise self._error(name, "a fraction between 0 and 1 (0.00055 is 5.5 bp)")
        if not -0.01 <= self._number("maker") < 1.0:
            raise self._error("maker", "a fraction between -0.01 and 1 (0.0002 is 2 bp)")
        for name in ("lot_step", "min_size", "min_notional", "max_size"):
            if not 0.0 <= self._number(name) < math.inf:
                raise self._error(name, "a number, at least 0")
        if self.max_size and self.max_size < self.min_size:
            raise self._error("max_size", f"0 (no limit) or at least min_size = {self.min_size:g}")
        if not 1.0 <= self._number("margin_leverage") < math.inf:
            raise self._error("margin_leverage", "a number, at least 1")
        limit = 1.0 / self.margin_leverage
        if not 0.0 <= self._number("maintenance_margin") < limit:
            # At the limit a full position would be liquidated as it opens.
            raise self._error("maintenance_margin", f"a fraction below 1/margin_leverage = {limit:.4g}")
        if not isinstance(self.funding, bool):
            raise self._error("funding", "true or false")
        SLIPPAGE[self.slippage_model]

    @classmethod
    def for_instrument(cls, rules: OrderRules, **changes: Any) -> Self:
        """Return costs with the order sizes of an exchange's instrument; `changes` are fields that differ."""
        sizes = {
            "lot_step": rules.lot_step,
            "min_size": rules.min_quantity,
            "min_notional": rules.min_notional,
            "max_size": rules.max_quantity,
        }
        return cls(**{**sizes, **changes})

    def _number(self, name: str) -> float:
        value = getattr(self, name)
        if not isinstance(value, numbers.Real) or isinstance(value, bool):
            raise self._error(name, "a number")
        return float(value)

    def _error(self, name: str, expected: str) -> ValueError:
        return ValueError(f"{name}: expected {expected}, found {getattr(self, name)!r}")
