"""The slippage model named in the costs prices a fill from its own bar, never in favour of the account."""

import math

import backtrader as bt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies import Costs, FillFacts, PerpetualBroker, register_slippage
from strategies.account.fill_price import fill_price
from strategies.account.slippage import SLIPPAGE
from tests.strategies.market import bars, free_commission, run, trade

MARKET = FillFacts(10.0, 100.0, "market", 100.0, 104.0, 98.0, 50.0)


@pytest.fixture
def seen():
    """Register a model that moves the price by 1 % and records its arguments."""
    asked = []

    @register_slippage("noting")
    def noting(costs, fill):
        asked.append((costs.slippage, fill))
        return 0.01

    yield asked
    SLIPPAGE.remove("noting")


def play(orders, prices, **params):
    strategy = run(bars(prices), orders, PerpetualBroker(commission=free_commission(), **params))
    return strategy.analyzers.orders.get_analysis()["price"].tolist()


def test_the_fixed_model_moves_both_sides_by_the_same_fraction():
    assert fill_price(Costs(slippage=0.01), MARKET) == 101.0
    assert fill_price(Costs(slippage=0.01), MARKET._replace(size=-10.0)) == 99.0
    assert fill_price(Costs(slippage=0.01), MARKET, limit=100.5) == 100.5
    assert fill_price(Costs(slippage=0.01), MARKET._replace(size=-10.0), limit=99.5) == 99.5
    assert fill_price(Costs(slippage=0.01), MARKET, limit=102.0) == 101.0


@given(size=st.sampled_from([-3.0, 2.0]), price=st.floats(0.01, 1e6), slippage=st.floats(0, 0.99))
def test_slippage_is_never_in_favour_of_the_account(size, price, slippage):
    filled = fill_price(Costs(slippage=slippage), MARKET._replace(size=size, price=price))
    assert (filled - price) * size >= 0.0
    assert filled > 0.0


@pytest.mark.parametrize("move", [-1e-9, 1.0, math.nan, math.inf])
def test_a_model_that_returns_no_fraction_is_named(move):
    register_slippage("wrong")(lambda costs, fill: move)
    try:
        with pytest.raises(
            ValueError, match=r"slippage_model 'wrong': expected a fraction of the price.*found"
        ):
            fill_price(Costs(slippage_model="wrong"), MARKET)
    finally:
        SLIPPAGE.remove("wrong")


def test_a_model_hears_of_the_order_and_of_the_bar_that_fills_it(seen):
    orders = {0: [trade(10)], 1: [trade(-4)]}
    prices = play(
        orders, [100, (100, 104, 98, 102), (102, 103, 101, 101)], slippage=0.5, slippage_model="noting"
    )
    assert prices == pytest.approx([101.0, 102 * 0.99])
    assert seen == [
        (0.5, FillFacts(10.0, 100.0, "market", 100.0, 104.0, 98.0, 1.0)),
        (0.5, FillFacts(-4.0, 102.0, "market", 102.0, 103.0, 101.0, 1.0)),
    ]


def test_stops_slip_from_their_trigger_and_limits_that_wait_do_not_slip(seen):
    stop = {0: [trade(10, exectype=bt.Order.Stop, price=103.0)]}
    assert play(stop, [100, (100, 104, 98, 102), 102], slippage_model="noting") == [pytest.approx(103 * 1.01)]
    assert seen[0][1][:3] == (10.0, 103.0, "stop")
    limit = {0: [trade(10, exectype=bt.Order.Limit, price=99.0)]}
    assert play(limit, [100, (100, 104, 98, 102), 102], slippage_model="noting") == [99.0]
    assert len(seen) == 1
    crossing = {0: [trade(10, exectype=bt.Order.Limit, price=100.5)]}
    assert play(crossing, [100, (100, 104, 98, 102), 102], slippage_model="noting") == [100.5]
    assert seen[1][1][:3] == (10.0, 100.0, "limit")


def test_the_costs_of_a_broker_name_the_model(seen):
    broker = PerpetualBroker(costs=Costs(slippage_model="noting", taker=0.0))
    orders = run(bars([100, 100, 100]), {0: [trade(10)]}, broker).analyzers.orders.get_analysis()
    assert orders["price"].tolist() == [pytest.approx(101.0)]
    assert orders["slippage"].tolist() == [pytest.approx(10.0)]


@pytest.mark.parametrize("make", [Costs, PerpetualBroker])
def test_an_unknown_model_is_answered_with_a_known_one(make):
    with pytest.raises(ValueError, match=r"slippage_model: expected one of fixed.*did you mean 'fixed'\?"):
        make(slippage_model="fixd")
