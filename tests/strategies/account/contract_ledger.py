"""Books of isolated, tiered, inverse and spot positions, kept from bars and fills by the exchange's formulas."""

from __future__ import annotations

from dataclasses import dataclass, field

import backtrader as bt
import numpy as np

from strategies.account.costs import Costs
from tests.strategies.account.ledger import Fill, Market, Step

TIGHT = 1e-7


@dataclass
class Slot:
    """A position: `entry` is its average price, `margin` what was set apart for it (isolated only)."""

    size: float = 0.0
    entry: float = 0.0
    margin: float = 0.0
    mark: float = 0.0


@dataclass
class ContractLedger:
    """Wallet, positions and costs of one account; `check` compares them with it at every step."""

    markets: list[Market]
    costs: Costs
    start: float
    fees: float = 0.0
    funding: float = 0.0
    paid: float = 0.0  # all amounts of fees, slippage and funding, whatever their sign
    realised: float = 0.0
    liquidated: int = 0
    slots: list[Slot] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.slots = [Slot() for _ in self.markets]
        self.seen = [0] * len(self.markets)
        self.isolated = self.costs.margin_mode == "isolated" and self.costs.contract != "spot"

    # The exchange's formulas --------------------------------------------------------------------------------

    def value(self, size: float, price: float) -> float:
        amount = abs(size) * self.costs.mult
        return amount / price if self.costs.contract == "inverse" else amount * price

    def profit(self, size: float, entry: float, price: float) -> float:
        if self.costs.contract == "inverse":
            return size * self.costs.mult * (1.0 / entry - 1.0 / price)
        return size * self.costs.mult * (price - entry)

    def tier(self, value: float) -> tuple[float, float, float, float]:
        """Return (limit, maintenance rate, leverage, deduction) of a position value."""
        if self.costs.contract == "spot":
            return np.inf, 0.0, 1.0, 0.0
        if not self.costs.risk_tiers:
            return np.inf, self.costs.maintenance_margin, self.costs.margin_leverage, 0.0
        limits = [tier[0] for tier in self.costs.risk_tiers]
        row = min(int(np.searchsorted(limits, value)), len(limits) - 1)
        limit, rate, leverage, deduction = self.costs.risk_tiers[row]
        return limit, rate, min(leverage, self.costs.margin_leverage), deduction

    def initial(self, size: float, price: float) -> float:
        value = self.value(size, price)
        return value / self.tier(value)[2]

    def maintenance(self, size: float, price: float) -> float:
        value = self.value(size, price)
        _, rate, _, deduction = self.tier(value)
        return value * rate - deduction

    @property
    def wallet(self) -> float:
        return self.start + self.realised - self.fees - self.funding

    def unrealised(self) -> float:
        return sum(self.profit(slot.size, slot.entry, slot.mark) for slot in self.slots if slot.size)

    # The steps ----------------------------------------------------------------------------------------------

    def check(self, steps: list[Step]) -> None:
        for step in steps:
            self._pay_funding(step)
            held = [slot.size for slot in self.slots]
            for fill in step.fills:
                self._check_price(fill, step)
                self._book(fill, step)
            for slot, market, now in zip(self.slots, self.markets, step.delivered, strict=True):
                if now:
                    slot.mark = market.mark(now, step.time)
            self._check_survival(step, held)
            self._check_equity(step)
            self.seen = list(step.delivered)

    def _row(self, number: int, step: Step) -> int | None:
        """Return the row of a symbol's bar that this step is the first to see, None without one."""
        if step.delivered[number] == self.seen[number]:
            return None
        return int(np.searchsorted(self.markets[number].close_time, step.delivered[number]))

    def _pay_funding(self, step: Step) -> None:
        for number, slot in enumerate(self.slots):
            row = self._row(number, step)
            if row is not None and slot.size and self.costs.funding:
                market = self.markets[number]
                due = self.value(slot.size, float(market.open[row])) * float(market.rate[row])
                self.funding += due if slot.size > 0.0 else -due
                self.paid += abs(due)
        lacking = sum(slot.margin for slot in self.slots) - self.wallet
        if self.isolated and lacking > 0.0 and any(slot.margin for slot in self.slots):
            share = lacking / sum(slot.margin for slot in self.slots)
            for slot in self.slots:
                slot.margin -= share * slot.margin

    def _book(self, fill: Fill, step: Step) -> None:
        slot, size = self.slots[fill.data], fill.size
        before = self.wallet
        closing = min(abs(slot.size), abs(size)) if slot.size * size < 0.0 else 0.0
        self.fees += fill.fee
        self.paid += abs(fill.fee)
        if closing:
            part = closing / abs(slot.size)
            self.realised += part * self.profit(slot.size, slot.entry, fill.price)
            if fill.forced == "liquidation":
                self._check_liquidation(fill, before, step)
            slot.margin *= 1.0 - part
            slot.size = 0.0 if part > 1.0 - 1e-9 else slot.size * (1.0 - part)
            size = np.sign(size) * (abs(size) - closing)
            if abs(size) <= 1e-9 * closing:
                return
        total = slot.size + size
        if self.costs.contract == "inverse":
            before_coins = slot.size / slot.entry if slot.size else 0.0
            slot.entry = total / (before_coins + size / fill.price)
        else:
            slot.entry = (slot.size * slot.entry + size * fill.price) / total
        slot.size = total
        if self.isolated:
            slot.margin += self.initial(total, fill.price) * size / total
        if self.costs.contract == "spot":
            assert total > 0.0, f"{fill}: short on spot"
        value = min(self.value(total, price) for price in (self._open(fill, step), fill.price))
        assert value <= self.tier(value)[0] * (1.0 + TIGHT), f"{fill}: {value} is beyond the last risk tier"

    def _open(self, fill: Fill, step: Step) -> float:
        market = self.markets[fill.data]
        return float(market.open[np.searchsorted(market.close_time, step.delivered[fill.data])])

    # What must hold -----------------------------------------------------------------------------------------

    def _check_price(self, fill: Fill, step: Step) -> None:
        if fill.forced or fill.kind != bt.Order.Market:
            return
        opening, side = self._open(fill, step), np.sign(fill.size)
        assert fill.price == opening * (1.0 + side * self.costs.slippage), f"{fill}: the open is {opening}"
        self.paid += abs(self.profit(fill.size, opening, fill.price))
        fee = self.value(fill.size, fill.price) * self.costs.taker
        assert abs(fill.fee - fee) <= TIGHT * fee, f"{fill}: expected a fee of {fee}"

    def _check_liquidation(self, fill: Fill, before: float, step: Step) -> None:
        """An isolated position loses its margin and no more; at its price the margin was no longer enough."""
        self.liquidated += 1
        assert fill.fee >= 0.0, f"{fill}: a liquidation pays the account"
        if not self.isolated:
            return
        slot = self.slots[fill.data]
        lost = before - self.wallet
        scale = self.value(slot.size, fill.price) + self.value(slot.size, slot.entry)
        assert abs(lost - slot.margin) <= TIGHT * scale, f"{fill}: lost {lost} of a margin of {slot.margin}"
        left = slot.margin + self.profit(slot.size, slot.entry, fill.price)
        need = self.maintenance(slot.size, fill.price)
        assert left <= need + TIGHT * scale, f"{fill}: {left} left, {need} needed: liquidated too early"
        if fill.price != self._open(fill, step) and left > TIGHT * scale:
            assert left >= need - TIGHT * scale, f"{fill}: {left} left, {need} needed: liquidated too late"

    def _check_survival(self, step: Step, held: list[float]) -> None:
        """Without a fill, each margin pool has survived the adverse extremes of its symbols' bars."""
        if step.fills or not any(held):
            return
        rows = [self._row(number, step) for number in range(len(held))]
        pools = [[n] for n, size in enumerate(held) if size] if self.isolated else [range(len(held))]
        for pool in pools:
            equity = self.slots[pool[0]].margin if self.isolated else self.wallet + step.insurance
            need = 0.0
            for number in pool:
                slot, market, row = self.slots[number], self.markets[number], rows[number]
                if not slot.size:
                    continue
                price = slot.mark
                if row is not None:
                    price = float(market.low[row] if slot.size > 0.0 else market.high[row])
                equity += self.profit(slot.size, slot.entry, price)
                need += self.maintenance(slot.size, price)
            assert equity > need - TIGHT * self.start, f"{step.time}: {equity} does not carry {need}"

    def _check_equity(self, step: Step) -> None:
        unrealised = self.unrealised()
        expected = self.wallet + unrealised + step.insurance
        scale = self.start + sum(self.value(slot.size, slot.mark) for slot in self.slots if slot.size)
        scale += abs(self.realised) + abs(self.funding) + self.fees
        assert abs(step.equity - expected) <= TIGHT * scale, (
            f"equity at {step.time}: account {step.equity}, ledger {expected} = {self.start} "
            f"+ {self.realised} realised + {unrealised} unrealised - {self.fees} fees "
            f"- {self.funding} funding + {step.insurance} insurance"
        )
        assert step.equity >= -TIGHT * scale, "equity below zero"
        # The fund covers what one fee, slippage or funding payment took beyond the equity, and nothing else.
        assert -TIGHT * scale <= step.insurance <= self.paid + TIGHT * scale, "equity out of nothing"
        if self.costs.contract == "spot":
            assert all(slot.size >= 0.0 for slot in self.slots), "short on spot"
            spent = sum(slot.size * slot.entry * self.costs.mult for slot in self.slots)
            assert self.wallet - spent >= -TIGHT * scale, "spot bought on credit"
