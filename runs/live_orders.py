"""Real orders that follow the paper account: caps, lots, one order at a time, each written down before it is sent."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from typing import Any, Protocol

from feeds import ExchangeError
from feeds.instruments import Instrument
from feeds.orders import HeldPosition, MarketOrder, OrderRejected, OrderState, OrderUnknown, PlacedOrder
from runs.journal import Journal
from runs.live_halt import KillSwitch
from runs.live_status import LiveStatus
from runs.rundir import RunDirError
from scorenet import ConfigError

__all__ = ["Caps", "Mirror", "NotReconciled", "Plan", "Skip", "link_id", "plan_order"]

_ZERO = Decimal(0)
_PREFIX = "sn"


class NotReconciled(RunDirError):
    """Report an account on the exchange that is not as the journal says."""


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


class Client(Protocol):
    """What the mirror asks of the exchange; see `feeds.orders.OrderClient`."""

    def equity(self) -> Decimal: ...

    def position(self, instrument: Instrument) -> HeldPosition: ...

    def open_orders(self, instrument: Instrument) -> list[PlacedOrder]: ...

    def create(self, order: MarketOrder) -> OrderState: ...

    def settle(self, order: MarketOrder, sent: float) -> OrderState | None: ...

    def cancel_all(self, instrument: Instrument) -> None: ...


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
    if abs(size) < max(Decimal(repr(instrument.min_quantity)), step):
        return Skip("below_quantity" if reduces or abs(wanted - held) < most else "capped")
    if not reduces and abs(size) * price < Decimal(repr(instrument.min_notional)):
        return Skip("below_notional")
    return Plan(size, reduces)


def link_id(run: str, close: int, symbol: str, part: int) -> str:
    """Return the name of an order: the same for the same run, bar, symbol and part of the bar's orders."""
    return f"{_PREFIX}{run}-{close // 1000:x}-{zlib.crc32(symbol.encode()):08x}-{part}"


