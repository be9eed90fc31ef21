"""Trades computed from fills: flips, partial reductions, liquidation, several symbols, two brokers."""

import backtrader as bt
import numpy as np
import pytest

from tests.strategies.market import HOUR, START, bars, equity_of, free_broker, free_commission, run, trade


def closed_of(strategy):
    return strategy.analyzers.trades.get_analysis()["closed"]


def test_a_round_trip_splits_price_fees_and_funding():
    # Long 10 at 100, sold at 120: gross 200, fees 1 + 1.2, funding 10 x 110 x 0.01 = 11.
    market = bars([100, 100, 110, 120, 120], {2: 0.01})
    strategy = run(market, {0: [trade(10)], 2: [trade(-10)]}, free_broker(taker=0.001))
    assert {name: list(column) for name, column in closed_of(strategy).items()} == {
        "symbol": ["BTC/USDT:USDT"],
        "side": ["long"],
        "opened": [START + 2 * HOUR],
        "closed": [START + 4 * HOUR],
        "bars": [2],
        "size": [10.0],
        "entry_price": [100.0],
        "exit_price": [120.0],
        "gross_pnl": [pytest.approx(200.0)],
        "fees": [pytest.approx(2.2)],
        "funding": [pytest.approx(11.0)],
        "net_pnl": [pytest.approx(186.8)],
    }


@pytest.mark.parametrize("broker", ["perpetual", "stock"])
def test_a_flip_ends_one_trade_and_begins_the_next(broker):
    # Long 10 at 100, at 110 sold 25: long closed (+100), short 15 from 110, bought back at 104 (+90).
    # The fee of the flip, 2.75, is split 1.1 to 1.65; funding at 106 is paid to the short: -15 x 106 x 0.01.
    if broker == "stock":
        account = bt.brokers.BackBroker()
        account.addcommissioninfo(free_commission(taker=0.001))
    else:
        account = free_broker(taker=0.001)
    market = bars([100, 100, 110, 106, 104, 104], {3: 0.01})
    strategy = run(market, {0: [trade(10)], 1: [trade(-25)], 3: [trade(15)]}, account)
    closed = closed_of(strategy)
    assert closed["side"] == ["long", "short"]
    assert closed["gross_pnl"].tolist() == pytest.approx([100.0, 90.0])
    assert closed["fees"].tolist() == pytest.approx([2.1, 1.65 + 1.56])
    assert closed["funding"].tolist() == pytest.approx([0.0, -15.9])
    assert closed["opened"].tolist() == [START + 2 * HOUR, START + 3 * HOUR]
    assert closed["net_pnl"].sum() == pytest.approx(equity_of(strategy)[-1] - 10_000)


def test_partial_reductions_and_additions_are_one_trade_with_average_prices():
    # Buy 10 at 100 and 10 at 110, sell 5 at 120, buy 5 at 130, sell 20 at 125.
    market = bars([100, 100, 110, 120, 130, 125, 125])
    orders = {0: [trade(10)], 1: [trade(10)], 2: [trade(-5)], 3: [trade(5)], 4: [trade(-20)]}
    closed = closed_of(run(market, orders))
    assert closed["size"].tolist() == [20.0]
    assert closed["entry_price"].tolist() == pytest.approx([(1000 + 1100 + 650) / 25])
    assert closed["exit_price"].tolist() == pytest.approx([(600 + 2500) / 25])
    assert closed["gross_pnl"].tolist() == pytest.approx([350.0])


@pytest.mark.parametrize("sizes", [(0.1, 0.2, -0.3), (0.3, -0.1, -0.1, -0.1)])
def test_dust_neither_keeps_a_trade_open_nor_opens_one_on_the_stock_broker(sizes):
    account = bt.brokers.BackBroker()
    account.addcommissioninfo(free_commission())
    strategy = run(bars([100] * 6), dict(enumerate([[trade(size)] for size in sizes])), account)
    trades = strategy.analyzers.trades.get_analysis()
    assert trades["n_trades"] == 1
    assert len(trades["open"]["size"]) == 0


def test_symbols_are_matched_apart():
    datas = [bars([100, 100, 110, 110], symbol="A"), bars([50, 50, 40, 40], symbol="B")]
    strategy = run(datas, {0: [trade(10, 0), trade(-10, 1)], 1: [trade(-10, 0), trade(10, 1)]})
    closed = closed_of(strategy)
    assert list(zip(closed["symbol"], closed["side"], closed["gross_pnl"].tolist(), strict=True)) == [
        ("A", "long", 100.0),
        ("B", "short", 100.0),
    ]


def test_a_liquidation_closes_the_trade_with_its_fee():
    strategy = run(bars([100, 100, (100, 100, 30, 30)]), {0: [trade(1000)]})
    closed = closed_of(strategy)
    price = 90_000 / 995
    assert closed["exit_price"].tolist() == pytest.approx([price])
    assert closed["fees"].tolist() == pytest.approx([5 * price])
    assert closed["net_pnl"].tolist() == pytest.approx([-10_000.0])


