"""Real orders that follow the paper account, within caps; the journal records each before it is sent."""

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
_SECOND_LOOK = 1.0  # seconds: right after a fill the exchange may still show the previous position
_HALT_AGAIN = 30.0  # seconds between the attempts of a halt


class NotReconciled(RunDirError):
    """Report an exchange account that differs from the journal."""


@dataclass(frozen=True, kw_only=True)
class MirrorOptions:
    """Limits of real orders, and their venue.

    Attributes:
        caps: largest order and position.
        adopt: accept positions and cancel orders that the journal does not contain.
        max_loss: fraction of the account's first equity; a larger loss halts trading (0: no limit).
        place: the venue, as text for the user.
    """

    caps: Caps
    adopt: bool = False
    max_loss: float = 0.0
    place: str = ""


class Mirror:
    """Keep the positions on the exchange equal to those of the paper account.

    The mirror follows the paper account's positions, not its orders: what could not be done at one bar is tried
    again at the next. The journal records an order before it is sent, and its outcome afterwards. While the outcome
    of an order is unknown, no other order is sent in its symbol. An unexpected position turns on the kill switch.
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
        self._errors: dict[str, str] = {}
        self._to_halt: set[str] = set()
        self._flattens = False
        self._halt_again = 0.0

    # Start --------------------------------------------------------------------------------------------------

    def prepare(self, symbols: Sequence[str]) -> None:
        """Resolve every order of the journal whose outcome is unknown, and reconcile positions and open orders.

        Raises:
            NotReconciled: the account differs from the journal, and `adopt` is off.
            ExchangeError: the exchange does not answer.
        """
        self._desk.restore()
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
        self._status.say(f"real orders: equity {equity:,.2f} USDT, positions {_listed(self._desk.expected)}")
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
                f"the position in {symbol} is {held}, the journal expects {expected}; close it on the "
                "exchange, or pass --adopt to let this run take it over"
            )
        self._desk.adopt(symbol, held)

    def _held(self, symbol: str) -> Decimal:
        """Return the position on the exchange, in base units; it is read twice if it is not the expected one."""
        held = self._client.position(self._instruments[symbol]).size
        if held != self._desk.expected[symbol]:
            self._sleep(_SECOND_LOOK)
            held = self._client.position(self._instruments[symbol]).size
        return held

    # Each bar -------------------------------------------------------------------------------------------------

    def follow(self, record: Mapping[str, Any]) -> None:
        """Send the orders that bring the account to the target positions of a bar's record."""
        self._desk.close = int(record["time"])
        prices = {decision["symbol"]: decision["close"] for decision in record["decisions"]}
        for symbol, wanted in record["wanted"].items():
            if self._kill.on or not prices.get(symbol):
                continue
            with self._reporting_errors(symbol):
                # Float positions of the paper account are not exact multiples of a lot.
                self._follow_symbol(symbol, Decimal(f"{wanted:.12g}"), Decimal(repr(prices[symbol])))
        if self._floor is not None and not self._kill.on:
            with self._reporting_errors("equity"):
                if self._client.equity() <= self._floor:
                    self._kill.trip(f"real equity at or below {self._floor:,.2f}")
        self._show()

    @contextmanager
    def _reporting_errors(self, what: str) -> Iterator[None]:
        """Show an exchange's error once until its text changes. The next bar tries again."""
        text = ""
        try:
            yield
        except ExchangeBanned:
            text = "the exchange refuses this address; nothing is sent for 15 minutes, positions stay as they are"
        except ExchangeError as error:
            text = str(error)
        if text != self._errors.get(what, ""):
            self._errors[what] = text
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

    # End ------------------------------------------------------------------------------------------------------

    def halt(self, flatten: bool) -> None:
        """Cancel the open orders and, if `flatten`, close the positions with reduce-only orders."""
        self._to_halt, self._flattens, self._halt_again = set(self._instruments), flatten, 0.0
        self.retry_halt()

    def retry_halt(self) -> None:
        """Every 30 seconds, retry the cancellations and closing orders of a halt that failed."""
        if not self._to_halt or self._monotonic() < self._halt_again:
            return
        for symbol in sorted(self._to_halt):
            with self._reporting_errors(f"halt of {symbol}"):
                self._client.cancel_all(self._instruments[symbol])
                if not self._flattens or self._flatten(symbol):
                    self._to_halt.discard(symbol)
        self._halt_again = self._monotonic() + _HALT_AGAIN
        self._show()

    def report_positions(self) -> None:
        """Show the positions that remain on the exchange."""
        if self._to_halt:
            self._status.say(
                f"real orders: {', '.join(sorted(self._to_halt))} NOT halted, look at the exchange"
            )
        self._status.say(f"real positions are left as they are: {_listed(self._desk.expected)}")

    def _flatten(self, symbol: str) -> bool:
        """Close the position of a symbol; return False if an order's outcome is unknown, to retry the halt."""
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


def _listed(positions: Mapping[str, Decimal]) -> str:
    pairs: Iterable[str] = (f"{symbol} {size:+f}" for symbol, size in positions.items())
    return ", ".join(pairs)


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
