"""Which order takes a real position to where it is wanted: lots, minima, caps; and what that order is called."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from feeds.instruments import Instrument
from scorenet import ConfigError

__all__ = ["PREFIX", "Caps", "Plan", "Skip", "link_id", "plan_order"]

PREFIX = "sn"
"""How the names of all orders begin."""

_ZERO = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class Caps:
    """Limit what real orders may do, in quote currency: the value of one order and of the position in a symbol."""

    order: Decimal = Decimal(500)
    position: Decimal = Decimal(1000)

    def __post_init__(self) -> None:
        for name, value in (("--max-order", self.order), ("--max-position", self.position)):
            if not (value.is_finite() and value > 0):
                raise ConfigError(f"{name}: expected a positive amount, found {value}")


@dataclass(frozen=True)
class Plan:
    """One market order: signed base units."""

    size: Decimal
    reduce_only: bool


@dataclass(frozen=True)
class Skip:
    """Why no order is sent: "reached", "capped", "below_quantity" or "below_notional"."""

    reason: str


def plan_order(
    wanted: Decimal, held: Decimal, price: Decimal, instrument: Instrument, caps: Caps
) -> Plan | Skip:
    """Return the order that takes `held` toward `wanted` (signed base units), as the exchange and the caps allow.

    Sizes are rounded toward zero to the lot step, exactly. A flip closes first; opening is the next order. The caps
    are on what is opened: closing is never held back.
    """
    step = Decimal(repr(instrument.lot_step)) or Decimal("1e-12")
    if abs(wanted - held) < step:
        return Skip("reached")
    reduces = held != 0 and (wanted * held <= 0 or abs(wanted) < abs(held))
    if reduces:
        size = -held if wanted * held <= 0 else wanted - held
        most = abs(size)
    else:
        # A position that its price has carried over the cap is kept, not traded down.
        room = max(caps.position / price - abs(held), _ZERO)
        size, most = wanted - held, min(room, caps.order / price)
    if instrument.max_quantity:
        most = min(most, Decimal(repr(instrument.max_quantity)))
    size = max(min(size, most), -most)
    size = (size / step).to_integral_value(ROUND_DOWN) * step
    capped = not reduces and abs(wanted - held) >= most
    if abs(size) < max(Decimal(repr(instrument.min_quantity)), step):
        return Skip("capped" if capped else "below_quantity")
    if not reduces and abs(size) * price < Decimal(repr(instrument.min_notional)):
        return Skip("capped" if capped else "below_notional")
    return Plan(size, reduces)


def link_id(run: str, close: int, symbol: str, part: int) -> str:
    """Return the name of an order: the same for the same run, bar, symbol and part of the bar's orders."""
    return f"{PREFIX}{run}-{close // 1000:x}-{zlib.crc32(symbol.encode()):08x}-{part}"