def test_c11_no_trades_give_a_whole_answer():
    figures = run(bars([100] * 3), {}).analyzers.trades.get_analysis()
    assert figures["n_trades"] == 0
    assert figures["win_rate"] is None
    assert figures["profit_factor"] is None
    assert len(figures["closed"]["net_pnl"]) == len(figures["open"]["net_pnl"]) == 0


def test_c11_a_trade_open_at_the_end_is_reported_at_the_last_close_and_not_counted():
    # 10 at 100, 4 sold at 110, 6 marked at 120: 40 + 120.
    market = bars([100, 100, 110, 120], {3: 0.01})
    figures = run(market, {0: [trade(10)], 1: [trade(-4)]}).analyzers.trades.get_analysis()
    still = figures["open"]
    assert figures["n_trades"] == 0
    assert still["gross_pnl"].tolist() == [pytest.approx(160.0)]
    assert still["funding"].tolist() == [pytest.approx(6 * 120 * 0.01)]
    assert still["exit_price"].tolist() == [110.0]
    assert still["closed"].tolist() == [START + 4 * HOUR]


def test_rates_count_net_profits():
    # Trades of +100, -50 and +0.5 before fees of about 2 each: the last one lost.
    market = bars([100, 100, 110, 110, 105, 105, 105.05, 105.05])
    orders = {
        0: [trade(10)],
        1: [trade(-10)],
        2: [trade(10)],
        3: [trade(-10)],
        4: [trade(10)],
        5: [trade(-10)],
    }
    figures = run(market, orders, free_broker(taker=0.001)).analyzers.trades.get_analysis()
    net = figures["closed"]["net_pnl"]
    assert figures["n_trades"] == 3
    assert np.sign(net).tolist() == [1.0, -1.0, -1.0]
    assert figures["win_rate"] == pytest.approx(1 / 3)
    assert figures["profit_factor"] == pytest.approx(net[0] / -(net[1] + net[2]))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("stock", [True, False])
def test_trades_open_and_closed_explain_all_of_the_equity(seed, stock):
    rng = np.random.default_rng(seed)
    prices = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, 60)))
    settled = {int(i): float(rng.normal(0, 0.001)) for i in range(8, 60, 8)}
    orders = {i: [trade(float(rng.choice([-1, 1]) * rng.uniform(0.1, 20)))] for i in range(0, 60, 2)}
    if stock:
        account = bt.brokers.BackBroker()
        account.addcommissioninfo(free_commission(taker=0.001))
    else:
        account = free_broker(slippage=0.001, taker=0.001)
    strategy = run(bars(prices.tolist(), settled), orders, account)
    trades = strategy.analyzers.trades.get_analysis()
    explained = trades["closed"]["net_pnl"].sum() + trades["open"]["net_pnl"].sum()
    assert equity_of(strategy)[-1] - 10_000 == pytest.approx(explained, abs=1e-6)
    columns = (trades["closed"], trades["open"])
    fees = strategy.analyzers.orders.get_analysis()["fee"].sum()
    assert sum(c["fees"].sum() for c in columns) == pytest.approx(fees)
    funding = strategy.analyzers.funding.get_analysis()["amount"].sum()
    assert sum(c["funding"].sum() for c in columns) == pytest.approx(funding)


def test_the_multiplier_of_a_contract_counts_in_its_profit():
    # Backtrader's futures: 2 contracts of 50 units, bought at 100 and sold at 101, gain 100.
    account = bt.brokers.BackBroker()
    account.setcommission(commission=0.0, margin=1_000.0, mult=50.0)
    strategy = run(bars([100, 100, 101, 101]), {0: [trade(2)], 1: [trade(-2)]}, account)
    assert closed_of(strategy)["gross_pnl"].tolist() == pytest.approx([100.0])
    assert equity_of(strategy)[-1] == pytest.approx(10_100.0)


def test_an_inverse_contract_earns_in_its_coin():
    # 10,000 contracts of 1 USD from 40,000 to 50,000 earn 10,000 (1 / 40,000 - 1 / 50,000) = 0.05 BTC.
    broker = free_broker(contract="inverse")
    market = bars([40_000, 40_000, 50_000, 50_000], symbol="BTC/USD:BTC")
    strategy = run(market, {0: [trade(10_000)], 1: [trade(-10_000)]}, broker, cash=1.0)
    closed = closed_of(strategy)
    assert closed["gross_pnl"].tolist() == pytest.approx([0.05])
    assert closed["entry_price"].tolist() == pytest.approx([40_000.0])
    assert closed["exit_price"].tolist() == pytest.approx([50_000.0])
    assert equity_of(strategy)[-1] == pytest.approx(1.05)
