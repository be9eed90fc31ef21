"""Real orders that follow the paper account: caps, lots, one order at a time, each written down before it is sent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from feeds import ExchangeError
from feeds.errors import ExchangeBanned
from feeds.exchange.order_types import Orders, OrderUnknown
from feeds.instruments import Instrument

from ..folder.rundir import RunDirError
from .halt import KillSwitch
from .journal import Journal
from .order_desk import OrderDesk
from .order_plan import PREFIX, Caps, Plan, Skip, link_id, plan_order
from .status import LiveStatus

__all__ = ["Caps", "Mirror", "MirrorOptions", "NotReconciled", "Plan", "Skip", "link_id", "plan_order"]

_ZERO = Decimal(0)
_SECOND_LOOK = 1.0  # seconds: right after a fill the exchange may still show the position before it
_HALT_AGAIN = 30.0  # seconds after which a halt that did not get through is tried again


class NotReconciled(RunDirError):
    """Report an account on the exchange that is not as the journal says."""


@dataclass(frozen=True, kw_only=True)
class MirrorOptions:
    """Limits and place of real orders.

    Attributes:
        caps: largest order and position.
        adopt: take over positions and cancel orders that the journal does not know.
        max_loss: fraction of the account's first equity whose loss halts (0: never).
        place: where the orders go, in words.
    """

    caps: Caps
    adopt: bool = False
    max_loss: float = 0.0
    place: str = ""


class Mirror:
    """Keep the account on the exchange at the positions of the paper account.

    The paper account decides; this follows its level, not its events: what could not be done on one bar is still
    asked for on the next. An order is in the journal before it is sent, and its outcome after. While nobody knows of an
    order nothing else is sent in its symbol; a position that nobody asked for halts.
    """

    def __init__(
        self,
        client: Orders,
        instruments: Mapping[str, Instrument],
        options: MirrorOptions,
        journal: Journal,
        kill: KillSwitch,
        status: LiveStatus,
        *,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._instruments, self._caps = client, dict(instruments), options.caps
        self._journal, self._kill, self._status = journal, kill, status
        self._adopt, self._max_loss, self._place = (
            options.adopt,
            Decimal(repr(options.max_loss)),
            options.place,
        )
        self._sleep, self._monotonic = sleep, monotonic
        self._desk = OrderDesk(client, self._instruments, journal, status)
        self._floor: Decimal | None = None
        self._troubles: dict[str, str] = {}
        self._to_halt: set[str] = set()
        self._flattens = False
        self._halt_again = 0.0

    # At the start ---------------------------------------------------------------------------------------------

    def prepare(self, symbols: Sequence[str]) -> None:
        """Find out what became of every order of the journal, and compare positions and open orders with it.

        Raises:
            NotReconciled: the account is not as the journal says, and `adopt` does not allow that.
            ExchangeError: the exchange does not say.
        """
        self._desk.recall()
        for symbol in symbols:
            self._desk.settle(symbol)
        for symbol in symbols:
            self._compare(symbol)
        equity = self._client.equity()
        if equity <= 0:
            raise NotReconciled(
                f"the account holds no USDT (equity {equity}); put money into it, or trade on paper"
            )
        before = next(iter(self._journal.records("reconciled")), None)
        first = equity if before is None else Decimal(before["equity"])
        self._floor = first * (1 - self._max_loss) if self._max_loss else None
        positions = {symbol: str(size) for symbol, size in self._desk.expected.items()}
        self._journal.append(
            "reconciled", at=_wall_ms(), place=self._place, equity=str(equity), positions=positions
        )
        self._show()
        self._status.say(f"real orders: equity {equity:,.2f} USDT, positions {_told(self._desk.expected)}")
        if self._kill.on:
            self.halt(self._kill.flatten)

    def _compare(self, symbol: str) -> None:
        instrument = self._instruments[symbol]
        foreign = []
        for placed in self._client.open_orders(instrument):
            if not placed.link_id.startswith(f"{PREFIX}{self._desk.run}-"):
                foreign.append(placed)
        if foreign and not self._adopt:
            raise NotReconciled(
                f"{symbol} has {len(foreign)} open order(s) that this run did not send, the first "
                f"{foreign[0].side} {foreign[0].quantity}; cancel them on the exchange, or pass --adopt to let this "
                "run cancel them"
            )
        self._client.cancel_all(instrument)
        held, expected = self._held(symbol), self._desk.expected[symbol]
        if held == expected:
            return
        if not self._adopt:
            raise NotReconciled(
                f"the position in {symbol} is {held}, by the journal it should be {expected}; close it on the "
                "exchange, or pass --adopt to let this run take it over"
            )
        self._desk.adopt(symbol, held)

    def _held(self, symbol: str) -> Decimal:
        """Return the position on the exchange, looked at twice if it is not the expected one."""
        held = self._client.position(self._instruments[symbol]).size
        if held != self._desk.expected[symbol]:
            self._sleep(_SECOND_LOOK)
            held = self._client.position(self._instruments[symbol]).size
        return held

    # Bar by bar -----------------------------------------------------------------------------------------------

    def follow(self, record: Mapping[str, Any]) -> None:
        """Bring the account to the positions that a bar's record wants."""
        self._desk.close = int(record["time"])
        prices = {decision["symbol"]: decision["close"] for decision in record["decisions"]}
        for symbol, wanted in record["wanted"].items():
            if self._kill.on or not prices.get(symbol):
                continue
            with self._telling(symbol):
                # The paper account's floats carry dust behind their lots.
                self._follow_symbol(symbol, Decimal(f"{wanted:.12g}"), Decimal(repr(prices[symbol])))
        if self._floor is not None and not self._kill.on:
            with self._telling("equity"):
                if self._client.equity() <= self._floor:
                    self._kill.trip(f"real equity at or below {self._floor:,.2f}")
        self._show()

    @contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        """Say what the exchange does not do, once until it changes; the level is asked for again on the next bar."""
        text = ""
        try:
            yield
        except ExchangeBanned:
            text = "the exchange refuses this address; nothing is sent for 15 minutes, positions stay as they are"
        except ExchangeError as error:
            text = str(error)
        if text != self._troubles.get(what, ""):
            self._troubles[what] = text
            self._status.say(f"real orders, {what}: {text or 'works again'}")

    def _show(self) -> None:
        self._status.real(self._desk.expected)

    def _follow_symbol(self, symbol: str, wanted: Decimal, price: Decimal) -> None:
        instrument = self._instruments[symbol]
        self._desk.settle(symbol)
        held = self._held(symbol)
        if held != self._desk.expected[symbol]:
            self._kill.trip(f"the position in {symbol} is {held}, expected {self._desk.expected[symbol]}")
            return
        for _ in range(2):
            plan = plan_order(wanted, self._desk.expected[symbol], price, instrument, self._caps)
            if isinstance(plan, Skip):
                if plan.reason != "reached":
                    self._journal.append("skip", close=self._desk.close, symbol=symbol, reason=plan.reason)
                return
            closed = plan.reduce_only and plan.size == -self._desk.expected[symbol]
            if not self._desk.send(symbol, plan) or not closed or self._desk.expected[symbol]:
                return

    # At the end -----------------------------------------------------------------------------------------------

    def halt(self, flatten: bool) -> None:
        """Cancel the open orders and, if `flatten`, close the positions by reduce-only orders."""
        self._to_halt, self._flattens, self._halt_again = set(self._instruments), flatten, 0.0
        self.tend()

    def tend(self) -> None:
        """Try again, now and then, what a halt could not do."""
        if not self._to_halt or self._monotonic() < self._halt_again:
            return
        for symbol in sorted(self._to_halt):
            with self._telling(f"halt of {symbol}"):
                self._client.cancel_all(self._instruments[symbol])
                if not self._flattens or self._flatten(symbol):
                    self._to_halt.discard(symbol)
        self._halt_again = self._monotonic() + _HALT_AGAIN
        self._show()

    def leave(self) -> None:
        """Say what is left on the exchange."""
        if self._to_halt:
            self._status.say(
                f"real orders: {', '.join(sorted(self._to_halt))} NOT halted, look at the exchange"
            )
        self._status.say(f"real positions are left as they are: {_told(self._desk.expected)}")

    def _flatten(self, symbol: str) -> bool:
        """Return whether it is certain that nothing is held any more."""
        settled = True
        try:
            self._desk.settle(symbol)
        except OrderUnknown:
            settled = False
        for _ in range(10):
            held = self._held(symbol)
            if held != self._desk.expected[symbol]:
                self._desk.adopt(symbol, held)
            plan = plan_order(_ZERO, held, Decimal(1), self._instruments[symbol], self._caps)
            if isinstance(plan, Skip):
                return settled
            self._desk.send(symbol, plan)
        raise ExchangeError("the position could not be closed in full")


def _told(positions: Mapping[str, Decimal]) -> str:
    pairs: Iterable[str] = (f"{symbol} {size:+f}" for symbol, size in positions.items())
    return ", ".join(pairs)


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
