"""The score strategy on a live feed: late bars and the kill switch are facts of a decision, each bar is reported."""

from __future__ import annotations

from typing import Any, Protocol

from .analyzers.orders import fill_fee, funding_ledgers
from .datas import symbol_of, to_milliseconds
from .decision import Conditions
from .score_strategy import ScoreStrategy

__all__ = ["LiveScoreStrategy", "Watch"]


class Watch(Protocol):
    """Who is told what happens; `conditions` is asked before a bar is decided."""

    def conditions(self) -> Conditions: ...

    def bar(self, content: dict[str, Any]) -> None: ...

    def status(self, symbol: str, state: str, reason: str) -> None: ...


class LiveScoreStrategy(ScoreStrategy):
    """`ScoreStrategy` that asks its `Watch` for late bars and the kill switch, and reports each bar to it.

    On a late bar the reason is ``stale`` and what is held is kept; while the kill switch is on it is
    ``kill_switch``, and what is held is kept or closed. All else is decided as in a backtest, by the same code.

    Params:
      - ``watch``: a `Watch`. Its `bar` gets, for every call, `time` (UTC ms) and the lists `decisions`, `orders`
        (sent at this close), `fills` and `funding` (since the close before), with `equity`, `cash`, `positions`
        and `wanted`: the positions (base units) once the orders in the book are filled.
    """

    params = (("watch", None),)

    def __init__(self) -> None:
        super().__init__()
        self._sent: list[Any] = []
        self._fills: list[dict[str, Any]] = []
        self._paid = {symbol_of(data): 0.0 for data in self.datas}

    def notify_data(self, data: Any, status: int, *args: Any, **kwargs: Any) -> None:
        reason = str(args[0]) if args else ""
        self.p.watch.status(symbol_of(data), data._getstatusname(status), reason)

    def conditions(self) -> Conditions:
        found: Conditions = self.p.watch.conditions()
        return found

    def order_sent(self, order: Any) -> None:
        self._sent.append(order)

    def next(self) -> None:
        decided = len(self.decisions)
        super().next()
        self.p.watch.bar(self._tell(decided))
        self._sent.clear()
        self._fills.clear()
        self._forget()

    def _forget(self) -> None:
        # Backtrader keeps every order that ever was, 5 KB each: a live run has no end.
        self._orders.clear()
        self.broker.orders[:] = [order for order in self.broker.orders if order.alive()]

    def notify_order(self, order: Any) -> None:
        super().notify_order(order)
        fills = [
            {"size": fill.size, "price": fill.price, "fee": fill_fee(order, fill, self.broker)}
            for fill in order.executed.iterpending()
        ]
        ended = {"symbol": symbol_of(order.data), "status": order.getstatusname().lower()}
        if order.info.get("liquidation", False):
            ended["liquidation"] = True
        self._fills += [{**ended, **fill} for fill in fills]
        if not fills and order.status in (order.Margin, order.Rejected, order.Canceled, order.Expired):
            self._fills.append(ended)

    def _tell(self, decided: int) -> dict[str, Any]:
        positions = {symbol_of(data): self.broker.getposition(data).size for data in self.datas}
        wanted = {
            symbol_of(data): self.broker.getposition(data).size + self.waiting(data) for data in self.datas
        }
        return {
            "time": int(to_milliseconds(self.lines.datetime[0])),
            "decisions": self.decisions.rows(decided),
            "orders": [{"symbol": symbol_of(o.data), "size": o.created.size} for o in self._sent],
            "fills": list(self._fills),
            "funding": self._funding(),
            "equity": self.broker.getvalue(),
            "cash": self.broker.getcash(),
            "positions": positions,
            "wanted": wanted,
        }

    def _funding(self) -> list[dict[str, Any]]:
        ledgers, paid = funding_ledgers(self), []
        for symbol, before in self._paid.items():
            total = ledgers[symbol].total(symbol) if symbol in ledgers else 0.0
            if total != before:
                paid.append({"symbol": symbol, "amount": total - before})
                self._paid[symbol] = total
        return paid
