"""The score strategy on a live feed: it does not trade on late bars or when halted, and tells what each bar did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from .analyzers.orders import fill_fee, funding_ledgers
from .datas import symbol_of, to_milliseconds
from .score_strategy import ScoreStrategy

__all__ = ["Conditions", "LiveScoreStrategy", "Watch"]


@dataclass
class Conditions:
    """What the world says besides the bars.

    Attributes:
        late: the present bar came after a newer one had closed; nothing is traded on it.
        halted: the kill switch is on.
        flatten: the kill switch also closes what is held.
    """

    late: bool = False
    halted: bool = False
    flatten: bool = False


class Watch(Protocol):
    """Who is told what happens; `conditions` is asked before a bar is decided."""

    def conditions(self) -> Conditions: ...

    def bar(self, content: dict[str, Any]) -> None: ...

    def status(self, symbol: str, state: str, reason: str) -> None: ...


class LiveScoreStrategy(ScoreStrategy):
    """`ScoreStrategy`, told about the world and telling what it does.

    On a late bar the reason is ``stale`` and what is held is kept; while halted it is ``halted``, and what is held
    is kept or closed. All else is decided as in a backtest, by the same code.

    Params:
      - ``watch``: a `Watch`. Its `bar` gets, for every call, `time` (UTC ms) and the lists `decisions`, `orders`
        (sent at this close), `fills` and `funding` (since the close before), with `equity`, `cash`, `positions`
        and `wanted`: the positions (base units) once the orders in the book are filled.
    """

    params = (("watch", None),)

    def __init__(self) -> None:
        super().__init__()
        self._conditions = Conditions()
        self._sent: list[Any] = []
        self._fills: list[dict[str, Any]] = []
        self._paid = {desk.number: 0.0 for desk in self._desks}

    def notify_data(self, data: Any, status: int, *args: Any, **kwargs: Any) -> None:
        reason = str(args[0]) if args else ""
        self.p.watch.status(symbol_of(data), data._getstatusname(status), reason)

    def next(self) -> None:
        self._conditions = self.p.watch.conditions()
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

    def _consider(self, desk: Any, equity: float) -> Any:
        plan = super()._consider(desk, equity)
        _, _, reason, held, seen = plan
        now = self._conditions
        if reason == "warmup" or not (now.late or now.halted):
            return plan
        if now.halted:
            return desk, 0.0 if now.flatten else held, "halted", held, seen
        return desk, held, "stale", held, seen

    def _within_leverage(self, plans: Any, equity: float) -> Any:
        now = self._conditions
        return plans if now.late or now.halted else super()._within_leverage(plans, equity)

    def _act(self, desk: Any, target: float, equity: float, held: float) -> None:
        now = self._conditions
        if now.late or (now.halted and not now.flatten):
            return
        before = desk.order
        super()._act(desk, target, equity, held)
        if desk.order is not None and desk.order is not before:
            self._sent.append(desk.order)

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
        datas = {symbol_of(desk.data): desk for desk in self._desks}
        positions = {name: self.broker.getposition(desk.data).size for name, desk in datas.items()}
        coming = {
            name: 0.0 if desk.order is None else desk.order.executed.remsize for name, desk in datas.items()
        }
        return {
            "time": int(to_milliseconds(self._now[0])),
            "decisions": self.decisions.rows(decided),
            "orders": [{"symbol": symbol_of(o.data), "size": o.created.size} for o in self._sent],
            "fills": list(self._fills),
            "funding": self._funding(),
            "equity": self.broker.getvalue(),
            "cash": self.broker.getcash(),
            "positions": positions,
            "wanted": {name: size + coming[name] for name, size in positions.items()},
        }

    def _funding(self) -> list[dict[str, Any]]:
        ledgers, paid = funding_ledgers(self), []
        for desk in self._desks:
            symbol = symbol_of(desk.data)
            total = ledgers[symbol].total(symbol) if symbol in ledgers else 0.0
            if total != self._paid[desk.number]:
                paid.append({"symbol": symbol, "amount": total - self._paid[desk.number]})
                self._paid[desk.number] = total
        return paid
