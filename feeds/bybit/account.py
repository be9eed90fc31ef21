"""Reads of one Bybit account: equity, positions, orders and fills, each through the strict reader of `answers`."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from ..errors import ExchangeRejected, ExchangeUnavailable
from ..exchange.failures import Malformed
from ..exchange.order_types import (
    AccountFacts,
    Execution,
    HeldPosition,
    MarketOrder,
    OrderState,
    PlacedOrder,
    UnreadableAnswer,
)
from ..instruments import Instrument
from . import answers
from .order_wire import market_of
from .parse import parse_rules
from .private_client import PrivateClient

__all__ = ["AccountReader"]

_ACCOUNT = re.compile(r"[1-9][0-9]{0,19}")


class AccountReader(PrivateClient):
    """Read the state of an account; nothing here changes it."""

    def rules(self, instrument: Instrument) -> Instrument:
        """Return an instrument with the trading rules that it has now, where the orders go."""

        def request() -> Instrument:
            answer = self._client.public_get_v5_market_instruments_info(market_of(instrument))
            return parse_rules(answer["result"], instrument)

        return self._repeat(f"the rules of {instrument.symbol}", request)

    def equity(self) -> Decimal:
        """Return the account's equity in USDT, including unrealised profit and loss."""
        query = {"accountType": "UNIFIED", "coin": "USDT"}
        return self._read("the balance", "account_wallet_balance", query, answers.equity)

    def position(self, instrument: Instrument) -> HeldPosition:
        """Return the position in an instrument; size 0 without a position.

        Raises:
            ExchangeRejected: the account is in hedge mode (separate long and short positions).
        """
        what = f"the position in {instrument.symbol}"
        try:
            return self._read(
                what, "position_list", market_of(instrument), lambda r: answers.position(r, instrument)
            )
        except answers.HedgeMode:
            raise ExchangeRejected(
                f"the account is in hedge mode for {instrument.symbol}; "
                "switch it to one-way mode on the exchange"
            ) from None

    def open_orders(self, instrument: Instrument) -> list[PlacedOrder]:
        """Return the open orders of an instrument."""
        query = {**market_of(instrument), "openOnly": 0, "limit": 50}
        what = f"the orders of {instrument.symbol}"
        return self._read_all(
            what, "order_realtime", query, lambda rows: answers.placed_orders(rows, instrument)
        )

    def executions(self, instrument: Instrument, link_id: str = "") -> list[Execution]:
        """Return the fills of the last seven days, newest first: all, or those of one order."""
        query = {**market_of(instrument), "limit": 100, **({"orderLinkId": link_id} if link_id else {})}
        what = f"the executions of {link_id or instrument.symbol}"
        return self._read_all(
            what, "execution_list", query, lambda rows: answers.executions(rows, instrument, link_id)
        )

    def account_id(self) -> str | None:
        """Return the exchange's number of the account that the key belongs to, None if it does not tell."""
        try:
            return self._read("the account's number", "user_query_api", {}, _account_id)
        except (ExchangeRejected, ExchangeUnavailable):
            return None

    def facts(self) -> AccountFacts:
        """Return margin mode, positions and open orders of the whole account; None for what cannot be read.

        No order depends on them, so an answer of another form, as with a new margin mode, is only "unknown".
        """
        every = {"category": "linear", "settleCoin": "USDT"}
        return AccountFacts(
            margin_mode=_if_told(lambda: self._read("the account", "account_info", {}, answers.margin_mode)),
            positions=_if_told(
                lambda: self._read_all(
                    "the positions", "position_list", {**every, "limit": 200}, answers.positions
                )
            ),
            orders=_if_told(
                lambda: self._read_all(
                    "the open orders",
                    "order_realtime",
                    {**every, "openOnly": 0, "limit": 50},
                    answers.open_counts,
                )
            ),
        )

    def find(self, order: MarketOrder) -> OrderState | None:
        """Return the state of an order, None if neither the open nor the past orders show it now."""
        query = {**market_of(order.instrument), "orderLinkId": order.link_id}
        for endpoint in ("order_realtime", "order_history"):
            found = self._read(
                f"the order {order.link_id}", endpoint, query, lambda r: answers.order_of(r, order)
            )
            if found is not None:
                return found
        return None


def _account_id(result: answers.Row) -> str:
    """Return the number of the account that a key belongs to; a subaccount has its own."""
    found = result.get("userID")
    text = str(found) if isinstance(found, int | str) and not isinstance(found, bool) else ""
    if not _ACCOUNT.fullmatch(text):
        raise Malformed(f"expected the number of an account as 'userID', found {str(found)[:40]!r}")
    return text


def _if_told(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (ExchangeRejected, UnreadableAnswer):
        return None
