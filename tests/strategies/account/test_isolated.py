"""Isolated margin: a position can lose its own margin and no more; the rest of the account goes on."""

import backtrader as bt
import pytest

from strategies.account.broker import PerpetualBroker
from tests.strategies.market import bars, equity_of, free_broker, free_commission, run, trade


def isolated(**terms):
    return free_broker(margin_mode="isolated", **terms)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_ten_times_through_a_fall_of_seventy_percent_costs_the_margin(side):
    # 1,000 units at 100 are 100,000 at 10x: margin 10,000, the whole account; equity ends at 0, never below.
    worst = 100 - 70 * side
    market = bars([100, 100, (100, max(100, worst), min(100, worst), worst), worst])
    strategy = run(market, {0: [trade(1000 * side)]}, isolated())
    assert equity_of(strategy) == pytest.approx([10_000, 10_000, 0, 0])
    assert min(equity_of(strategy)) >= 0.0
    assert strategy.broker.insurance == 0.0
    # Half of it leaves the other half.
    strategy = run(market_like(worst), {0: [trade(500 * side)]}, isolated())
    assert equity_of(strategy) == pytest.approx([10_000, 10_000, 5_000, 5_000])


def market_like(worst):
    return bars([100, 100, (100, max(100, worst), min(100, worst), worst), worst])


@pytest.mark.parametrize(("side", "price"), [(1.0, 90 / 0.995), (-1.0, 110 / 1.005)])
def test_the_price_of_an_isolated_liquidation_is_the_exchanges(side, price):
    # margin 10 per unit: 10 + side (p - 100) = 0.005 p.
    strategy = run(market_like(100 - 50 * side), {0: [trade(100 * side)]}, isolated())
    orders = strategy.analyzers.orders.get_analysis()
    assert orders["price"][1] == pytest.approx(price)
    assert orders["fee"][1] == pytest.approx(0.005 * 100 * price)
    assert equity_of(strategy)[-1] == pytest.approx(9_000.0)


def test_a_gap_beyond_bankruptcy_costs_the_margin_too():
    strategy = run(bars([100, 100, 60, 60]), {0: [trade(100)]}, isolated())
    orders = strategy.analyzers.orders.get_analysis()
    assert (orders["price"][1], orders["fee"][1]) == (pytest.approx(90.0), 0.0)
    assert equity_of(strategy)[-1] == pytest.approx(9_000.0)


def test_one_position_falls_and_the_other_and_its_orders_stay():
    datas = [bars([100, 100, (100, 100, 80, 80), 80, 80], symbol="A"), bars([50, 50, 50, 60, 60], symbol="B")]
    limit = trade(-100, 1, price=59.0, exectype=bt.Order.Limit)
    strategy = run(datas, {0: [trade(100, 0), trade(100, 1)], 1: [limit]}, isolated())
    orders = strategy.analyzers.orders.get_analysis()
    assert orders["liquidation"].tolist() == [False, False, True, False]
    assert orders["symbol"] == ["A", "B", "A", "B"]
    assert equity_of(strategy)[-1] == pytest.approx(10_000 - 1_000 + 100 * 10.0)


def test_a_gain_of_one_isolated_position_does_not_carry_another():
    datas = [bars([100, 100, 80, 80], symbol="A"), bars([50, 50, 80, 80], symbol="B")]
    strategy = run(datas, {0: [trade(100, 0), trade(1_000, 1)]}, isolated())
    assert equity_of(strategy)[-1] == pytest.approx(10_000 - 1_000 + 30_000)
    assert strategy.broker.liquidations == 1


def test_an_isolated_order_needs_its_margin_in_the_free_balance():
    # 950 units need 9,500; another 60 need 600, and 500 are free.
    strategy = run(bars([100] * 5), {0: [trade(950)], 1: [trade(60)], 2: [trade(50)]}, isolated())
    assert [status for _, status, _ in strategy.notices] == ["Completed", "Margin", "Completed"]
    assert strategy.broker.free_equity() == pytest.approx(0.0)


def test_the_margin_grows_with_an_addition_and_shrinks_with_a_part_sold():
    # 100 at 100 (1,000), 100 at 120 (1,200); half is sold at 120, which realises 100 x (120 - 110) = 1,000.
    market = bars([100, 100, 120, 120, 120])
    strategy = run(market, {0: [trade(100)], 1: [trade(100)], 2: [trade(-100)]}, isolated())
    assert equity_of(strategy)[-1] == pytest.approx(12_000.0)
    # The rest: 100 at 110 with a margin of 1,100.
    assert strategy.broker.free_equity() == pytest.approx(10_000 + 1_000 - 1_100)


def test_a_flip_frees_the_old_margin_and_takes_the_new():
    strategy = run(bars([100, 100, 110, 110]), {0: [trade(100)], 1: [trade(-300)]}, isolated())
    # 100 earned 1,000; 200 short at 110 need 2,200.
    assert strategy.position.size == -200.0
    assert strategy.broker.free_equity() == pytest.approx(11_000 - 2_200)


def test_funding_beyond_the_free_balance_is_taken_from_the_margin():
    # Margin 10,000, nothing free: funding of 1 % of 100,000 leaves 9,000: 9 + p - 100 = 0.005 p at 91 / 0.995.
    market = bars([100, 100, (100, 100, 50, 50), 50], {2: 0.01})
    strategy = run(market, {0: [trade(1000)]}, isolated())
    assert strategy.analyzers.orders.get_analysis()["price"][1] == pytest.approx(91 / 0.995)
    assert equity_of(strategy)[-1] == pytest.approx(0.0, abs=1e-9)


def test_cross_and_isolated_positions_share_one_account():
    # A isolated: 100 at 100, margin 1,000. B cross: 800 at 100 with the other 9,000; it falls to 90 and survives.
    broker = PerpetualBroker(slippage=0.0, commission=free_commission())
    broker.addcommissioninfo(free_commission(margin_mode="isolated"), name="A")
    datas = [bars([100, 100, 60, 60], symbol="A"), bars([100, 100, 90, 90], symbol="B")]
    strategy = run(datas, {0: [trade(100, 0), trade(800, 1)]}, broker)
    assert equity_of(strategy)[-1] == pytest.approx(10_000 - 1_000 - 8_000)
    assert strategy.broker.liquidations == 1
    # With 950 the cross pool of 9,000 is bankrupt at 90.5; the isolated position at 100 keeps its margin.
    datas = [bars([100, 100, 100, 100], symbol="A"), bars([100, 100, (100, 100, 80, 80), 80], symbol="B")]
    strategy = run(datas, {0: [trade(100, 0), trade(850, 1)]}, broker)
    assert equity_of(strategy)[-1] == pytest.approx(1_000.0)
    assert strategy.getposition(strategy.datas[0]).size == 100.0
