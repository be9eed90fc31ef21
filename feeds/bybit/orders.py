"""Market orders on Bybit, executed at most once even if the response to a create request is lost.

Every order has a link id, which the exchange accepts only once. Three kinds of evidence are kept apart. *Taken*: the
exchange has confirmed the create request, or has called the link id a duplicate, or has shown the order; such an order
exists for good, even if lookups run behind. *Possible*: a create request may have arrived. *Refused*: the answer to
the only request that arrived was an error. A lookup that fails, or that shows nothing too early, is no evidence.
"""

import enum
import math
from dataclasses import dataclass
from decimal import Decimal

from scorenet.base.error_line import error_line

from ..errors import ExchangeBanned, ExchangeError, ExchangeRejected, ExchangeUnavailable
from ..exchange.ccxt_clients import ClientError, evidence_of
from ..exchange.failures import Failure, Malformed, classify
from ..exchange.order_types import (
    Execution,
    HeldPosition,
    Interrupted,
    MarketOrder,
    NothingToReduce,
    OrderRejected,
    OrdersForbidden,
    OrderState,
    OrderUnknown,
    PlacedOrder,
)
from ..exchange.retry import Attempts, reset_of
from ..instruments import Instrument
from . import answers
from .account import AccountReader
from .order_timeouts import OrderTimeouts
from .order_wire import (
    CLOCK,
    DUPLICATE,
    FORBIDDEN,
    NOT_MODIFIED,
    NOTHING_TO_REDUCE,
    describe,
    market_of,
    order_body,
)
from .wire import FAILURE_RULES

__all__ = [
    "HeldPosition",
    "MarketOrder",
    "OrderClient",
    "OrderRejected",
    "OrderState",
    "OrderTimeouts",
    "OrderUnknown",
    "PlacedOrder",
]


class _Proof(enum.Enum):
    """What the answer to one create request proves."""

    TAKEN = enum.auto()
    POSSIBLE = enum.auto()
    NOT_TAKEN = enum.auto()
    THROTTLED = enum.auto()


@dataclass
class _Evidence:
    """What is known about an order: whether one of its create requests may have been accepted."""

    possible: bool = False


