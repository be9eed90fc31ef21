"""Real orders that follow the paper account, within caps; the journal records each before it is sent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import Any

from feeds import ExchangeError
from feeds.errors import ExchangeBanned, ExchangeRejected, ExchangeUnavailable
from feeds.exchange.order_types import (
    Interrupted,
    NothingToReduce,
    Orders,
    OrdersForbidden,
    OrderUnknown,
    UnreadableAnswer,
)
from feeds.instruments import Instrument
from scorenet.base.times import wall_ms

from .halt import KillSwitch
from .journal import Journal
from .order_desk import OrderDesk
from .order_plan import Caps, Plan, Skip, describe_rules, link_id, plan_order
from .reconcile import MirrorOptions, NotReconciled, Reconciler
from .status import LiveStatus

__all__ = ["Caps", "Mirror", "MirrorOptions", "NotReconciled", "Plan", "Skip", "link_id", "plan_order"]

_ZERO = Decimal(0)
_SETTLE_AGAIN = 5.0  # seconds between two lookups of an open order
_HALT_AGAIN = 30.0  # seconds between the attempts of a halt


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
        self._client, self._instruments, self._options = client, dict(instruments), options
        self._journal, self._kill, self._status = journal, kill, status
        self._monotonic = monotonic
        self._desk = OrderDesk(client, self._instruments, journal, status, monotonic)
        self._reconciler = Reconciler(
            client, self._instruments, options, self._desk, journal, kill, status, sleep
        )
        self._floor: Decimal | None = None
        self._errors: dict[str, str] = {}
        self._to_halt: set[str] = set()
        self._forbidden: set[str] = set()
        self._flattens = False
        self._halt_again = self._settle_again = 0.0
        client.listen(lambda: kill.calls)

    # Start --------------------------------------------------------------------------------------------------

    def prepare(self, symbols: Sequence[str]) -> None:
        """Read the account, resolve the journal's open orders, and reconcile positions and orders with the journal.

        Raises:
            NotReconciled: the account differs from the journal, and `adopt` is off.
            ExchangeError: the exchange does not answer.
        """
        self._reconciler.check_venue()
        self._reconciler.check_account()
        self._desk.restore()
        equity = self._client.equity()
        if equity <= 0:
            raise NotReconciled(
                f"the account holds no USDT (equity {equity}); put money into it, or trade on paper"
            )
        for symbol in symbols:
            self._reconciler.reconcile(symbol)
        self._reconciler.record_account(symbols, equity)
        before = next(iter(self._journal.records("reconciled")), None)
        first = equity if before is None else Decimal(before["equity"])
        self._floor = first * (1 - self._max_loss) if self._max_loss else None
        positions = {symbol: str(size) for symbol, size in self._desk.expected.items()}
        self._journal.append(
            "reconciled",
            at=wall_ms(),
            place=self._options.place,
            venue=self._options.venue,
            equity=str(equity),
            positions=positions,
        )
        self._show()
        self._status.say(f"real orders: equity {equity:,.2f} USDT, positions {_listed(self._desk.expected)}")
        if self._kill.on:
            self.halt(self._kill.flatten)
        self._halt_below_floor(equity)

    @property
    def _max_loss(self) -> Decimal:
        return Decimal(repr(self._options.max_loss))

    # Each bar -------------------------------------------------------------------------------------------------

    def follow(self, record: Mapping[str, Any]) -> None:
        """Send the orders that bring the account to the target positions of a bar's record."""
        self._desk.close = int(record["time"])
        if self._floor is not None and not self._kill.on:
            # Before the orders: one after the loss could only make it larger.
            with self._reporting_errors("equity"):
                self._halt_below_floor(self._client.equity())
        prices = {decision["symbol"]: decision["close"] for decision in record["decisions"]}
        for symbol, wanted in record["wanted"].items():
            if self._kill.on or not prices.get(symbol):
                continue
            with self._reporting_errors(symbol):
                # Float positions of the paper account are not exact multiples of a lot.
                self._follow_symbol(symbol, Decimal(f"{wanted:.12g}"), Decimal(repr(prices[symbol])))
        self._show()

    def _halt_below_floor(self, equity: Decimal) -> None:
        if self._floor is not None and equity <= self._floor:
            self._kill.trip(f"real equity at or below {self._floor:,.2f}")

    @contextmanager
    def _reporting_errors(self, what: str) -> Iterator[None]:
        """Show and record an exchange's error once until its text changes. The next bar tries again."""
        text, halted = "", self._kill.on
        try:
            yield
        except Interrupted:
            return
        except ExchangeBanned:
            text = "the exchange refuses this address; nothing is sent for 15 minutes, positions stay as they are"
        except (UnreadableAnswer, OrdersForbidden) as error:
            text = str(error)
            self._kill.trip(f"{what}: {text}")
        except ExchangeError as error:
            text = str(error)
        if not text and self._kill.on and not halted:
            return  # the block has found a reason to halt: nothing works again
        if text != self._errors.get(what, ""):
            self._errors[what] = text
            said = f"real orders, {what}: {text or 'works again'}"
            self._status.say(said)
            # Nobody may read the terminal any more.
            self._journal.append(
                "notice", at=wall_ms(), symbol=what, what="real_orders", text=said, problem=text
            )

    def _show(self) -> None:
        self._status.real(self._desk.expected, self._desk.waiting())

    def _follow_symbol(self, symbol: str, wanted: Decimal, price: Decimal) -> None:
        self._desk.settle(symbol)
        self._reconciler.check_position(symbol)
        if self._kill.on:
            return
        self._renew_rules(symbol)
        instrument = self._instruments[symbol]
        for _ in range(2):
            plan = plan_order(wanted, self._desk.expected[symbol], price, instrument, self._options.caps)
            if isinstance(plan, Skip):
                if plan.reason != "reached":
                    self._journal.append("skip", close=self._desk.close, symbol=symbol, reason=plan.reason)
                return
            closed = plan.reduce_only and plan.size == -self._desk.expected[symbol]
            if not self._desk.send(symbol, plan) or not closed or self._desk.expected[symbol]:
                return

    def _renew_rules(self, symbol: str) -> None:
        """Read the trading rules again after a refusal: the exchange may have changed its lots, minima or maxima."""
        if symbol not in self._desk.refused:
            return
        with suppress(ExchangeUnavailable, ExchangeRejected):
            before, found = self._instruments[symbol], self._client.rules(self._instruments[symbol])
            self._desk.refused.discard(symbol)
            self._instruments[symbol] = found
            if (text := describe_rules(found)) != describe_rules(before):
                self._status.say(f"real orders, {symbol}: the exchange has new trading rules: {text}")

    # End ------------------------------------------------------------------------------------------------------

    def halt(self, flatten: bool) -> None:
        """Cancel the open orders and, if `flatten`, close the positions with reduce-only orders."""
        self._to_halt, self._flattens, self._halt_again = set(self._instruments), flatten, 0.0
        self.retry_halt()

    def retry_halt(self) -> None:
        """Look up open orders every 5 seconds, and retry the parts of a halt that failed every 30 seconds."""
        now = self._monotonic()
        if now >= self._settle_again and (waiting := self._desk.waiting()):
            for symbol in waiting.keys() - self._to_halt:
                with self._reporting_errors(symbol):
                    self._desk.settle(symbol)
            self._settle_again = self._monotonic() + _SETTLE_AGAIN
            self._show()
        if not self._to_halt or now < self._halt_again:
            return
        for symbol in sorted(self._to_halt - self._forbidden):
            with self._reporting_errors(f"halt of {symbol}"):
                self._client.cancel_all(self._instruments[symbol])
                try:
                    if self._flattens and not self._flatten(symbol):
                        raise ExchangeError("it is not certain yet that the position is closed; tried again")
                    self._to_halt.discard(symbol)
                except OrdersForbidden:
                    self._forbidden.add(symbol)
                    raise
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
        """Close the position of a symbol; return False if it is not certain yet that nothing is held.

        All orders are reduce-only, so that an answer that lags behind cannot open a position.
        """
        settled = True
        try:
            self._desk.settle(symbol)
        except OrderUnknown:
            settled = False
        self._renew_rules(symbol)
        for _ in range(10):
            held, expected = self._reconciler.held(symbol), self._desk.expected[symbol]
            if held != expected:
                if not expected and not self._late(symbol):
                    return False  # closed already, but the exchange does not show it yet
                if held and settled and self._late(symbol):
                    self._desk.adopt(symbol, held)
                    expected = held
            plan = plan_order(
                _ZERO, held or expected, Decimal(1), self._instruments[symbol], self._options.caps
            )
            if isinstance(plan, Skip):
                return settled
            try:
                self._desk.send(symbol, plan)
            except NothingToReduce:
                if held:
                    return False
                # The position list and the refusal of an order that could only reduce are two answers that agree.
                self._desk.adopt(symbol, _ZERO)
                return settled
            if self._desk.expected[symbol] == expected:
                return False
        raise ExchangeError("the position could not be closed in full")

    def _late(self, symbol: str) -> bool:
        """Return whether the exchange has had time to show the last order of a symbol."""
        return self._desk.age(symbol) >= self._options.lag


def _listed(positions: Mapping[str, Decimal]) -> str:
    pairs: Iterable[str] = (f"{symbol} {size:+f}" for symbol, size in positions.items())
    return ", ".join(pairs)
