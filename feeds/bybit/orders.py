"""Market orders on Bybit, executed at most once even if the response to a create request is lost.

Every order has a link id, which the exchange accepts only once. If the response to a create request is lost, the order
is looked up by its link id until it is found, or until it is certain that it does not exist. Only in the second case is
it sent again, with the same id. Read requests are retried as everywhere else.
"""

import logging
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Self, TypeVar

from scorenet.base.error_line import error_line

from ..errors import ExchangeBanned, ExchangeError, ExchangeRejected
from ..exchange.access import Access
from ..exchange.ccxt_clients import ClientError, SyncClient, evidence_of, make_client
from ..exchange.failures import Failure, Malformed, classify, reset_delay
from ..exchange.order_types import (
    HeldPosition,
    MarketOrder,
    OrderRejected,
    OrderState,
    OrderUnknown,
    PlacedOrder,
)
from ..exchange.rate_limit import RateLimiter
from ..exchange.retry import Attempts, Retry
from ..instruments import Instrument
from .order_timeouts import OrderTimeouts
from .order_wire import FINAL, market_of, number, order_body, order_state
from .wire import CCXT_RULES, FAILURE_RULES, REQUESTS_PER_SECOND

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

_Result = TypeVar("_Result")
_Rows = list[dict[str, Any]]

_SILENT = logging.Logger("feeds.bybit.orders.silent")
_SILENT.disabled = True
_DUPLICATE = 110072
_NOT_MODIFIED = 110043
_CLOCK = 10002
_KEY_ERRORS = {
    10003: "the key is unknown here; a testnet key works on the testnet only",
    10004: "the signature is wrong: the secret does not belong to the key",
    10005: "the key lacks the permission to trade contracts",
    10007: "the account is not authenticated",
    10010: "the key does not allow requests from this IP address",
    33004: "the key has expired",
}


