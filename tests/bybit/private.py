"""The private side of the loopback exchange: one unified account that trades linear perpetuals at the market.

Requests must be signed as the exchange demands. Market orders fill at once at the market's price of the exchange's
time, for a taker's fee; quantities, margins, reduce-only and the uniqueness of orderLinkId are checked as documented.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from typing import Any, Protocol

import numpy as np

from tests.bybit import market
from tests.bybit.market import Listing
from tests.bybit.rules import Refused

__all__ = ["PRIVATE", "Account", "Deposit", "Signed", "check_signature"]

_ZERO = Decimal(0)
_FEE = Decimal("0.00055")
_LEVERAGE = Decimal(10)


class Exchange(Protocol):
    """The state that the private rules read."""

    listings: list[Listing]
    account: Account

    def now(self) -> int: ...


@dataclass(frozen=True)
class Deposit:
    """The initial state of an account: an API key and USDT."""

    key: str = "loopback-key"
    secret: str = "loopback-secret"  # noqa: S105 - a key of the loopback exchange alone
    balance: Decimal = Decimal(10_000)


@dataclass
class Holding:
    """A position: signed base units and its average price."""

    size: Decimal = _ZERO
    price: Decimal = _ZERO


@dataclass
class Account:
    """One unified account; tests configure its faults.

    `fill_share` is the part of each order that the market takes, the rest is cancelled. `hidden_lookups` is how many
    lookups by link id find nothing although the order exists, `killed` makes the exchange cancel each order unfilled.
    With `queues`, a market order stays open and unfilled until `work` is called.
    Orders, executions and positions are shown `lag` seconds of `clock` after they have changed.
    """

    deposit: Deposit = field(default_factory=Deposit)
    fill_share: Decimal = Decimal(1)
    hidden_lookups: int = 0
    killed: bool = False
    queues: bool = False
    hedged: bool = False
    user_id: int = 24_617_703
    margin_mode: str = "REGULAR_MARGIN"
    lag: float = 0.0
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.balance = self.deposit.balance
        self.positions: dict[str, Holding] = {}
        self.orders: list[dict[str, Any]] = []
        self.executions: list[dict[str, Any]] = []
        self.leverage: dict[str, Decimal] = {}
        self.largest: dict[str, Decimal] = {}
        self._queue: list[Callable[[], None]] = []
        self._placed: dict[str, float] = {}
        self._moves: list[tuple[float, str, Holding]] = []

    def shown(self, order_id: str) -> bool:
        """Return whether an order and its executions are shown already."""
        return not self.lag or self._placed.get(order_id, -math.inf) <= self.clock() - self.lag

    def note(self, order_id: str, symbol: str, before: Holding) -> None:
        """Remember when an order was taken, and what its symbol held before it."""
        now, size = self.clock(), abs(self.size(symbol))
        self._placed[order_id] = now
        self._moves.append((now, symbol, before))
        self.largest[symbol] = max(size, self.largest.get(symbol, _ZERO))

    def shown_holding(self, symbol: str) -> Holding:
        """Return the position in a symbol that is shown now."""
        late = (b for at, name, b in self._moves if name == symbol and at > self.clock() - self.lag)
        actual = self.positions.get(symbol, Holding())
        return next(late, actual) if self.lag else actual

    def work(self) -> None:
        """Fill the orders that wait, unless they were cancelled, and let the next ones pass."""
        self.queues, waiting, self._queue = False, self._queue, []
        for fill in waiting:
            fill()

    def order(self, link_id: str) -> dict[str, Any] | None:
        """Return the order of a link id."""
        return next((order for order in self.orders if order["orderLinkId"] == link_id), None)

    def size(self, symbol: str) -> Decimal:
        """Return the position in a symbol, signed base units."""
        return self.positions[symbol].size if symbol in self.positions else _ZERO

    def rest(self, symbol: str, link_id: str, side: str = "Buy") -> None:
        """Add a limit order of another client, which is never filled."""
        self.orders.append(
            _record(len(self.orders), symbol, side, Decimal(1), link_id, False, 0) | {"orderType": "Limit"}
        )


@dataclass(frozen=True)
class Signed:
    """A received private request: the headers and the signed text (query string or body)."""

    method: str
    headers: Mapping[str, str]
    text: str


def check_signature(exchange: Exchange, request: Signed) -> None:
    """Refuse a wrong key, a wrong signature and a time outside the receive window, as the exchange does."""
    headers, deposit = request.headers, exchange.account.deposit
    key, stamp = headers.get("X-BAPI-API-KEY", ""), headers.get("X-BAPI-TIMESTAMP", "")
    window = headers.get("X-BAPI-RECV-WINDOW", "5000")
    if key != deposit.key:
        raise Refused(10003, "API key is invalid.")
    if not stamp.isdigit() or not window.isdigit():
        raise Refused(10001, "params error: timestamp or recv_window invalid")
    expected = hmac.new(
        deposit.secret.encode(), f"{stamp}{key}{window}{request.text}".encode(), hashlib.sha256
    )
    if not hmac.compare_digest(expected.hexdigest(), headers.get("X-BAPI-SIGN", "")):
        raise Refused(10004, "error sign! please check your signature generation algorithm.")
    now = exchange.now()
    if not now - int(window) <= int(stamp) < now + 1000:
        raise Refused(
            10002,
            f"invalid request, please check your server timestamp or recv_window param. req_timestamp[{stamp}],"
            f"server_timestamp[{now}],recv_window[{window}]",
        )


Query = Mapping[str, Any]


def _price(exchange: Exchange, symbol: str) -> Decimal:
    stamps = np.array([exchange.now()], dtype=np.int64)
    return Decimal(str(float(market.price(symbol, stamps)[0])))


def _linear(exchange: Exchange, query: Query) -> Listing:
    if query.get("category") != "linear":
        raise Refused(10001, "params error: Category is invalid")
    for listing in exchange.listings:
        if listing.symbol == query.get("symbol") and listing.category == "linear":
            return listing
    raise Refused(10001, "params error: Symbol Invalid")


def _quantity(listing: Listing, query: Query) -> Decimal:
    try:
        quantity = Decimal(str(query.get("qty")))
    except ArithmeticError:
        raise Refused(10001, "Qty invalid") from None
    lot = Decimal(listing.lot)
    if not quantity.is_finite() or quantity < Decimal(listing.min_qty) or quantity % lot:
        raise Refused(10001, "Qty invalid")
    return quantity


def create(exchange: Exchange, query: Query) -> dict[str, Any]:
    """Accept a market order and fill it."""
    listing, account = _linear(exchange, query), exchange.account
    side, link_id = str(query.get("side")), str(query.get("orderLinkId", ""))
    if side not in ("Buy", "Sell") or query.get("orderType") != "Market":
        raise Refused(10001, "params error: side or orderType invalid")
    if len(link_id) > 36:
        raise Refused(10001, "params error: OrderLinkId invalid")
    quantity = _quantity(listing, query)
    if link_id and account.order(link_id) is not None:
        raise Refused(110072, "OrderLinkedID is duplicate")
    price, held = _price(exchange, listing.symbol), account.size(listing.symbol)
    signed = quantity if side == "Buy" else -quantity
    if query.get("reduceOnly"):
        if held * signed >= 0:
            raise Refused(110017, "current position is zero, cannot fix reduce-only order qty")
        signed = max(signed, -held) if signed < 0 else min(signed, -held)
    elif quantity * price < Decimal(listing.min_notional):
        raise Refused(110094, "Order does not meet minimum order value 5USDT")
    if not _margined(exchange, listing.symbol, held + signed, price):
        raise Refused(110007, "ab not enough for new order")
    order = _record(
        len(account.orders),
        listing.symbol,
        side,
        abs(signed),
        link_id,
        bool(query.get("reduceOnly")),
        exchange.now(),
    )
    account.orders.append(order)

    def fill() -> None:
        before = dataclasses.replace(account.positions.get(listing.symbol, Holding()))
        if order["orderStatus"] == "New":
            _fill(account, order, listing, signed, price)
        account.note(order["orderId"], listing.symbol, before)

    if account.queues:
        account._queue.append(fill)
    else:
        fill()
    return {"orderId": order["orderId"], "orderLinkId": link_id}


def _record(
    number: int, symbol: str, side: str, quantity: Decimal, link_id: str, reduce_only: bool, now: int
) -> dict[str, Any]:
    return {
        "orderId": f"{number:08d}-loop",
        "orderLinkId": link_id,
        "symbol": symbol,
        "side": side,
        "orderType": "Market",
        "qty": str(quantity),
        "reduceOnly": reduce_only,
        "orderStatus": "New",
        "cumExecQty": "0",
        "cumExecValue": "0",
        "cumExecFee": "0",
        "avgPrice": "",
        "positionIdx": 0,
        "createdTime": str(now),
        "updatedTime": str(now),
        "rejectReason": "EC_NoError",
    }


def _fill(account: Account, order: dict[str, Any], listing: Listing, signed: Decimal, price: Decimal) -> None:
    share = _ZERO if account.killed else account.fill_share
    filled = (abs(signed) * share / Decimal(listing.lot)).to_integral_value(ROUND_DOWN) * Decimal(listing.lot)
    whole = filled == abs(signed)
    order["orderStatus"] = "Filled" if whole else "PartiallyFilledCanceled" if filled else "Cancelled"
    if not whole:
        order["rejectReason"] = "EC_NoImmediateQtyToFill"
    if not filled:
        return
    fee = filled * price * _FEE
    order |= {
        "cumExecQty": str(filled),
        "cumExecValue": str(filled * price),
        "cumExecFee": str(fee),
        "avgPrice": str(price),
    }
    account.executions.append(
        {
            "symbol": order["symbol"],
            "execId": f"{len(account.executions):08d}-fill",
            "execType": "Trade",
            "orderId": order["orderId"],
            "orderLinkId": order["orderLinkId"],
            "side": order["side"],
            "execQty": str(filled),
            "execPrice": str(price),
            "execFee": str(fee),
            "execTime": order["createdTime"],
        }
    )
    account.balance -= fee
    _move(account, order["symbol"], filled if signed > 0 else -filled, price)


def _move(account: Account, symbol: str, size: Decimal, price: Decimal) -> None:
    holding = account.positions.setdefault(symbol, Holding())
    after = holding.size + size
    closed = min(abs(size), abs(holding.size)) if holding.size * size < 0 else _ZERO
    account.balance += closed * (price - holding.price) * (1 if holding.size > 0 else -1)
    if holding.size * after <= 0:
        holding.price = price if after else _ZERO
    elif not closed:
        holding.price = (holding.price * abs(holding.size) + price * abs(size)) / abs(after)
    holding.size = after


def _margined(exchange: Exchange, symbol: str, size: Decimal, price: Decimal) -> bool:
    account = exchange.account
    if abs(size) <= abs(account.size(symbol)):
        return True
    need = abs(size) * price / account.leverage.get(symbol, _LEVERAGE)
    return need <= _equity(exchange)


def _equity(exchange: Exchange) -> Decimal:
    account = exchange.account
    gains = (
        holding.size * (_price(exchange, symbol) - holding.price)
        for symbol, holding in account.positions.items()
        if holding.size
    )
    return account.balance + sum(gains, _ZERO)


_OPEN = ("New", "PartiallyFilled", "Untriggered")


def _orders(exchange: Exchange, query: Query, only_open: bool) -> dict[str, Any]:
    account, link_id = exchange.account, query.get("orderLinkId")
    if query.get("category") != "linear":
        raise Refused(10001, "params error: Category is invalid")
    if not any(query.get(name) for name in ("symbol", "settleCoin", "orderLinkId", "baseCoin")):
        raise Refused(10001, "params error: symbol, settleCoin or baseCoin is needed")
    found = [o for o in account.orders if query.get("symbol") in (None, o["symbol"])]
    if link_id:
        if account.hidden_lookups > 0:
            account.hidden_lookups -= 1
            found = []
        found = [o for o in found if account.shown(o["orderId"])]
        found = [o for o in found if o["orderLinkId"] == link_id]
    elif only_open:
        found = [o for o in found if o["orderStatus"] in _OPEN]
    return {"category": "linear", "list": found[::-1], "nextPageCursor": ""}


def realtime(exchange: Exchange, query: Query) -> dict[str, Any]:
    """List open orders; a link id also finds orders that were closed lately."""
    return _orders(exchange, query, only_open=True)


def history(exchange: Exchange, query: Query) -> dict[str, Any]:
    """List all orders, newest first."""
    return _orders(exchange, query, only_open=False)


def cancel(exchange: Exchange, query: Query) -> dict[str, Any]:
    """Cancel one open order."""
    listing = _linear(exchange, query)
    for order in exchange.account.orders:
        named = query.get("orderId") == order["orderId"] or query.get("orderLinkId") == order["orderLinkId"]
        if named and order["symbol"] == listing.symbol and order["orderStatus"] in _OPEN:
            order["orderStatus"] = "Cancelled"
            return {"orderId": order["orderId"], "orderLinkId": order["orderLinkId"]}
    raise Refused(110001, "order not exists or too late to cancel")


def cancel_all(exchange: Exchange, query: Query) -> dict[str, Any]:
    """Cancel the open orders of a symbol."""
    listing, gone = _linear(exchange, query), []
    for order in exchange.account.orders:
        if order["symbol"] == listing.symbol and order["orderStatus"] in _OPEN:
            order["orderStatus"] = "Cancelled"
            gone.append({"orderId": order["orderId"], "orderLinkId": order["orderLinkId"]})
    return {"list": gone, "success": "1"}


def position_list(exchange: Exchange, query: Query) -> dict[str, Any]:
    """List the position of a symbol, an empty one too, or all positions that are not empty."""
    account = exchange.account
    if query.get("symbol") is None and query.get("settleCoin") == "USDT":
        held = [name for name in account.positions if account.shown_holding(name).size]
        rows = [row for name in held for row in _position_rows(exchange, name)]
    else:
        rows = _position_rows(exchange, _linear(exchange, query).symbol)
    return {"category": "linear", "list": rows, "nextPageCursor": ""}


def _position_rows(exchange: Exchange, symbol: str) -> list[dict[str, Any]]:
    account = exchange.account
    holding = account.shown_holding(symbol)
    row = {
        "symbol": symbol,
        "positionIdx": 1 if account.hedged else 0,
        "side": "Buy" if holding.size > 0 else "Sell" if holding.size < 0 else "",
        "size": str(abs(holding.size)),
        "avgPrice": str(holding.price),
        "leverage": str(account.leverage.get(symbol, _LEVERAGE)),
        "markPrice": str(_price(exchange, symbol)),
        "positionStatus": "Normal",
    }
    return [row, {**row, "positionIdx": 2, "side": "", "size": "0"}] if account.hedged else [row]


def account_info(exchange: Exchange, query: Query) -> dict[str, Any]:
    """Return the margin mode of the unified account."""
    return {"unifiedMarginStatus": 5, "marginMode": exchange.account.margin_mode, "updatedTime": "0"}


def query_api(exchange: Exchange, query: Query) -> dict[str, Any]:
    """Return what the exchange tells about the key."""
    account = exchange.account
    return {
        "apiKey": account.deposit.key,
        "readOnly": 0,
        "uta": 1,
        "userID": account.user_id,
        "parentUid": "0",
    }


def wallet_balance(exchange: Exchange, query: Query) -> dict[str, Any]:
    """Return the account's equity."""
    if query.get("accountType") != "UNIFIED":
        raise Refused(10001, "accountType only support UNIFIED.")
    equity = str(_equity(exchange))
    coin = {"coin": "USDT", "equity": equity, "walletBalance": str(exchange.account.balance)}
    return {"list": [{"accountType": "UNIFIED", "totalEquity": equity, "coin": [coin]}]}