class OrderClient(AccountReader):
    """Client for the orders of one Bybit account; use it as a context manager, or call `close`.

    `access` must have credentials. No message, `repr` or log of this package shows them. After a ban no request is sent
    for `timeouts.ban` seconds; a `limiter` shared with other clients stays closed.

    Raises:
        ValueError: `access` has no credentials.
        UnreadableAnswer: the answers stay invalid (any method).
        Interrupted: the caller asked to stop (any method, see `listen`).
        ExchangeUnavailable, ExchangeBanned, ExchangeRejected: as in `feeds.bybit.market.Bybit` (any method).
    """

    def create(self, order: MarketOrder) -> OrderState:
        """Send an order exactly once and return its state, which is `final` unless the fill takes too long.

        A request whose answer is lost is repeated with the same link id, after the first one can no longer arrive.

        Raises:
            OrderRejected: the exchange rejected the order, or it never arrived.
            OrdersForbidden: the key or the account may send no order at all.
            OrderUnknown: the order exists or may exist; call `settle` later.
        """
        evidence = _Evidence()
        try:
            return self._create(order, evidence)
        except (OrderRejected, OrderUnknown):
            raise
        except ExchangeError as error:
            if evidence.possible:
                raise OrderUnknown(f"{describe(order)} may exist: {error}") from error
            raise

    def _create(self, order: MarketOrder, evidence: "_Evidence") -> OrderState:
        timeouts, failed = self._timeouts, "the time for it is over"
        deadline = timeouts.monotonic() + timeouts.create
        for attempt in range(timeouts.attempts):
            self._repeat("the time", self._sync_clock)
            sent = timeouts.monotonic()
            if attempt and sent >= deadline:
                break
            try:
                answer = self._client.private_post_v5_order_create(order_body(order))
                answers.created(answer["result"], order)
            except (ClientError, Malformed) as error:
                failed, proof = error_line(error), self._proof(error, order, evidence)
                if proof is _Proof.THROTTLED:
                    self._throttled(error, attempt, order, deadline)
            else:
                proof = _Proof.TAKEN
            if proof is _Proof.TAKEN:
                return self._wait_until_final(order)
            if proof is _Proof.POSSIBLE:
                evidence.possible = True
                found = self._search(order, sent + timeouts.window + timeouts.margin)
                if found is not None:
                    return self._wait_until_final(order, found)
        if evidence.possible:
            raise OrderUnknown(f"{describe(order)} may exist; every answer to it was lost: {failed}")
        raise OrderRejected(f"{describe(order)} was not accepted in {timeouts.attempts} attempts: {failed}")

    def _proof(self, error: Exception, order: MarketOrder, before: "_Evidence") -> "_Proof":
        """Return what the failure of a create request proves, or raise if it settles the matter."""
        evidence = evidence_of(error)
        code = evidence.code if evidence.status == 200 else None
        failure = classify(error, evidence, FAILURE_RULES)
        if code in DUPLICATE:
            return _Proof.TAKEN  # by an earlier attempt
        if failure is Failure.BANNED:
            self._record_ban(error, order)
        if code == CLOCK:
            self._synced = False
            return _Proof.NOT_TAKEN
        if code and failure is Failure.THROTTLED:
            return _Proof.THROTTLED
        if not code or failure is not Failure.FATAL:
            return _Proof.POSSIBLE
        text = f"bybit rejected {describe(order)}: {error_line(error)}"
        if before.possible:
            # An earlier request may have been executed, and have used the balance that this one lacks.
            raise OrderUnknown(f"{text}; but an earlier request may have been accepted") from error
        if code in FORBIDDEN:
            raise OrdersForbidden(f"{text} ({FORBIDDEN[code]})", code) from error
        kind = NothingToReduce if code == NOTHING_TO_REDUCE and order.reduce_only else OrderRejected
        raise kind(text, code) from error

    def _throttled(self, error: Exception, attempt: int, order: MarketOrder, deadline: float) -> None:
        """Wait for the next window of the rate limit.

        Raises:
            ExchangeUnavailable: it begins after the deadline.
        """
        reset = reset_of(evidence_of(error), self._retry.clock, FAILURE_RULES)
        delay = self._retry.delay(attempt, Failure.THROTTLED, reset)
        if self._timeouts.monotonic() + delay > deadline:
            raise ExchangeUnavailable(
                f"bybit: too many requests; {describe(order)} would have to wait {delay:.0f} s"
            ) from error
        self._pause(delay)

    def _search(self, order: MarketOrder, until: float) -> OrderState | None:
        """Look an order up until it is found; None if no lookup that began after `until` (monotonic) shows it."""
        while True:
            # The time is read before the lookup: only a lookup that began after `until` says something about it.
            over = self._timeouts.monotonic() >= until
            found = self.find(order)
            if found is not None or over:
                return found
            self._pause(self._timeouts.pause)

    def settle(self, order: MarketOrder, sent: float = -math.inf, taken: bool = False) -> OrderState | None:
        """Return the state of an order that was sent at `sent` (monotonic seconds), None if it does not exist.

        Raises:
            OrderUnknown: the lookup failed, or no lookup shows the order and it is too early to believe that.
        """
        certain = self._timeouts.monotonic() >= sent + self._timeouts.certain
        try:
            found = self.find(order)
            if found is None and (taken or certain):
                fills = self.executions(order.instrument, order.link_id)
                found = _filled(order, fills)
                taken = taken or bool(fills)
        except ExchangeError as error:
            raise OrderUnknown(f"{describe(order)}: the lookup failed: {error}", taken) from error
        if found is not None:
            return self._wait_until_final(order, found)
        if taken:
            raise OrderUnknown(f"{describe(order)} was accepted, but the exchange does not show it yet", True)
        if not certain:
            raise OrderUnknown(f"{describe(order)} may exist, and the exchange may show it late")
        return None

    def cancel_all(self, instrument: Instrument) -> None:
        """Cancel the open orders of an instrument; a repeated call does no harm."""

        def request() -> None:
            answers.cancelled(self._client.private_post_v5_order_cancel_all(market_of(instrument))["result"])

        self._send_signed(f"a cancellation of {instrument.symbol} orders", request)

    def set_leverage(self, instrument: Instrument, leverage: Decimal) -> None:
        """Set the leverage of an instrument for long and short positions."""
        text = format(leverage.normalize(), "f")
        body = {**market_of(instrument), "buyLeverage": text, "sellLeverage": text}
        try:
            self._send_signed(
                f"a leverage of {text} for {instrument.symbol}",
                lambda: self._client.private_post_v5_position_set_leverage(body),
            )
        except ExchangeRejected as error:
            if evidence_of(error.__cause__ or error).code != NOT_MODIFIED:
                raise

    def _wait_until_final(self, order: MarketOrder, state: OrderState | None = None) -> OrderState:
        """Return the state of an order that exists, after it cannot change any more or after the longest wait."""
        timeouts = self._timeouts
        deadline = timeouts.monotonic() + timeouts.fill
        try:
            while state is None or not state.final:
                state = self.find(order) or state
                if (state is not None and state.final) or timeouts.monotonic() >= deadline:
                    break
                self._pause(timeouts.pause)
        except Interrupted as error:
            raise OrderUnknown(f"{describe(order)} was accepted; {error}", True) from error
        except ExchangeError as error:
            raise OrderUnknown(
                f"{describe(order)} was accepted, but the lookup failed: {error}", True
            ) from error
        if state is None:
            raise OrderUnknown(f"{describe(order)} was accepted, but the exchange does not show it yet", True)
        return state

    def _record_ban(self, error: Exception, order: MarketOrder) -> None:
        """Record the ban and raise OrderUnknown: after a ban not even a lookup of the order may be sent."""
        try:
            Attempts(self._retry, self._limiter, FAILURE_RULES, "orders").wait_after(
                error, evidence_of(error)
            )
        except ExchangeBanned as ban:
            self._banned = self._timeouts.monotonic()
            raise OrderUnknown(f"{describe(order)}: {ban}") from error


def _filled(order: MarketOrder, fills: list[Execution]) -> OrderState | None:
    """Return the state of an order whose fills add up to its whole quantity."""
    size = sum((fill.size for fill in fills), Decimal(0))
    if size != (order.quantity if order.side == "buy" else -order.quantity):
        return None
    fees = [fill.fee for fill in fills if fill.fee is not None]
    return OrderState(
        link_id=order.link_id,
        order_id=fills[0].order_id,
        status="Filled",
        filled=order.quantity,
        price=sum((fill.price * abs(fill.size) for fill in fills), Decimal(0)) / order.quantity,
        fee=sum(fees, Decimal(0)) if len(fees) == len(fills) else None,
        final=True,
    )
