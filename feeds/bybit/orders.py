"""Orders on the exchange: market orders that are sent once, whatever happens to the answer.

Every order carries an id that the exchange accepts once. When the answer to a create is lost, the order is looked up
by that id until it is found, or until it is certain that it does not exist; only then is it sent again, under the same
id. Reading is retried as everywhere else.
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
from .exchange import REQUESTS_PER_SECOND
from .order_wire import FINAL, market_of, number, order_body, order_state
from .patience import Patience
from .wire import CCXT_RULES, FAILURE_RULES

__all__ = [
    "HeldPosition",
    "MarketOrder",
    "OrderClient",
    "OrderRejected",
    "OrderState",
    "OrderUnknown",
    "Patience",
    "PlacedOrder",
]

_Result = TypeVar("_Result")
_Rows = list[dict[str, Any]]

_SILENT = logging.Logger("feeds.bybit.orders.silent")
_SILENT.disabled = True
_DUPLICATE = 110072
_NOT_MODIFIED = 110043
_CLOCK = 10002
_KEY = {
    10003: "there is no such key here, and a testnet key works on the testnet only",
    10004: "the signature is wrong: the secret is not that of the key",
    10005: "the key may not do this: it needs the permission to trade contracts",
    10007: "the account is not authenticated",
    10010: "the key is bound to other addresses than this one",
    33004: "the key has expired",
}


class OrderClient:
    """Trade one account of Bybit; use as a context manager, or `close` it.

    `access` carries the credentials. They are in no message, `repr` or log of this package. After a ban nothing is
    sent for `patience.ban` seconds; a `limiter` that others share stays closed.

    Raises:
        ExchangeUnavailable, ExchangeBanned, ExchangeRejected: as `feeds.bybit.market.Bybit`, by any method.
    """

    def __init__(
        self,
        access: Access,
        *,
        limiter: RateLimiter | None = None,
        retry: Retry | None = None,
        patience: Patience | None = None,
    ) -> None:
        if access.credentials is None:
            raise ValueError("orders need credentials")
        self._limiter, self._shares_limiter = limiter or _own_limiter(), limiter is not None
        self._banned = -math.inf
        self._client = make_client(SyncClient, CCXT_RULES, access, self._limiter)
        # ccxt logs the headers of its requests, key and signature among them.
        self._client.logger = _SILENT
        self._retry = retry or Retry(attempts=4, budget=20.0)
        self._patience = patience or Patience()
        self._client.options["recvWindow"] = int(self._patience.window * 1000)
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
        """Return the account's equity in USDT, unrealised gains included."""

        def parse(rows: _Rows) -> Decimal:
            coins = [coin for row in rows for coin in row.get("coin", []) if coin.get("coin") == "USDT"]
            return number(coins[0], "equity") if coins else Decimal(0)

        return self._read("the balance", "account_wallet_balance", {"accountType": "UNIFIED"}, parse)

    def position(self, instrument: Instrument) -> HeldPosition:
        """Return the position in an instrument; none is size 0.

        Raises:
            ExchangeRejected: the account holds longs and shorts apart (hedge mode).
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
        """Return the orders in the book of an instrument, the newest 50."""

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
        """Return what became of an order, None when the exchange knows of none."""

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
        """Send an order once and return what became of it, `final` unless the exchange is still at it.

        Raises:
            OrderRejected: it was refused, or it is certain that it never arrived.
            OrderUnknown: neither its existence nor its absence could be established; ask `settle` later.
        """
        patience, failed = self._patience, ""
        for attempt in range(patience.attempts):
            self._repeat("the time", self._sync_clock)
            sent = patience.monotonic()
            try:
                self._client.private_post_v5_order_create(order_body(order))
            except ClientError as error:
                failed, evidence = error_line(error), evidence_of(error)
                code = evidence.code if evidence.status == 200 else None
                failure = classify(error, evidence, FAILURE_RULES)
                if code == _DUPLICATE:
                    # It is the order of an earlier attempt: the exchange has it already.
                    return self._await_end(order)
                if failure is Failure.BANNED:
                    self._stop_asking(error, order)
                elif code == _CLOCK:
                    self._synced = False
                elif code is not None and failure is Failure.FATAL:
                    raise OrderRejected(f"bybit refuses {_words(order)}: {failed}", code) from error
                elif code is not None and failure is Failure.THROTTLED:
                    reset = reset_delay(evidence.headers, self._retry.clock(), FAILURE_RULES)
                    patience.sleep(self._retry.delay(attempt, failure, reset))
                elif (found := self.settle(order, sent)) is not None:
                    return found
            else:
                return self._await_end(order)
        raise OrderRejected(f"{_words(order)} was not taken in {patience.attempts} attempts: {failed}")

    def settle(self, order: MarketOrder, sent: float = -math.inf) -> OrderState | None:
        """Return what became of an order that was sent at `sent` (monotonic seconds), None if it never arrived.

        Raises:
            OrderUnknown: the exchange does not say.
        """
        patience = self._patience
        certain = sent + patience.window + patience.margin
        while True:
            # Asked before the lookup: what is not found by a lookup begun after this moment does not exist.
            over = patience.monotonic() >= certain
            try:
                found = self.find(order.instrument, order.link_id)
            except ExchangeError as error:
                raise OrderUnknown(
                    f"{_words(order)}: the answer was lost, and looking it up fails: {error}"
                ) from error
            if found is not None:
                return self._await_end(order, found)
            if over:
                return None
            patience.sleep(patience.pause)

    def cancel_all(self, instrument: Instrument) -> None:
        """Cancel the orders in the book of an instrument; done twice it does no harm."""
        self._ask(
            f"a cancel of {instrument.symbol}",
            lambda: self._client.private_post_v5_order_cancel_all(market_of(instrument)),
        )

    def set_leverage(self, instrument: Instrument, leverage: Decimal) -> None:
        """Set the leverage of an instrument, on both sides."""
        text = format(leverage.normalize(), "f")
        body = {**market_of(instrument), "buyLeverage": text, "sellLeverage": text}
        try:
            self._ask(
                f"a leverage of {text} for {instrument.symbol}",
                lambda: self._client.private_post_v5_position_set_leverage(body),
            )
        except ExchangeRejected as error:
            if evidence_of(error.__cause__ or error).code != _NOT_MODIFIED:
                raise

    def _await_end(self, order: MarketOrder, state: OrderState | None = None) -> OrderState:
        patience = self._patience
        deadline = patience.monotonic() + patience.fill
        while state is None or not state.final:
            try:
                state = self.find(order.instrument, order.link_id) or state
            except ExchangeError as error:
                raise OrderUnknown(f"{_words(order)} was taken, and looking it up fails: {error}") from error
            if patience.monotonic() >= deadline:
                break
            patience.sleep(0.0 if state is not None and state.final else patience.pause)
        if state is None:
            raise OrderUnknown(f"{_words(order)} was taken, but the exchange does not show it yet")
        return state

    def _stop_asking(self, error: Exception, order: MarketOrder) -> None:
        """Send nothing more: an order that met a ban may not even be looked up."""
        try:
            Attempts(self._retry, self._limiter, FAILURE_RULES, "orders").wait_after(
                error, evidence_of(error)
            )
        except ExchangeBanned as ban:
            self._banned = self._patience.monotonic()
            raise OrderUnknown(f"{_words(order)}: {ban}") from error

    def _admit(self) -> None:
        """Let a request through unless a ban holds."""
        over = self._patience.monotonic() - self._banned >= self._patience.ban
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
        def ask() -> _Result:
            answer = getattr(self._client, f"private_get_v5_{endpoint}")(dict(query))
            rows = answer["result"].get("list")
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise Malformed(f"expected a list of rows, found {str(rows)[:80]!r}")
            return parse(rows)

        return self._ask(what, ask)

    def _ask(self, what: str, request: Callable[[], _Result]) -> _Result:
        """Return `request()`, signed by the exchange's clock; it must be one that does no harm when repeated."""

        def signed() -> _Result:
            self._sync_clock()
            return request()

        return self._repeat(what, signed)

    def _repeat(self, what: str, request: Callable[[], _Result]) -> _Result:
        self._admit()
        attempts = Attempts(self._retry, self._limiter, FAILURE_RULES, what)
        while True:
            self._limiter.check()
            try:
                return request()
            except (ClientError, Malformed) as error:
                evidence = evidence_of(error)
                if evidence.code in _KEY:
                    raise ExchangeRejected(
                        f"bybit refuses the API key (retCode {evidence.code}): {_KEY[evidence.code]}"
                    ) from error
                try:
                    delay = attempts.wait_after(error, evidence)
                except ExchangeBanned:
                    self._banned = self._patience.monotonic()
                    raise
                if evidence.code == _CLOCK:
                    self._synced, delay = False, 0.0
            self._retry.sleep(delay)


def _own_limiter() -> RateLimiter:
    return RateLimiter(REQUESTS_PER_SECOND)


def _words(order: MarketOrder) -> str:
    return f"{order.side} {order.quantity} {order.instrument.symbol} ({order.link_id})"