class OrderClient:
    """Client for the orders of one Bybit account; use it as a context manager, or call `close`.

    `access` must have credentials. No message, `repr` or log of this package shows them. After a ban no request is sent
    for `timeouts.ban` seconds; a `limiter` shared with other clients stays closed.

    Raises:
        ValueError: `access` has no credentials.
        ExchangeUnavailable, ExchangeBanned, ExchangeRejected: as in `feeds.bybit.market.Bybit` (any method).
    """

    def __init__(
        self,
        access: Access,
        *,
        limiter: RateLimiter | None = None,
        retry: Retry | None = None,
        timeouts: OrderTimeouts | None = None,
    ) -> None:
        if access.credentials is None:
            raise ValueError(
                "expected Access with credentials, found none; pass credentials=Credentials(key, secret)"
            )
        self._limiter, self._shares_limiter = limiter or _own_limiter(), limiter is not None
        self._banned = -math.inf
        self._client = make_client(SyncClient, CCXT_RULES, access, self._limiter)
        # ccxt logs its request headers, which contain the key and the signature.
        self._client.logger = _SILENT
        self._retry = retry or Retry(attempts=4, budget=20.0)
        self._timeouts = timeouts or OrderTimeouts()
        self._client.options["recvWindow"] = int(self._timeouts.window * 1000)
        self._synced = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    # Reading --------------------------------------------------------------------------------------------------

    def equity(self) -> Decimal:
        """Return the account's equity in USDT, including unrealised profit and loss."""

        def parse(rows: _Rows) -> Decimal:
            coins = [coin for row in rows for coin in row.get("coin", []) if coin.get("coin") == "USDT"]
            return number(coins[0], "equity") if coins else Decimal(0)

        return self._read("the balance", "account_wallet_balance", {"accountType": "UNIFIED"}, parse)

    def position(self, instrument: Instrument) -> HeldPosition:
        """Return the position in an instrument; size 0 without a position.

        Raises:
            ExchangeRejected: the account is in hedge mode (separate long and short positions).
        """

        def parse(rows: _Rows) -> HeldPosition:
            if any(str(row.get("positionIdx") or 0) != "0" for row in rows):
                raise ExchangeRejected(
                    f"the account is in hedge mode for {instrument.symbol}; "
                    "switch it to one-way mode on the exchange"
                )
            for row in rows:
                if row.get("symbol") == instrument.id and (size := number(row, "size")):
                    signed = size if row.get("side") == "Buy" else -size
                    return HeldPosition(size=signed, price=number(row, "avgPrice"))
            return HeldPosition(size=Decimal(0), price=Decimal(0))

        what = f"the position in {instrument.symbol}"
        return self._read(what, "position_list", market_of(instrument), parse)

    def open_orders(self, instrument: Instrument) -> list[PlacedOrder]:
        """Return the open orders of an instrument, at most the newest 50."""

        def parse(rows: _Rows) -> list[PlacedOrder]:
            return [
                PlacedOrder(
                    order_id=str(row.get("orderId")),
                    link_id=str(row.get("orderLinkId") or ""),
                    side=str(row.get("side", "")).lower(),
                    quantity=number(row, "qty"),
                )
                for row in rows
                if row.get("orderStatus") not in FINAL
            ]

        query = {**market_of(instrument), "openOnly": 0, "limit": 50}
        return self._read(f"the orders of {instrument.symbol}", "order_realtime", query, parse)

    def find(self, instrument: Instrument, link_id: str) -> OrderState | None:
        """Return the state of an order, None if the exchange has no order with this link id."""

        def parse(rows: _Rows) -> OrderState | None:
            return next((order_state(row) for row in rows if row.get("orderLinkId") == link_id), None)

        query = {**market_of(instrument), "orderLinkId": link_id}
        for endpoint in ("order_realtime", "order_history"):
            found = self._read(f"the order {link_id}", endpoint, query, parse)
            if found is not None:
                return found
        return None

    # Writing --------------------------------------------------------------------------------------------------

    def create(self, order: MarketOrder) -> OrderState:
        """Send an order exactly once and return its state, which is `final` unless the fill takes too long.

        Raises:
            OrderRejected: the exchange rejected the order, or it is certain that the order never arrived.
            OrderUnknown: it is not known whether the order exists; call `settle` later.
        """
        timeouts, failed = self._timeouts, ""
        for attempt in range(timeouts.attempts):
            self._retry_request("the time", self._sync_clock)
            sent = timeouts.monotonic()
            try:
                self._client.private_post_v5_order_create(order_body(order))
            except ClientError as error:
                failed, evidence = error_line(error), evidence_of(error)
                code = evidence.code if evidence.status == 200 else None
                failure = classify(error, evidence, FAILURE_RULES)
                if code == _DUPLICATE:
                    # An earlier attempt has created the order.
                    return self._wait_until_final(order)
                if failure is Failure.BANNED:
                    self._record_ban(error, order)
                elif code == _CLOCK:
                    self._synced = False
                elif code is not None and failure is Failure.FATAL:
                    raise OrderRejected(f"bybit rejected {_describe(order)}: {failed}", code) from error
                elif code is not None and failure is Failure.THROTTLED:
                    reset = reset_delay(evidence.headers, self._retry.clock(), FAILURE_RULES)
                    timeouts.sleep(self._retry.delay(attempt, failure, reset))
                elif (found := self.settle(order, sent)) is not None:
                    return found
            else:
                return self._wait_until_final(order)
        raise OrderRejected(
            f"{_describe(order)} was not acknowledged in {timeouts.attempts} attempts: {failed}"
        )

    def settle(self, order: MarketOrder, sent: float = -math.inf) -> OrderState | None:
        """Return the state of an order that was sent at `sent` (monotonic seconds), None if it never arrived.

        Raises:
            OrderUnknown: the lookup failed.
        """
        timeouts = self._timeouts
        certain = sent + timeouts.window + timeouts.margin
        while True:
            # The time is read before the lookup: only a lookup that began after `certain` proves that no order exists.
            over = timeouts.monotonic() >= certain
            try:
                found = self.find(order.instrument, order.link_id)
            except ExchangeError as error:
                raise OrderUnknown(
                    f"{_describe(order)}: the response was lost, and the lookup failed: {error}"
                ) from error
            if found is not None:
                return self._wait_until_final(order, found)
            if over:
                return None
            timeouts.sleep(timeouts.pause)

    def cancel_all(self, instrument: Instrument) -> None:
        """Cancel the open orders of an instrument; a repeated call does no harm."""
        self._send_signed(
            f"a cancellation of {instrument.symbol} orders",
            lambda: self._client.private_post_v5_order_cancel_all(market_of(instrument)),
        )

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
            if evidence_of(error.__cause__ or error).code != _NOT_MODIFIED:
                raise

    def _wait_until_final(self, order: MarketOrder, state: OrderState | None = None) -> OrderState:
        timeouts = self._timeouts
        deadline = timeouts.monotonic() + timeouts.fill
        while state is None or not state.final:
            try:
                state = self.find(order.instrument, order.link_id) or state
            except ExchangeError as error:
                raise OrderUnknown(
                    f"{_describe(order)} was acknowledged, but the lookup failed: {error}"
                ) from error
            if timeouts.monotonic() >= deadline:
                break
            timeouts.sleep(0.0 if state is not None and state.final else timeouts.pause)
        if state is None:
            raise OrderUnknown(f"{_describe(order)} was acknowledged, but the exchange does not show it yet")
        return state

    def _record_ban(self, error: Exception, order: MarketOrder) -> None:
        """Record the ban and raise OrderUnknown: after a ban not even a lookup of the order may be sent."""
        try:
            Attempts(self._retry, self._limiter, FAILURE_RULES, "orders").wait_after(
                error, evidence_of(error)
            )
        except ExchangeBanned as ban:
            self._banned = self._timeouts.monotonic()
            raise OrderUnknown(f"{_describe(order)}: {ban}") from error

    def _admit(self) -> None:
        """Raise ExchangeBanned during a ban; reopen our own limiter after it."""
        over = self._timeouts.monotonic() - self._banned >= self._timeouts.ban
        if self._limiter.ban is not None and over and not self._shares_limiter:
            self._limiter = self._client.limiter = _own_limiter()
        self._limiter.check()

    def _sync_clock(self) -> None:
        if not self._synced:
            self._client.load_time_difference()
            self._synced = True

    def _read(
        self, what: str, endpoint: str, query: Mapping[str, Any], parse: Callable[[_Rows], _Result]
    ) -> _Result:
        def request() -> _Result:
            answer = getattr(self._client, f"private_get_v5_{endpoint}")(dict(query))
            rows = answer["result"].get("list")
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise Malformed(f"expected a list of rows, found {str(rows)[:80]!r}")
            return parse(rows)

        return self._send_signed(what, request)

    def _send_signed(self, what: str, request: Callable[[], _Result]) -> _Result:
        """Return `request()`, signed with the exchange's time; only for requests that may be repeated safely."""

        def signed() -> _Result:
            self._sync_clock()
            return request()

        return self._retry_request(what, signed)

    def _retry_request(self, what: str, request: Callable[[], _Result]) -> _Result:
        self._admit()
        attempts = Attempts(self._retry, self._limiter, FAILURE_RULES, what)
        while True:
            self._limiter.check()
            try:
                return request()
            except (ClientError, Malformed) as error:
                evidence = evidence_of(error)
                if evidence.code in _KEY_ERRORS:
                    raise ExchangeRejected(
                        f"bybit rejected the API key (retCode {evidence.code}): {_KEY_ERRORS[evidence.code]}"
                    ) from error
                try:
                    delay = attempts.wait_after(error, evidence)
                except ExchangeBanned:
                    self._banned = self._timeouts.monotonic()
                    raise
                if evidence.code == _CLOCK:
                    self._synced, delay = False, 0.0
            self._retry.sleep(delay)


def _own_limiter() -> RateLimiter:
    return RateLimiter(REQUESTS_PER_SECOND)


def _describe(order: MarketOrder) -> str:
    return f"{order.side} {order.quantity} {order.instrument.symbol} ({order.link_id})"
