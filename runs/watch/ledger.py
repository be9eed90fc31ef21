"""Real positions and orders of a run by its journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from . import fields

__all__ = ["Ledger", "UnknownOrder"]

_KINDS = ("intent", "outcome", "adopted")


@dataclass(frozen=True)
class UnknownOrder:
    """An order whose outcome is not known: it was sent at `sent` (UTC ms) with the exchange's time."""

    symbol: str
    side: str
    quantity: str
    sent: int


@dataclass
class Ledger:
    """Add the records of a journal one by one.

    Attributes:
        held: signed base units by symbol.
        unknown: orders whose outcome is not known, by their id.
    """

    held: dict[str, Decimal] = field(default_factory=dict)
    unknown: dict[str, UnknownOrder] = field(default_factory=dict)

    def add(self, record: Mapping[str, Any]) -> None:
        """Add a record; those of other kinds change nothing.

        Raises:
            Unfit: a field has another type.
        """
        kind = record.get("kind")
        if kind not in _KINDS:
            return
        symbol = fields.text(record, "symbol")
        if kind == "adopted":
            self.held[symbol] = fields.decimal(record, "size")
        elif kind == "intent":
            self.unknown[fields.text(record, "link_id")] = UnknownOrder(
                symbol,
                fields.text(record, "side", ""),
                fields.text(record, "quantity", ""),
                fields.instant(record, "sent", fields.instant(record, "at", 0)),
            )
        else:
            self.held[symbol] = self.held.get(symbol, Decimal(0)) + fields.decimal(record, "filled")
            if fields.text(record, "status") != "unknown":
                self.unknown.pop(fields.text(record, "link_id"), None)
