"""Trading costs and order rules, with the same names, defaults and checks for every account."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass
from typing import Any, Protocol, Self

from scorenet.base.did_you_mean import close_matches

from .contracts import CONTRACTS
from .risk_tiers import Tier, read_tiers
from .slippage import SLIPPAGE

__all__ = ["MARGIN_MODES", "Costs", "OrderRules"]

MARGIN_MODES = ("cross", "isolated")


class OrderRules(Protocol):
    """The order rules of an exchange, e.g. of a `feeds.instruments.Instrument`; 0.0 means no rule."""

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
    """Fees, slippage, order sizes and margin of one account; the defaults are realistic, not zero.

    Attributes:
        taker: fee of an order that is filled at once, fraction of the traded value (Bybit linear perpetuals: 5.5 bp).
        maker: fee of a limit order that rested in the book, fraction of the traded value; at least -0.01.
        slippage: adverse price move of a market or stop order, fraction of the price.
        slippage_model: name of the function that computes the move of a fill (`strategies.account.slippage`); "fixed"
            uses `slippage` itself, "spread" `half_spread`, "impact" both `half_spread` and `impact`.
        half_spread: half of the distance between bid and ask, fraction of the price.
        impact: price move of an order as large as its bar's volume, fraction of the price; it grows with the square
            root of the order's share of the volume.
        participation: largest share of a bar's volume that fills may take; the rest of an order waits (0: no limit).
        tick_size: step of prices; a fill with slippage is rounded to it against the account (0: none).
        lot_step: step to which an order size is rounded, base units (0: any size).
        min_size: smallest order size, base units.
        min_notional: smallest order value, quote currency.
        max_size: largest order size, base units (0: any).
        margin_leverage: leverage the exchange allows. The strategy's `leverage` is its own cap on gross exposure.
        maintenance_margin: equity at which the account is liquidated, as a fraction of the position's value.
        margin_mode: "cross" (all positions share the account's equity) or "isolated" (each position has the margin
            value / margin_leverage, and a liquidation takes no more).
        risk_tiers: rows (limit of the position's value, maintenance rate, max leverage[, deduction]) in the settlement
            coin; without rows, `maintenance_margin` and `margin_leverage` hold for any value.
        contract: "linear", "inverse" (sizes are contracts of `mult` quote units, cash and equity are in the base coin)
            or "spot" (no leverage, no short).
        mult: contract multiplier, base units per contract (inverse: quote units).
        funding: whether funding is paid and received.

    Raises:
        ValueError: a value is outside its range; the message names the field, the range and the value.
    """

    taker: float = 0.00055
    maker: float = 0.0002
    slippage: float = 0.0002
    slippage_model: str = "fixed"
    half_spread: float = 0.0001
    impact: float = 0.01
    participation: float = 0.0
    tick_size: float = 0.0
    lot_step: float = 0.001
    min_size: float = 0.0
    min_notional: float = 5.0
    max_size: float = 0.0
    margin_leverage: float = 10.0
    maintenance_margin: float = 0.005
    margin_mode: str = "cross"
    risk_tiers: tuple[Tier, ...] = ()
    contract: str = "linear"
    mult: float = 1.0
    funding: bool = True

    def __post_init__(self) -> None:
        for name in ("taker", "slippage", "half_spread", "participation"):
            # All of a bar's volume may be taken; all of a price may not be lost.
            number = self._number(name)
            if not (0.0 <= number < 1.0 or (name == "participation" and number == 1.0)):
                raise self._error(name, "a fraction between 0 and 1 (0.00055 is 5.5 bp)")
        if not -0.01 <= self._number("maker") < 1.0:
            raise self._error("maker", "a fraction between -0.01 and 1 (0.0002 is 2 bp)")
        for name in ("lot_step", "min_size", "min_notional", "max_size", "tick_size", "impact"):
            if not 0.0 <= self._number(name) < math.inf:
                raise self._error(name, "a number, at least 0")
        if self.max_size and self.max_size < self.min_size:
            raise self._error("max_size", f"0 (no limit) or at least min_size = {self.min_size:g}")
        if not 1.0 <= self._number("margin_leverage") < math.inf:
            raise self._error("margin_leverage", "a number, at least 1")
        limit = 1.0 / self.margin_leverage
        if not 0.0 <= self._number("maintenance_margin") < limit:
            # At this limit a position of full leverage would be liquidated at once.
            raise self._error("maintenance_margin", f"a fraction below 1/margin_leverage = {limit:.4g}")
        if not isinstance(self.funding, bool):
            raise self._error("funding", "true or false")
        if not 0.0 < self._number("mult") < math.inf:
            raise self._error("mult", "a positive number")
        self._check_choice("margin_mode", MARGIN_MODES)
        self._check_choice("contract", self.contracts())
        if self.risk_tiers:
            object.__setattr__(self, "risk_tiers", read_tiers(self.risk_tiers))
        SLIPPAGE[self.slippage_model]

    @classmethod
    def for_instrument(cls, rules: OrderRules, **changes: Any) -> Self:
        """Return costs with the order rules of an instrument; `changes` replace single fields."""
        sizes = {
            "lot_step": rules.lot_step,
            "min_size": rules.min_quantity,
            "min_notional": rules.min_notional,
            "max_size": rules.max_quantity,
        }
        for name, rule in (("tick_size", "tick"), ("contract", "category")):
            if hasattr(rules, rule):
                sizes[name] = getattr(rules, rule)
        return cls(**{**sizes, **changes})

    @classmethod
    def contracts(cls) -> tuple[str, ...]:
        """Return the values that `contract` may have."""
        return CONTRACTS

    def _check_choice(self, name: str, known: tuple[str, ...]) -> None:
        value = getattr(self, name)
        if value not in known:
            near = close_matches(str(value), list(known))
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{name}: expected one of {', '.join(known)}, found {value!r}{hint}")

    def _number(self, name: str) -> float:
        value = getattr(self, name)
        if not isinstance(value, numbers.Real) or isinstance(value, bool):
            raise self._error(name, "a number")
        return float(value)

    def _error(self, name: str, expected: str) -> ValueError:
        return ValueError(f"{name}: expected {expected}, found {getattr(self, name)!r}")