class Mirror:
    """Keep the account on the exchange at the positions of the paper account.

    The paper account decides; this follows its level, not its events: what could not be done on one bar is still
    asked for on the next. An order is in the journal before it is sent, and its outcome after. Whatever is not
    understood - an order of which nobody knows, a position that nobody asked for - halts.
    """

    def __init__(
        self,
        client: Client,
        instruments: Mapping[str, Instrument],
        caps: Caps,
        journal: Journal,
        kill: KillSwitch,
        status: LiveStatus,
        *,
        adopt: bool = False,
        max_loss: float = 0.0,
    ) -> None:
        self._client, self._instruments, self._caps = client, dict(instruments), caps
        self._journal, self._kill, self._status = journal, kill, status
        self._adopt, self._max_loss = adopt, Decimal(repr(max_loss))
        header = next(iter(journal.records("start")))
        self._run = str(header["run"])
        self._expected = dict.fromkeys(self._instruments, _ZERO)
        self._floor: Decimal | None = None
        self._parts: dict[tuple[str, int], int] = {}
        self._last_close = int(header["trade_from"])
        self._unknown: dict[str, MarketOrder] = {}
        self._sent: dict[str, int] = {}
        self.skipped: dict[str, int] = {}

    # At the start ---------------------------------------------------------------------------------------------

    def prepare(self, symbols: Sequence[str]) -> None:
        """Find out what became of every order of the journal, and compare positions and open orders with it.

        Raises:
            NotReconciled: the account is not as the journal says, and `adopt` does not allow that.
            ExchangeError: the exchange does not say.
        """
        for record in self._journal.records("intent", "outcome", "adopted"):
            self._recall(record)
        for order in list(self._unknown.values()):
            self._settle(order)
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
        positions = {symbol: str(size) for symbol, size in self._expected.items()}
        self._journal.append("reconciled", at=_wall_ms(), equity=str(equity), positions=positions)
        self._status.say(f"real orders: equity {equity:,.2f} USDT, positions {_told(self._expected)}")
        if self._kill.on:
            self.halt(self._kill.flatten)

    def _recall(self, record: Mapping[str, Any]) -> None:
        symbol = record["symbol"]
        if record["kind"] == "adopted":
            self._expected[symbol] = Decimal(record["size"])
        elif record["kind"] == "intent":
            self._parts[symbol, record["close"]] = record["part"] + 1
            self._last_close = max(self._last_close, record["close"])
            self._sent[record["link_id"]] = record["at"]
            self._unknown[record["link_id"]] = MarketOrder(
                instrument=self._instruments[symbol],
                side=record["side"],
                quantity=Decimal(record["quantity"]),
                link_id=record["link_id"],
                reduce_only=record["reduce_only"],
            )
        else:
            if record["status"] != "unknown":
                self._unknown.pop(record["link_id"], None)
            self._expected[symbol] += Decimal(record["filled"])

    def _compare(self, symbol: str) -> None:
        instrument = self._instruments[symbol]
        foreign = []
        for placed in self._client.open_orders(instrument):
            if not placed.link_id.startswith(f"{_PREFIX}{self._run}-"):
                foreign.append(placed)
        if foreign and not self._adopt:
            raise NotReconciled(
                f"{symbol} has {len(foreign)} open order(s) that this run did not send, the first "
                f"{foreign[0].side} {foreign[0].quantity}; cancel them on the exchange, or pass --adopt to let this "
                "run cancel them"
            )
        self._client.cancel_all(instrument)
        held, expected = self._client.position(instrument).size, self._expected[symbol]
        if held == expected:
            return
        if not self._adopt:
            raise NotReconciled(
                f"the position in {symbol} is {held}, by the journal it should be {expected}; close it on the "
                "exchange, or pass --adopt to let this run take it over"
            )
        self._adopt_position(symbol, held)

    # Bar by bar -----------------------------------------------------------------------------------------------

    def follow(self, record: Mapping[str, Any]) -> None:
        """Bring the account to the positions that a bar's record wants."""
        self._last_close = int(record["time"])
        prices = {decision["symbol"]: decision["close"] for decision in record["decisions"]}
        try:
            for symbol, wanted in record["wanted"].items():
                if not self._kill.on and prices.get(symbol):
                    self._follow_symbol(symbol, Decimal(repr(wanted)), Decimal(repr(prices[symbol])))
            if self._floor is not None and not self._kill.on and self._client.equity() <= self._floor:
                self._kill.trip(f"real equity at or below {self._floor:,.2f}")
        except ExchangeError as error:
            # The level is asked for again on the next bar; nothing is half done, for every order has its outcome.
            self._status.say(f"real orders: {error}")

    def _follow_symbol(self, symbol: str, wanted: Decimal, price: Decimal) -> None:
        instrument = self._instruments[symbol]
        for order in [o for o in self._unknown.values() if o.instrument.symbol == symbol]:
            self._settle(order)
        held = self._client.position(instrument).size
        if held != self._expected[symbol]:
            self._kill.trip(f"the position in {symbol} is {held}, expected {self._expected[symbol]}")
            return
        for _ in range(2):
            plan = plan_order(wanted, self._expected[symbol], price, instrument, self._caps)
            if isinstance(plan, Skip):
                if plan.reason != "reached":
                    self.skipped[plan.reason] = self.skipped.get(plan.reason, 0) + 1
                    self._journal.append("skip", close=self._last_close, symbol=symbol, reason=plan.reason)
                return
            closed = plan.reduce_only and plan.size == -self._expected[symbol]
            if not self._send(symbol, plan) or not closed or self._expected[symbol]:
                return

    def _send(self, symbol: str, plan: Plan) -> bool:
        """Send one order; return whether all of it was filled."""
        part = self._parts.get((symbol, self._last_close), 0)
        self._parts[symbol, self._last_close] = part + 1
        order = MarketOrder(
            instrument=self._instruments[symbol],
            side="buy" if plan.size > 0 else "sell",
            quantity=abs(plan.size),
            link_id=link_id(self._run, self._last_close, symbol, part),
            reduce_only=plan.reduce_only,
        )
        self._sent[order.link_id] = _wall_ms()
        self._journal.append(
            "intent",
            at=self._sent[order.link_id],
            close=self._last_close,
            part=part,
            symbol=symbol,
            side=order.side,
            quantity=str(order.quantity),
            reduce_only=order.reduce_only,
            link_id=order.link_id,
        )
        try:
            state = self._client.create(order)
        except OrderRejected as error:
            self._note(order, "refused", _ZERO, reason=str(error), code=error.code)
            return False
        except OrderUnknown as error:
            self._unknown[order.link_id] = order
            self._note(order, "unknown", _ZERO, reason=str(error))
            return False
        except ExchangeError as error:
            self._note(order, "refused", _ZERO, reason=str(error))
            raise
        return self._take(order, state)

    def _settle(self, order: MarketOrder) -> None:
        age = (_wall_ms() - self._sent[order.link_id]) / 1000.0
        state = self._client.settle(order, time.monotonic() - max(age, 0.0))
        if state is not None:
            self._take(order, state)
            return
        self._unknown.pop(order.link_id)
        self._note(order, "absent", _ZERO)

    def _take(self, order: MarketOrder, state: OrderState) -> bool:
        if not state.final:
            self._unknown[order.link_id] = order
            self._note(order, "unknown", _ZERO, reason=f"still {state.status}")
            return False
        self._unknown.pop(order.link_id, None)
        filled = state.filled if order.side == "buy" else -state.filled
        self._expected[order.instrument.symbol] += filled
        price = None if state.price is None else str(state.price)
        self._note(order, state.status, filled, price=price, fee=str(state.fee), order_id=state.order_id)
        return state.filled == order.quantity

    def _note(self, order: MarketOrder, status: str, filled: Decimal, **more: Any) -> None:
        self._journal.append(
            "outcome",
            at=_wall_ms(),
            symbol=order.instrument.symbol,
            link_id=order.link_id,
            status=status,
            filled=str(filled),
            **more,
        )
        price = f" at {more['price']}" if more.get("price") else ""
        reason = f": {more['reason']}" if more.get("reason") else ""
        text = f"real {order.side} {order.quantity} {order.instrument.symbol}  {status} {filled:+f}{price}{reason}"
        self._status.say(text)

    # At the end -----------------------------------------------------------------------------------------------

    def halt(self, flatten: bool) -> None:
        """Cancel the open orders and, if `flatten`, close the positions by reduce-only orders."""
        for symbol, instrument in self._instruments.items():
            try:
                self._client.cancel_all(instrument)
                if flatten:
                    self._flatten(symbol, instrument)
            except ExchangeError as error:
                self._status.say(f"real orders: {symbol} could not be halted, look at the exchange: {error}")

    def _flatten(self, symbol: str, instrument: Instrument) -> None:
        for _ in range(3):
            held = self._client.position(instrument).size
            if not held:
                return
            if held != self._expected[symbol]:
                self._adopt_position(symbol, held)
            self._send(symbol, Plan(-held, reduce_only=True))
        self._status.say(f"real orders: {symbol} could not be closed in full, look at the exchange")

    def _adopt_position(self, symbol: str, held: Decimal) -> None:
        self._journal.append("adopted", at=_wall_ms(), symbol=symbol, size=str(held))
        self._expected[symbol] = held


def _told(positions: Mapping[str, Decimal]) -> str:
    pairs: Iterable[str] = (f"{symbol} {size:+f}" for symbol, size in positions.items())
    return ", ".join(pairs)


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
