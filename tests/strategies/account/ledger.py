"""A second set of books, kept from the bars and the fills alone: what the account's documentation says, and no more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import backtrader as bt
import numpy as np

from strategies.datas import to_milliseconds

HOUR = 3_600_000
FOUR = 4 * HOUR
TIGHT = 1e-9


@dataclass(frozen=True)
class Fill:
    """A fill as the strategy heard of it; `decided` is the strategy's own clock when it sent the order."""

    data: int
    time: int
    size: float
    price: float
    fee: float
    kind: int
    stop: float
    limit: float | None
    decided: int | None
    forced: str


@dataclass
class Step:
    """What the strategy saw at one close: the fills since the last one, equity, insurance and the bars delivered."""

    time: int
    fills: list[Fill]
    equity: float
    insurance: float
    delivered: list[int]


class Witness(bt.Strategy):
    """Send given orders and write down everything that a strategy can see."""

    params = (("orders", None),)

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.heard: list[Fill] = []
        self.sent: dict[int, int] = {}

    def prenext(self) -> None:
        self.next()

    def next(self) -> None:
        now = int(to_milliseconds(self.lines.datetime[0]))
        delivered = [int(to_milliseconds(data.datetime[0])) if len(data) else 0 for data in self.datas]
        self.steps.append(Step(now, self.heard, self.broker.getvalue(), self.broker.insurance, delivered))
        self.heard = []
        for number, method, arguments in self.p.orders.get(len(self.steps) - 1, []):
            if not len(self.datas[number]):
                continue
            sent = getattr(self, method)(data=self.datas[number], **arguments)
            for order in sent if isinstance(sent, list) else [sent]:
                if order is not None:
                    self.sent[order.ref] = now

    def notify_order(self, order: Any) -> None:
        forced = next((word for word in ("liquidation", "settlement") if order.info.get(word, False)), "")
        for fill in order.executed.iterpending():
            heard = Fill(
                next(n for n, data in enumerate(self.datas) if data is order.data),
                int(to_milliseconds(fill.dt)),
                fill.size,
                fill.price,
                fill.comm,
                order.exectype,
                order.created.price,
                order.created.pricelimit,
                self.sent.get(order.ref),
                forced,
            )
            self.heard.append(heard)


@dataclass
class Market:
    """The hourly bars of one symbol: `close_time` (UTC ms), prices and rates, each [T]; `mode` is how they are fed."""

    close_time: np.ndarray
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    rate: np.ndarray
    filled: np.ndarray
    mode: str = "plain"

    def bar(self, fill_time: int, now: int) -> tuple[int, float, float, float, bool]:
        """Return (open time, open, high, low, nobody traded) of the bar of a fill."""
        if self.mode == "resample":
            rows = np.flatnonzero((self.close_time > fill_time - FOUR) & (self.close_time <= fill_time))
            start = fill_time - FOUR
        else:
            rows = np.flatnonzero(self.close_time == (now if self.mode == "replay" else fill_time))
            start = int(self.close_time[rows[0]]) - HOUR
        opening = float(self.open[rows[0]])
        return (
            start,
            opening,
            float(self.high[rows].max()),
            float(self.low[rows].min()),
            bool(self.filled[rows].all()),
        )

    def mark(self, delivered: int, now: int) -> float:
        """Return the last price that the data has shown."""
        until = now if self.mode == "replay" else delivered
        return float(self.close[np.searchsorted(self.close_time, until, side="right") - 1])


