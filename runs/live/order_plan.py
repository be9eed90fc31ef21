"""Compute the order from the current to the target position: lot step, minima, caps; and its link id and record."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from typing import Any

from feeds.exchange.order_types import MarketOrder
from feeds.instruments import Instrument
from scorenet import ConfigError

__all__ = [
    "PREFIX",
    "Caps",
    "OpenOrder",
    "Plan",
    "Skip",
    "describe_rules",
    "link_id",
    "plan_order",
    "recorded_order",
]

PREFIX = "sn"
"""Prefix of all client order ids."""

_ZERO = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class Caps:
    """Limits of real orders in quote currency: the value of one order, and of the position in one symbol."""

    order: Decimal = Decimal(500)
    position: Decimal = Decimal(1000)

    def __post_init__(self) -> None:
        for name, value in (("--max-order", self.order), ("--max-position", self.position)):
            if not (value.is_finite() and value > 0):
                raise ConfigError(f"{name}: expected a positive amount, found {value}")


@dataclass(frozen=True)
class Plan:
    """One market order; `size` is in signed base units."""

    size: Decimal
    reduce_only: bool


@dataclass(frozen=True)
class Skip:
    """Why no order is sent: "reached", "capped", "below_quantity" or "below_notional"."""

    reason: str


@dataclass
class OpenOrder:
    """An order whose outcome is not certain.

    sent: monotonic seconds. taken: the exchange has confirmed it. refused: the exchange's answer was an error; it is
    looked up all the same, because such an answer may be wrong.
    """

    order: MarketOrder
    sent: float
    taken: bool = False
    refused: bool = False


def plan_order(
    wanted: Decimal, held: Decimal, price: Decimal, instrument: Instrument, caps: Caps
) -> Plan | Skip:
    """Return the order that moves `held` towards `wanted`, or the reason for none.

    Positions are in signed base units, `price` in quote currency. Sizes are rounded towards zero to the lot step in
    exact decimal arithmetic. A reversal takes two orders: the first closes, the second opens. Caps apply to orders
    that open; an order that closes is never reduced by a cap. A position smaller than the smallest order cannot be
    closed, as after a change of the rules; an order in the other direction includes it.
    """
    step = Decimal(repr(instrument.lot_step)) or Decimal("1e-12")
    least = max(Decimal(repr(instrument.min_quantity)), step)
    if abs(wanted - held) < step:
        return Skip("reached")
    reduces = abs(held) >= least and (wanted * held <= 0 or abs(wanted) < abs(held))
    if reduces:
        size = -held if wanted * held <= 0 else wanted - held
        most = abs(size)
    else:
        # A position whose value rose above the cap with the price is kept, not reduced.
        room = max(caps.position / price - abs(held), _ZERO)
        size, most = wanted - held, min(room, caps.order / price)
    if instrument.max_quantity:
        most = min(most, Decimal(repr(instrument.max_quantity)))
    size = max(min(size, most), -most)
    size = (size / step).to_integral_value(ROUND_DOWN) * step
    capped = not reduces and abs(wanted - held) >= most
    if abs(size) < least:
        return Skip("capped" if capped else "below_quantity")
    if not reduces and abs(size) * price < Decimal(repr(instrument.min_notional)):
        return Skip("capped" if capped else "below_notional")
    return Plan(size, reduces)


def describe_rules(instrument: Instrument) -> str:
    """Return the rules for orders of an instrument as text for the user."""
    return (
        f"lots of {instrument.lot_step:.10g}, at least {instrument.min_quantity:.10g} and "
        f"{instrument.min_notional:.10g} USDT, at most {instrument.max_quantity:.10g}"
    )


def link_id(run: str, close: int, symbol: str, part: int) -> str:
    """Return the client order id: a function of run, bar close (UTC ms), symbol and number of the order at the bar."""
    return f"{PREFIX}{run}-{close // 1000:x}-{zlib.crc32(symbol.encode()):08x}-{part}"


def recorded_order(record: Mapping[str, Any], instrument: Instrument) -> MarketOrder:
    """Return the order in a journal's record of kind "intent"."""
    return MarketOrder(
        instrument=instrument,
        side=record["side"],
        quantity=Decimal(record["quantity"]),
        link_id=record["link_id"],
        reduce_only=record["reduce_only"],
    )
