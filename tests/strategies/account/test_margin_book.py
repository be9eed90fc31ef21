"""The margin of an account with many symbols: kept from order to order, and the same answers as the full sum."""

from __future__ import annotations

import math

import backtrader as bt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies.account.broker import PerpetualBroker
from strategies.account.costs import Costs
from strategies.account.holdings import Holding, MarginBook, Stake, is_margined
from strategies.account.perpetual import PerpetualCommission
from strategies.account.risk_tiers import RiskTiers, read_tiers
from tests.strategies.market import bars, equity_of, free_broker, run, trade

TIERS = RiskTiers(read_tiers([(5_000, 0.01, 20), (20_000, 0.02, 10), (1e9, 0.05, 5)]))


def holding(leverage, tiers=None, *, isolated=False):
    made = object.__new__(Holding)
    made.leverage, made.tiers, made.isolated = leverage, tiers, isolated
    return made


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_every_order_of_a_bar_gets_the_answer_of_the_full_sum(seed):
    rng = np.random.default_rng(seed)
    kinds = [
        holding(float(rng.choice([1.0, 7.3, 50.0])), TIERS if rng.random() < 0.3 else None, isolated=own)
        for own in rng.random(rng.integers(1, 12)) < 0.3
    ]
    stakes = {}
    for one in kinds:
        size, mark = float(rng.normal() * 10.0 ** rng.integers(-3, 4)), float(np.exp(rng.normal(2.0, 3.0)))
        margin, basis = (abs(size * mark) / one.leverage, size * mark * 1.1) if one.isolated else (0.0, 0.0)
        stakes[one] = Stake(size, mark, margin, basis)
    book, full = MarginBook(dict(stakes)), dict(stakes)
    cash = float(rng.normal() * 1e4)
    for _ in range(30):
        one = kinds[rng.integers(len(kinds))]
        before = full[one]
        size = float(rng.choice([-before.size, rng.normal() * 10.0 ** rng.integers(-3, 4)]))
        after = before.after(one, size, before.mark, before.mark)
        trial = {**full, one: after}
        # Half of the orders meet an account at its limit, a few roundings more or less.
        need = _need(trial)
        limits = [need, math.nextafter(need, math.inf), math.nextafter(need, -math.inf), need * (1.0 + 1e-10)]
        asked = float(rng.choice([*limits, cash, cash, cash, cash - size * before.mark]))
        expected = is_margined(asked, trial)
        assert book.carries(asked, one, after) is expected
        if expected or rng.random() < 0.3:
            moved = after._replace(mark=after.mark * float(np.exp(rng.normal(0.0, 0.1))))
            book.put(one, moved)
            full[one] = moved
    assert book.stakes == full


def _need(book):
    """Return about the cash at which the book is just margined."""
    low, high = -1e15, 1e15
    for _ in range(120):
        middle = (low + high) / 2.0
        low, high = (low, middle) if is_margined(middle, book) else (middle, high)
    return high


def test_an_order_reads_its_own_stake_and_not_those_of_all_symbols(monkeypatch):
    asked = []
    initial = Holding.initial
    monkeypatch.setattr(Holding, "initial", lambda one, value: asked.append(one) or initial(one, value))
    kinds = [holding(10.0) for _ in range(400)]
    book = MarginBook({one: Stake(1.0, 100.0, 0.0, 0.0) for one in kinds})
    # 400 positions of 100 at 10x need 4000; equity is 40 000 of positions less the 30 000 that they cost.
    for one in kinds:
        after = Stake(2.0, 100.0, 0.0, 0.0)
        assert book.carries(-30_000.0, one, after)
        assert not book.carries(-37_000.0, one, after)
    assert len(asked) == 400 + 2 * 2 * 400


class Full(MarginBook):
    """Sum all stakes at each order."""

    def carries(self, cash, holding, stake):
        return is_margined(cash, {**self.stakes, holding: stake})


@pytest.mark.parametrize("mode", ["cross", "isolated"])
def test_a_run_with_many_refusals_is_the_same_bit_for_bit(monkeypatch, mode):
    rng = np.random.default_rng(5)
    n, symbols = 60, 6
    prices = []
    for _ in range(symbols):
        close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, n)))
        opened = np.append(100.0, close[:-1])
        high, low = np.maximum(opened, close) * 1.005, np.minimum(opened, close) * 0.995
        prices.append(list(zip(opened, high, low, close, strict=True)))
    orders = {}
    for _ in range(400):
        more = {"exectype": bt.Order.Limit, "price": 100.0} if rng.random() < 0.3 else {}
        entry = trade(float(rng.normal() * 150.0), int(rng.integers(symbols)), **more)
        orders.setdefault(int(rng.integers(n - 2)), []).append(entry)

    def once():
        datas = [bars(path, symbol=f"S{number}") for number, path in enumerate(prices)]
        costs = Costs(lot_step=0.0, margin_mode=mode, risk_tiers=TIERS.tiers)
        strategy = run(datas, orders, PerpetualBroker(commission=PerpetualCommission.of(costs)))
        return strategy.notices, equity_of(strategy), dict(strategy.broker.rejections)

    kept = once()
    monkeypatch.setattr("strategies.account.broker.MarginBook", Full)
    assert once() == kept
    assert kept[2]["margin"] > 20


def test_a_spot_sale_counts_the_sales_before_it_on_the_bar_and_no_canceled_one():
    class Seller(bt.Strategy):
        def __init__(self):
            self.ends = []

        def next(self):
            if len(self) == 1:
                self.buy(size=2.0)
            elif len(self) == 3:
                self.rest = self.sell(size=2.0, exectype=bt.Order.Limit, price=500.0)
            elif len(self) == 4:
                self.sell(size=1.0)  # 2 of 2 are offered already
                self.cancel(self.rest)
                for _ in range(3):
                    self.sell(size=1.0)

        def notify_order(self, order):
            if not order.alive() and order.issell():
                self.ends.append((order.getstatusname(), order.info.get("reason", None)))

    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(bars([100.0] * 6, symbol="BTC/USDT"))
    cerebro.setbroker(free_broker(contract="spot"))
    cerebro.addstrategy(Seller)
    seller = cerebro.run()[0]
    refused, done = ("Rejected", "short_on_spot"), ("Completed", None)
    assert sorted(seller.ends, key=str) == sorted([refused, ("Canceled", None), refused, done, done], key=str)
    assert seller.position.size == 0.0
