"""The score strategy for live feeds: it considers late bars and the kill switch, and reports each bar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from .analyzers.orders import fill_fee, funding_ledgers
from .datas import symbol_of, to_milliseconds
from .decision import Conditions
from .score_strategy import ScoreStrategy

__all__ = ["LiveScoreStrategy", "Watch"]


class Watch(Protocol):
    """The observer of a live run."""

    def conditions(self) -> Conditions:
        """Return the conditions of the coming decision; called once before each bar is decided."""
        ...

    def bar(self, content: dict[str, Any]) -> None:
        """Receive the report of a bar; `LiveScoreStrategy` lists its fields."""

    def status(self, symbol: str, state: str, reason: str) -> None:
        """Receive a new state of a symbol's feed, e.g. "LIVE", and its reason."""

    def report(self, symbol: str, text: str, facts: Mapping[str, Any]) -> None:
        """Receive a report of a symbol's feed: a sentence, and facts; `what` is its kind."""


class LiveScoreStrategy(ScoreStrategy):
    """`ScoreStrategy` that gets late bars and the kill switch from its `Watch`, and reports each bar to it.

    On a late bar the reason is ``stale``, on a doubtful one ``doubtful``, and the position is kept. While the kill
    switch is on, the reason is ``kill_switch`` and the position is kept or closed. Everything else is decided by the
    same code as in a backtest.

    Params:
      - ``watch``: a `Watch`. The report for its method `bar` has `time` (bar close, UTC ms), the lists `decisions`,
        `orders` (sent at this close), `fills` and `funding` (both since the previous close), `equity` and `cash` (quote
        currency), `positions` (base units), and `wanted`: the positions after all open orders are filled.
    """

    params = (("watch", None),)

    def __init__(self) -> None:
        super().__init__()
        self._sent: list[Any] = []
        self._fills: list[dict[str, Any]] = []
        self._paid = {symbol_of(data): 0.0 for data in self.datas}

    def notify_data(self, data: Any, status: int, *args: Any, **kwargs: Any) -> None:
        text = str(args[0]) if args else ""
        if len(args) > 1:
            self.p.watch.report(symbol_of(data), text, args[1])
        else:
            self.p.watch.status(symbol_of(data), data._getstatusname(status), text)

    def conditions(self) -> Conditions:
        found: Conditions = self.p.watch.conditions()
        return found

    def order_sent(self, order: Any) -> None:
        self._sent.append(order)

    def next(self) -> None:
        decided = len(self.decisions)
        super().next()
        self.p.watch.bar(self._report(decided))
        self._sent.clear()
        self._fills.clear()
        self._drop_ended_orders()

    def _drop_ended_orders(self) -> None:
        # Backtrader keeps all orders of a run, 5 KB each; in a live run without end the memory would grow for ever.
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

    def _report(self, decided: int) -> dict[str, Any]:
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
