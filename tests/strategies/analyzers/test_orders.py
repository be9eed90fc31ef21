"""Orders and funding as columns."""

import backtrader as bt
import numpy as np
import pytest

from strategies.account.broker import PerpetualBroker
from strategies.analyzers import EquityCurve, Funding, Orders, Trades
from tests.strategies.market import HOUR, START, bars, free_broker, free_commission, run, trade


def test_an_order_row_says_when_what_and_at_which_cost():
    market = bars([100, (102, 110, 90, 105), 105])
    strategy = run(market, {0: [trade(-10)]}, free_broker(slippage=0.01, taker=0.001))
    orders = strategy.analyzers.orders.get_analysis()
    price = 102 * 0.99
    assert {name: list(column) for name, column in orders.items()} == {
        "time": [START + 2 * HOUR],
        "decided": [START + HOUR],
        "symbol": ["BTC/USDT:USDT"],
        "side": ["sell"],
        "size": [-10.0],
        "requested": [-10.0],
        "price": [pytest.approx(price)],
        "reference_price": [102.0],
        "value": [pytest.approx(10 * price)],
        "fee": [pytest.approx(10 * price * 0.001)],
        "slippage": [pytest.approx(10 * (102 - price))],
        "status": ["completed"],
        "liquidation": [False],
        "settlement": [False],
    }


def test_an_order_without_a_fill_has_no_price():
    orders = run(bars([100] * 3), {0: [trade(5000)]}).analyzers.orders.get_analysis()
    assert np.isnan(orders["price"]).all()
    assert np.isnan(orders["reference_price"]).all()
    assert orders["fee"].tolist() == orders["slippage"].tolist() == [0.0]


def test_an_order_decided_on_the_last_bar_has_no_row():
    assert run(bars([100] * 3), {2: [trade(1)]}).analyzers.orders.get_analysis()["status"] == []


def test_the_interest_that_the_stock_broker_adds_to_fees_is_taken_out_again():
    broker = bt.brokers.BackBroker()
    broker.addcommissioninfo(free_commission(taker=0.001))
    strategy = run(bars([100] * 5, {2: 0.05}), {0: [trade(10)], 2: [trade(-10)]}, broker)
    assert strategy.analyzers.orders.get_analysis()["fee"].tolist() == pytest.approx([1.0, 1.0])
    assert strategy.analyzers.funding.get_analysis()["amount"].tolist() == pytest.approx([50.0])


def test_funding_of_several_symbols_and_schemes_is_in_order_of_time():
    broker = free_broker()
    broker.addcommissioninfo(free_commission(), name="B")
    datas = [bars([100] * 5, {2: 0.01, 4: 0.02}, symbol="A"), bars([100] * 5, {3: 0.03}, symbol="B")]
    strategy = run(datas, {0: [trade(10, 0), trade(-10, 1)]}, broker)
    funding = strategy.analyzers.funding.get_analysis()
    assert funding["symbol"] == ["A", "B", "A"]
    assert funding["amount"].tolist() == pytest.approx([10.0, -30.0, 20.0])
    assert np.diff(funding["time"]).tolist() == [HOUR, HOUR]


def test_without_a_perpetual_there_is_no_funding():
    strategy = run(bars([100] * 3, {1: 0.01}), {0: [trade(1)]}, bt.brokers.BackBroker())
    funding = strategy.analyzers.funding.get_analysis()
    assert {name: list(column) for name, column in funding.items()} == {
        name: [] for name in ("time", "symbol", "rate", "position", "price", "amount")
    }


def test_an_empty_run_has_empty_columns_of_the_right_kind():
    strategy = run(bars([100] * 3), {}, analyzers=[EquityCurve, Orders, Trades, Funding])
    orders = strategy.analyzers.orders.get_analysis()
    assert orders["time"].dtype == np.int64
    assert orders["liquidation"].dtype == bool
    assert all(len(column) == 0 for column in orders.values())


def test_what_was_filled_before_a_refusal_has_its_slippage_and_value():
    # Long 100 from 100.1 (slip 10 = 100 x 0.1); at 130 sell 1,090: 100 are closed at 129.87 (slip 13), and the 990 more
    # need 990 x 130 / 10 of margin, which 10,000 + 2,977 less fees do not cover at once: refused.
    broker = free_broker(slippage=0.001, taker=0.00055)
    market = bars([100, 100, 130, 130, 130])
    strategy = run(market, {0: [trade(100)], 1: [trade(-1090)]}, broker)
    orders = strategy.analyzers.orders.get_analysis()
    assert orders["status"] == ["completed", "margin"]
    assert orders["size"].tolist() == [100.0, -100.0]
    assert orders["slippage"].tolist() == pytest.approx([10.0, 13.0])
    assert orders["value"].tolist() == pytest.approx([10_010.0, 12_987.0])
    assert orders["fee"].tolist() == pytest.approx([10_010 * 0.00055, 12_987 * 0.00055])


def test_an_order_that_the_end_of_the_run_leaves_filled_in_part_has_a_row():
    broker = PerpetualBroker(slippage=0.01, commission=free_commission(taker=0.001), filler=lambda *_: 4.0)
    strategy = run(bars([100, 100, 110]), {0: [trade(10)]}, broker)
    orders = strategy.analyzers.orders.get_analysis()
    assert orders["status"] == ["open"]
    assert (orders["size"].tolist(), orders["requested"].tolist()) == ([8.0], [10.0])
    assert orders["value"].tolist() == pytest.approx([4 * 101 + 4 * 111.1])
    assert orders["fee"].tolist() == pytest.approx([(4 * 101 + 4 * 111.1) * 0.001])
    assert orders["slippage"].tolist() == pytest.approx([4 * 1 + 4 * 1.1])


def test_the_multiplier_of_a_contract_counts_in_exposure_value_and_slippage():
    # Backtrader's futures: 2 contracts of 50 units at 100 are worth 10,000; at 101 they have gained 100.
    broker = bt.brokers.BackBroker()
    broker.setcommission(commission=0.0, margin=1_000.0, mult=50.0)
    broker.set_slippage_perc(0.01, slip_open=True, slip_out=True)
    strategy = run(bars([100, 100, 101, 101]), {0: [trade(2)]}, broker)
    curve, orders = (getattr(strategy.analyzers, name).get_analysis() for name in ("equitycurve", "orders"))
    assert orders["value"].tolist() == pytest.approx([2 * 101 * 50])
    assert orders["slippage"].tolist() == pytest.approx([2 * 1 * 50])
    assert curve["exposure"][-1] == pytest.approx(2 * 101 * 50 / curve["equity"][-1])
    assert curve["gross"][-1] == pytest.approx(2 * 101 * 50 / curve["equity"][-1])