@dataclass
class Ledger:
    """Cash, positions and costs, kept from fills and bars; `check` compares them with the account at every step."""

    markets: list[Market]
    taker: float
    maker: float
    slippage: float
    maintenance: float
    start: float
    cash: float = 0.0
    fees: float = 0.0
    funding: float = 0.0
    realised: float = 0.0
    size: list[float] = field(default_factory=list)
    entry: list[float] = field(default_factory=list)
    mark: list[float] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cash = self.start
        n = len(self.markets)
        self.size, self.entry, self.mark, self.seen = [0.0] * n, [0.0] * n, [0.0] * n, [0] * n

    def check(self, steps: list[Step]) -> None:
        before = self.start
        for step in steps:
            held = list(self.size)
            self._pay_funding(step)
            for fill in step.fills:
                self._check_fill(fill, step)
                self._book(fill)
            for number, market in enumerate(self.markets):
                self.seen[number] = step.delivered[number]
                if step.delivered[number]:
                    self.mark[number] = market.mark(step.delivered[number], step.time)
            self._check_equity(step)
            if not step.fills and any(held):
                self._check_survival(step, held)
            before = step.equity
        assert before >= 0.0

    def _pay_funding(self, step: Step) -> None:
        """Charge each new bar's rate on the position held until its open."""
        for number, market in enumerate(self.markets):
            if market.mode != "plain" or step.delivered[number] == self.seen[number] or not self.size[number]:
                continue
            row = int(np.searchsorted(market.close_time, step.delivered[number]))
            paid = self.size[number] * market.open[row] * market.rate[row]
            self.funding += paid
            self.cash -= paid

    def _book(self, fill: Fill) -> None:
        held, number = self.size[fill.data], fill.data
        closing = min(abs(held), abs(fill.size)) if held * fill.size < 0 else 0.0
        self.realised += np.sign(held) * closing * (fill.price - self.entry[number])
        left = held + fill.size
        if abs(left) <= TIGHT * max(abs(held), 1.0):
            left = 0.0
        if held * fill.size >= 0.0:
            self.entry[number] = (held * self.entry[number] + fill.size * fill.price) / (held + fill.size)
        elif left * held < 0.0:
            self.entry[number] = fill.price
        self.size[number] = left
        self.cash -= fill.size * fill.price + fill.fee
        self.fees += fill.fee

    def _check_equity(self, step: Step) -> None:
        worth = self.cash + sum(size * mark for size, mark in zip(self.size, self.mark, strict=True))
        unrealised = sum(
            size * (mark - entry) for size, mark, entry in zip(self.size, self.mark, self.entry, strict=True)
        )
        parts = self.start + self.realised + unrealised - self.fees - self.funding
        scale = self.start + abs(self.realised) + abs(unrealised) + abs(self.fees) + abs(self.funding)
        scale += sum(abs(size * mark) for size, mark in zip(self.size, self.mark, strict=True))
        assert abs(worth - parts) <= 1e-7 * scale, "the ledger contradicts itself"
        expected = parts + step.insurance
        assert abs(step.equity - expected) <= 1e-7 * scale, (
            f"equity at {step.time}: account {step.equity}, ledger {expected} = {self.start} "
            f"+ {self.realised} realised + {unrealised} unrealised - {self.fees} fees "
            f"- {self.funding} funding + {step.insurance} insurance"
        )
        assert step.equity >= -TIGHT * self.start, "equity below zero"

    def _check_survival(self, step: Step, held: list[float]) -> None:
        """In a bar without a fill, the account must have survived all adverse extremes at once."""
        equity, need = self.cash, 0.0
        for number, market in enumerate(self.markets):
            price = self.mark[number]
            rows = np.flatnonzero(market.close_time == step.time)
            if market.mode == "plain" and len(rows):
                price = float(market.low[rows[0]] if held[number] > 0 else market.high[rows[0]])
            elif market.mode != "plain":
                return
            equity += held[number] * price
            need += abs(held[number] * price) * self.maintenance
        assert equity > need - TIGHT * self.start, (
            f"{step.time}: {equity} does not carry {need}, nothing was closed"
        )

    def _check_fill(self, fill: Fill, step: Step) -> None:
        market, where = self.markets[fill.data], f"{fill} at {step.time}"
        if fill.forced:
            assert fill.size * self.size[fill.data] < 0.0, f"{where}: closes nothing"
            assert abs(fill.size + self.size[fill.data]) <= TIGHT * abs(fill.size), (
                f"{where}: not the whole position"
            )
            assert fill.fee >= 0.0, f"{where}: a liquidation pays the account"
        if fill.forced == "settlement":
            assert step.time > market.close_time[-1], f"{where}: the market goes on"
            assert fill.price == market.close[-1], f"{where}: not the last price"
            return
        start, opening, high, low, invented = market.bar(fill.time, step.time)
        assert not invented or fill.forced, f"{where}: nobody traded in this bar"
        if fill.forced == "liquidation":
            before = self.mark[fill.data]
            ends = (min(low, before), max(high, before))
            assert ends[0] * (1 - TIGHT) <= fill.price <= ends[1] * (1 + TIGHT), (
                f"{where}: no such price, {ends}"
            )
            return
        assert fill.decided is not None, f"{where}: an order that nobody sent"
        assert start >= fill.decided, f"{where}: the bar began at {start}, before the decision"
        self._check_price(fill, opening, high, low, where, met=self._met_before(fill, market, start))
        waited = fill.kind == bt.Order.Limit and (opening - fill.stop) * fill.size > 0.0
        value = abs(fill.size) * fill.price
        assert abs(fill.fee - value * (self.maker if waited else self.taker)) <= TIGHT * value, (
            f"{where}: fee"
        )

    @staticmethod
    def _met_before(fill: Fill, market: Market, start: int) -> bool:
        """Return whether a bar between the decision and the bar of the fill had reached the order's stop price.

        A stop that was reached and had to wait, for lack of volume, is a market order from then on.
        """
        rows = (market.close_time > fill.decided) & (market.close_time <= start) & ~market.filled
        reached = market.high[rows] >= fill.stop if fill.size > 0 else market.low[rows] <= fill.stop
        return bool(reached.any())

    def _check_price(
        self, fill: Fill, opening: float, high: float, low: float, where: str, *, met: bool
    ) -> None:
        side = 1.0 if fill.size > 0 else -1.0
        slip = 1.0 + side * self.slippage
        worse = max if side > 0 else min
        better = min if side > 0 else max
        reached = high if side > 0 else low
        kind = fill.kind
        expected = None
        if kind == bt.Order.Market or (kind == bt.Order.Stop and met and fill.price == opening * slip):
            expected = opening * slip
        elif kind == bt.Order.Limit:
            waited = (opening - fill.stop) * side > 0.0
            expected = fill.stop if waited else better(opening * slip, fill.stop)
            assert not waited or (low <= fill.stop if side > 0 else high >= fill.stop), (
                f"{where}: limit not reached"
            )
        elif kind == bt.Order.Stop:
            assert (reached - fill.stop) * side >= 0.0, f"{where}: stop not reached"
            expected = worse(opening, fill.stop) * slip
        if expected is not None:
            assert abs(fill.price - expected) <= TIGHT * expected, f"{where}: expected a price of {expected}"
        assert low * min(slip, 1.0) * (1 - TIGHT) <= fill.price <= high * max(slip, 1.0) * (1 + TIGHT), (
            f"{where}: outside [{low}, {high}]"
        )
        if kind == bt.Order.StopLimit:
            assert (fill.limit - fill.price) * side >= -TIGHT * fill.price, f"{where}: worse than its limit"