def set_leverage(exchange: Exchange, query: Query) -> dict[str, Any]:
    """Set the leverage of a symbol."""
    listing, account = _linear(exchange, query), exchange.account
    try:
        wanted = Decimal(str(query["buyLeverage"]))
    except (KeyError, ArithmeticError):
        raise Refused(10001, "buyLeverage invalid") from None
    if query.get("sellLeverage") != query.get("buyLeverage") or not 1 <= wanted <= 100:
        raise Refused(10001, "leverage invalid")
    if account.leverage.get(listing.symbol, _LEVERAGE) == wanted:
        raise Refused(110043, "leverage not modified")
    account.leverage[listing.symbol] = wanted
    return {}


def execution_list(exchange: Exchange, query: Query) -> dict[str, Any]:
    """List fills, newest first."""
    listing = _linear(exchange, query)
    account = exchange.account
    found = [
        fill
        for fill in account.executions
        if fill["symbol"] == listing.symbol and account.shown(fill["orderId"])
    ]
    if query.get("orderLinkId"):
        found = [fill for fill in found if fill["orderLinkId"] == query["orderLinkId"]]
    return {"category": "linear", "list": found[::-1], "nextPageCursor": ""}


PRIVATE = {
    ("POST", "/v5/order/create"): create,
    ("POST", "/v5/order/cancel"): cancel,
    ("POST", "/v5/order/cancel-all"): cancel_all,
    ("GET", "/v5/order/realtime"): realtime,
    ("GET", "/v5/order/history"): history,
    ("GET", "/v5/position/list"): position_list,
    ("POST", "/v5/position/set-leverage"): set_leverage,
    ("GET", "/v5/execution/list"): execution_list,
    ("GET", "/v5/account/wallet-balance"): wallet_balance,
    ("GET", "/v5/account/info"): account_info,
    ("GET", "/v5/user/query-api"): query_api,
}
