"""Real positions and orders of a run by its journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from . import fields

__all__ = ["Ledger", "Refusals", "UnknownOrder", "is_refusal"]

_KINDS = ("intent", "outcome", "adopted")
_REFUSED, _ENDED = ("refused", "Rejected"), ("Cancelled", "Deactivated")


@dataclass(frozen=True)
class UnknownOrder:
    """An order whose outcome is not known: it was sent at `sent` (UTC ms) with the exchange's time."""

    symbol: str
    side: str
    quantity: str
    sent: int


@dataclass(frozen=True)
class Refusals:
    """The last orders of a symbol, if all were refused: how many, why the last one, since when (UTC ms)."""

    count: int
    reason: str
    since: int


@dataclass
class Ledger:
    """Add the records of a journal one by one.

    Attributes:
        held: signed base units by symbol.
        unknown: orders whose outcome is not known, by their id.
        refusals: by symbol, the refused orders since the last one that was not refused.
    """

    held: dict[str, Decimal] = field(default_factory=dict)
    unknown: dict[str, UnknownOrder] = field(default_factory=dict)
    refusals: dict[str, Refusals] = field(default_factory=dict)

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
            self._count_refusal(symbol, record)

    def _count_refusal(self, symbol: str, record: Mapping[str, Any]) -> None:
        if not is_refusal(record):
            self.refusals.pop(symbol, None)
            return
        before, at = self.refusals.get(symbol), fields.instant(record, "at", 0)
        reason = fields.text(record, "reason", "") or fields.text(record, "status")
        self.refusals[symbol] = Refusals(
            1 if before is None else before.count + 1, reason, at if before is None else before.since
        )


def is_refusal(record: Mapping[str, Any]) -> bool:
    """Return whether an outcome says that the exchange has refused an order, or ended it without any fill."""
    status = record.get("status")
    return status in _REFUSED or (status in _ENDED and not fields.decimal(record, "filled"))
