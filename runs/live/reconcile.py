"""Compare the real account with the journal: at the start of a run, and before each order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from feeds.exchange.order_types import AccountFacts, HeldPosition, Interrupted, Orders, OrderUnknown
from feeds.instruments import Instrument
from scorenet.base.times import wall_ms
from scorenet.base.waits import wait

from ..folder.rundir import RunDirError
from .halt import KillSwitch
from .journal import Journal
from .order_desk import OrderDesk
from .order_plan import PREFIX, Caps
from .status import LiveStatus

__all__ = ["MirrorOptions", "NotReconciled", "Reconciler"]

_ZERO = Decimal(0)
_SECOND_LOOK = 1.0  # seconds: right after a fill the exchange may still show the previous position


class NotReconciled(RunDirError):
    """Report an exchange account that differs from the journal, or that a run cannot trade on."""


@dataclass(frozen=True, kw_only=True)
class MirrorOptions:
    """Limits of real orders, and their venue.

    Attributes:
        caps: largest order and position.
        adopt: accept positions and cancel orders that the journal does not contain.
        max_loss: fraction of the account's first equity; a larger loss halts trading (0: no limit).
        place: the venue, as text for the user.
        venue: name of the venue; a run cannot move to another one.
        lag: longest time in seconds that the exchange shows the position before the last order.
    """

    caps: Caps
    adopt: bool = False
    max_loss: float = 0.0
    place: str = ""
    venue: str = ""
    lag: float = 60.0


class Reconciler:
    """Read positions, open orders and settings of the real account, and compare them with the journal.

    A position that differs is believed only when the exchange has had time to show the last order. One that the
    journal does not know is taken over only with `adopt`, and one of the journal's is given up only if executions
    confirm it.
    """

    def __init__(
        self,
        client: Orders,
        instruments: Mapping[str, Instrument],
        options: MirrorOptions,
        desk: OrderDesk,
        journal: Journal,
        kill: KillSwitch,
        status: LiveStatus,
        sleep: Callable[[float], None],
    ) -> None:
        self._client, self._instruments, self._options = client, instruments, options
        self._desk, self._journal, self._kill, self._status = desk, journal, kill, status
        self._sleep = sleep
        self._account: str | None = None

    def check_account(self) -> None:
        """Raise NotReconciled if the key belongs to another account than that of the earlier sessions.

        Positions alone cannot tell: two accounts without any look the same.
        """
        self._account = self._client.account_id()
        for record in self._journal.records("account"):
            before = record.get("account_id")
            if None not in (before, self._account) and before != self._account:
                raise NotReconciled(
                    f"this run's real orders went to the account {before}, now the key belongs to the account "
                    f"{self._account}; use a key of the same account, or start a new run in another --out"
                )

    def check_venue(self) -> None:
        """Raise NotReconciled if the orders of this run went to another place before."""
        for record in self._journal.records("reconciled"):
            before = record.get("venue", "")
            if before and self._options.venue and before != self._options.venue:
                raise NotReconciled(
                    f"this run's real orders went to {record['place']}, now they would go to {self._options.place}; "
                    "its positions are not there; use the same place, or start a new run in another --out"
                )

    def record_account(self, symbols: Sequence[str], equity: Decimal) -> None:
        """Write what the exchange tells about the account to the journal, and show it."""
        held = {symbol: self._client.position(self._instruments[symbol]) for symbol in symbols}
        record = {
            "account_id": self._account,
            **_account_record(self._client.facts(), held, self._instruments),
        }
        self._journal.append("account", at=wall_ms(), **record)
        self._status.say(f"real account: {_describe_account(record)}")
        if warning := _too_little_leverage(held, self._options.caps, equity):
            self._status.say(f"real account: {warning}")

    def reconcile(self, symbol: str) -> None:
        """Settle the open orders of a symbol, and compare its orders and its position with the journal.

        Raises:
            NotReconciled: they differ, and `adopt` is off or the evidence is too weak.
        """
        self._cancel_foreign(symbol)
        try:
            self._desk.settle(symbol)
            held = self._held_in_time(symbol)
            if held == self._desk.expected[symbol]:
                return
            if self._desk.explain(symbol) and held == self._desk.expected[symbol]:
                return
        except OrderUnknown as error:
            # The position cannot be judged yet; each bar tries again, and sends nothing before.
            self._status.say(f"real orders, {symbol}: {error}; no order is sent before its outcome is known")
            return
        self._adopt(symbol, held)

    def _held_in_time(self, symbol: str) -> Decimal:
        """Return the position on the exchange, after the exchange has had time to show the last order."""
        held, expected, age = self.held(symbol), self._desk.expected[symbol], self._desk.age(symbol)
        if held == expected or age >= self._options.lag:
            return held
        self._status.say(
            f"real orders, {symbol}: the exchange shows {held}, the journal expects {expected}; an order was sent "
            f"{age:.0f} s ago, waiting until the exchange shows it"
        )
        self._wait_for_position(symbol)
        return self.held(symbol)

    def _wait_for_position(self, symbol: str) -> None:
        while self._desk.age(symbol) < self._options.lag and self.held(symbol) != self._desk.expected[symbol]:
            self._wait(_SECOND_LOOK)

    def _wait(self, seconds: float) -> None:
        if not wait(seconds, lambda: self._kill.calls, self._sleep):
            raise Interrupted("the wait for the exchange ended early, because the run stops or halts")

    def _cancel_foreign(self, symbol: str) -> None:
        instrument, own = self._instruments[symbol], f"{PREFIX}{self._desk.run}-"
        foreign = [o for o in self._client.open_orders(instrument) if not o.link_id.startswith(own)]
        if foreign and not self._options.adopt:
            raise NotReconciled(
                f"{symbol} has {len(foreign)} open order(s) that this run did not send, the first "
                f"{foreign[0].side} {foreign[0].quantity}; cancel them on the exchange, or pass --adopt to let this "
                "run cancel them"
            )
        self._client.cancel_all(instrument)

    def _adopt(self, symbol: str, held: Decimal) -> None:
        expected = self._desk.expected[symbol]
        text = f"the position in {symbol} is {held}, the journal expects {expected}"
        if not self._options.adopt:
            raise NotReconciled(
                f"{text}; close it on the exchange, or pass --adopt to let this run take it over"
            )
        doubt, until = _unexplained(self._client, self._desk, self._instruments[symbol], held)
        if doubt:
            raise NotReconciled(
                f"{text}, and {doubt}; the position list alone is not believed; look at the exchange, and start again, "
                "or start a new run in another --out"
            )
        self._desk.adopt(symbol, held, until)

    def held(self, symbol: str) -> Decimal:
        """Return the position on the exchange, in base units; it is read twice if it is not the expected one."""
        held = self._client.position(self._instruments[symbol]).size
        if held != self._desk.expected[symbol]:
            self._wait(_SECOND_LOOK)
            held = self._client.position(self._instruments[symbol]).size
        return held

    def check_position(self, symbol: str) -> None:
        """Halt if the exchange shows another position than the journal, and no delay or lost order explains it.

        Raises:
            OrderUnknown: the exchange may still show the position before the last order.
        """
        held = self.held(symbol)
        if held == self._desk.expected[symbol]:
            return
        if self._desk.age(symbol) < self._options.lag:
            raise OrderUnknown(
                f"the exchange shows {held}, expected {self._desk.expected[symbol]}; it may show the last order late, "
                "so no order is sent until it does"
            )
        if self._desk.explain(symbol) and held == self._desk.expected[symbol]:
            return
        self._kill.trip(f"the position in {symbol} is {held}, expected {self._desk.expected[symbol]}")


def _account_record(
    facts: AccountFacts, held: Mapping[str, HeldPosition], instruments: Mapping[str, Instrument]
) -> dict[str, Any]:
    """Return what the journal records about the account; None stands for what the exchange did not tell."""
    own = {instrument.id for instrument in instruments.values()}
    positions = (
        None if facts.positions is None else {k: v for k, v in facts.positions.items() if k not in own}
    )
    orders = None if facts.orders is None else {k: v for k, v in facts.orders.items() if k not in own}
    return {
        # In hedge mode the position could not have been read.
        "position_mode": "one-way",
        "margin_mode": facts.margin_mode,
        "leverage": {
            symbol: None if found.leverage is None else str(found.leverage) for symbol, found in held.items()
        },
        "other_positions": None if positions is None else {k: str(v) for k, v in positions.items()},
        "other_orders": orders,
    }


def _describe_account(record: Mapping[str, Any]) -> str:
    """Return the recorded facts as text for the user."""
    leverage = ", ".join(f"{symbol} {value or 'unknown'}x" for symbol, value in record["leverage"].items())
    parts = [
        record["account_id"] or "number unknown",
        f"{record['margin_mode'] or 'unknown'} margin",
        f"{record['position_mode']} mode",
        f"leverage {leverage}",
        f"positions in other symbols: {_listed(record['other_positions'])}",
        f"open orders in other symbols: {_listed(record['other_orders'])}",
    ]
    return "; ".join(parts)


def _listed(values: Mapping[str, Any] | None) -> str:
    if values is None:
        return "unknown"
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "none"


def _too_little_leverage(held: Mapping[str, HeldPosition], caps: Caps, equity: Decimal) -> str:
    """Return a warning if the account's leverage cannot carry the largest allowed positions, "" if it can."""
    need = sum((caps.position / found.leverage for found in held.values() if found.leverage), _ZERO)
    if need <= equity:
        return ""
    return (
        f"at the account's leverage, positions of {caps.position:,f} USDT need {need:,.2f} USDT of margin, the equity "
        f"is {equity:,.2f}; the exchange will reject some orders"
    )


def _unexplained(client: Orders, desk: OrderDesk, instrument: Instrument, held: Decimal) -> tuple[str, int]:
    """Check a position that differs from the journal against the executions on the exchange.

    Fills of others since this run's last fill must add up to the difference. Return what does not fit, "" if all does,
    and the time of the newest of these fills (UTC ms).
    """
    symbol = instrument.symbol
    expected, until = desk.expected[symbol], desk.adopted_until[symbol]
    if not expected:
        # Nothing of this run's is given up: a position is not invented by an empty answer.
        return "", until
    change, newest = _ZERO, until
    for fill in client.executions(instrument):
        if fill.link_id.startswith(f"{PREFIX}{desk.run}-") or fill.time <= until:
            break
        change, newest = change + fill.size, max(newest, fill.time)
    if change == held - expected:
        return "", newest
    return f"the executions of others add up to {change:+f}, not to {held - expected:+f}", until
