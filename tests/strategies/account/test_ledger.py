"""The account against an independent ledger, on random markets, orders and modes."""

from __future__ import annotations

import backtrader as bt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.btdata import BarsData, ReplayData
from strategies.account.broker import PerpetualBroker
from strategies.account.costs import Costs
from tests.strategies.account.ledger import HOUR, Ledger, Market, Witness
from tests.strategies.account.random_market import random_market

CASH = 10_000.0


@st.composite
def scenarios(draw):
    """Return what `play` needs."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(10, 36))
    jump = draw(st.sampled_from([0.0, 0.1, 0.35]))
    frames, markets = [], []
    for number in range(draw(st.integers(1, 3))):
        mode = draw(st.sampled_from(["plain", "plain", "resample", "replay"])) if number else "plain"
        plain = number and mode == "plain"
        holes = draw(st.sampled_from(["none", "keep", "ffill"])) if plain else "none"
        late = draw(st.sampled_from([0, 3, 7])) if plain else 0
        ended = draw(st.sampled_from([0, 2])) if plain else 0
        frame, made = random_market(rng, n, late, ended, jump, mode, holes)
        frames.append(frame)
        markets.append(made)
    orders = {}
    for _ in range(draw(st.integers(1, 10))):
        orders.setdefault(draw(st.integers(0, n - 2)), []).append(draw(order(len(markets))))
    costs = Costs(
        taker=0.001,
        maker=draw(st.sampled_from([-0.0002, 0.0004])),
        slippage=draw(st.sampled_from([0.0, 0.002])),
        lot_step=0.0,
        min_notional=0.0,
        participation=draw(st.sampled_from([0.0, 0.0, 0.5])),
    )
    modes = draw(
        st.sampled_from(
            [{}, {"runonce": False}, {"preload": False}, {"exactbars": 1}, {"exactbars": -1}, {"live": True}]
        )
    )
    return frames, markets, orders, costs, modes


@st.composite
def order(draw, symbols):
    """Return (data number, method, arguments) of an order; prices are around 100, where the walks begin."""
    number = draw(st.integers(0, symbols - 1))
    size = draw(st.sampled_from([1.0, 30.0, 120.0, 450.0, 900.0]))
    method = draw(st.sampled_from(["buy", "sell"]))
    kind = draw(
        st.sampled_from(["Market", "Market", "Limit", "Stop", "StopLimit", "StopTrail", "bracket", "close"])
    )
    price = draw(st.floats(85.0, 115.0))
    if kind == "close":
        return number, "order_target_size", {"target": 0}
    if kind == "bracket":
        up, down = price * 1.05, price * 0.95
        exits = (
            {"stopprice": down, "limitprice": up}
            if method == "buy"
            else {"stopprice": up, "limitprice": down}
        )
        return number, f"{method}_bracket", {"size": size, "price": price, **exits}
    more = {}
    if kind != "Market":
        more["price"] = price
    if kind == "StopLimit":
        more["plimit"] = price * (1.01 if method == "buy" else 0.99)
    if kind == "StopTrail":
        more = {"trailpercent": 0.03}
    return number, method, {"size": size, "exectype": getattr(bt.Order, kind), **more}


def play(frames, markets, orders, costs, modes, cash=CASH):
    more = dict(modes)
    feed = ReplayData if more.pop("live", False) else BarsData
    cerebro = bt.Cerebro(stdstats=False, **more)
    for number, (frame, made) in enumerate(zip(frames, markets, strict=True)):
        data = feed(dataname=frame, symbol=f"S{number}", timeframe="1h", gaps="keep")
        if made.mode == "plain":
            cerebro.adddata(data)
        else:
            add = cerebro.resampledata if made.mode == "resample" else cerebro.replaydata
            add(data, timeframe=bt.TimeFrame.Minutes, compression=240, name=f"S{number}")
    cerebro.setbroker(PerpetualBroker(cash=cash, costs=costs))
    cerebro.addstrategy(Witness, orders=orders)
    return cerebro.run()[0]


@given(scenarios())
@settings(max_examples=40, deadline=None)
def test_the_account_agrees_with_an_independent_ledger(scenario):
    frames, markets, orders, costs, modes = scenario
    witness = play(frames, markets, orders, costs, modes)
    ledger = Ledger(markets, costs.taker, costs.maker, costs.slippage, costs.maintenance_margin, CASH)
    ledger.check(witness.steps)


def test_the_ledger_notices_money_out_of_nothing():
    rng = np.random.default_rng(0)
    frame, made = random_market(rng, 20, 0, 0, 0.0, "plain", "none")
    costs = Costs(lot_step=0.0, min_notional=0.0)
    witness = play([frame], [made], {0: [(0, "buy", {"size": 10.0})]}, costs, {})
    ledger = Ledger([made], costs.taker, costs.maker, costs.slippage, costs.maintenance_margin, CASH)
    ledger.check(witness.steps)
    assert ledger.size == [10.0]
    assert ledger.fees > 0.0
    witness.steps[10].equity += 0.01
    again = Ledger([made], costs.taker, costs.maker, costs.slippage, costs.maintenance_margin, CASH)
    with pytest.raises(AssertionError, match="equity at"):
        again.check(witness.steps)


def hours(opens):
    """Return the frame and the `Market` of bars that open at `opens` and move by one up and one down."""
    rng = np.random.default_rng(0)
    frame, _ = random_market(rng, len(opens), 0, 0, 0.0, "plain", "none")
    opens = np.asarray(opens, dtype=np.float64)
    frame = frame.assign(open=opens, high=opens + 1, low=opens - 1, close=opens, funding_rate=0.0)
    columns = [frame[name].to_numpy() for name in ("open", "high", "low", "close", "funding_rate", "filled")]
    return frame, columns


@pytest.mark.parametrize("mode", [{}, {"runonce": False}, {"preload": False}, {"live": True}])
def test_the_last_bar_of_a_resampled_data_is_filled_at_its_own_open(mode):
    # Five hours: the second bar of 4 h holds one hour, opens at 150, and Backtrader delivers it after the end.
    frame, columns = hours([100, 100, 100, 100, 150])
    closes = frame["timestamp"].to_numpy() + HOUR
    markets = [Market(closes, *columns), Market(closes, *columns, mode="resample")]
    costs = Costs(lot_step=0.0, min_notional=0.0, slippage=0.0)
    witness = play([frame, frame], markets, {3: [(1, "buy", {"size": 1.0})]}, costs, mode)
    assert [fill.price for step in witness.steps for fill in step.fills if fill.data == 1] == [150.0]


def test_a_limit_order_that_crosses_at_the_open_pays_the_full_slippage():
    # The bar opens at 100 and trades up to 101; 3 % of slippage lead to 103, and the limit is 102.
    frame, columns = hours([100, 100, 100])
    made = Market(frame["timestamp"].to_numpy() + HOUR, *columns)
    costs = Costs(lot_step=0.0, min_notional=0.0, slippage=0.03)
    for limit, price in ((110.0, 103.0), (102.0, 102.0)):
        order = {"size": 1.0, "exectype": bt.Order.Limit, "price": limit}
        witness = play([frame], [made], {0: [(0, "buy", order)]}, costs, {})
        assert [fill.price for step in witness.steps for fill in step.fills] == [pytest.approx(price)]
