"""Buy and hold, the replay of recorded orders, and the trading of given signals."""

import backtrader as bt
import numpy as np
import pytest

from strategies.account.broker import PerpetualBroker
from strategies.account.perpetual import PerpetualCommission
from strategies.analyzers import EquityCurve, Funding, Orders, Trades
from strategies.baselines import BuyAndHold, ReplayOrders, SignalStrategy, orders_to_replay
from strategies.datas import symbol_of
from tests.strategies.market import HOUR, START, bars, equity_of, free_broker, free_commission, run, trade


def play(datas, strategy, broker=None, **params):
    cerebro = bt.Cerebro(stdstats=False)
    for data in datas:
        cerebro.adddata(data)
    cerebro.setbroker(broker if broker is not None else free_broker())
    cerebro.addstrategy(strategy, **params)
    for analyzer in (EquityCurve, Orders, Trades, Funding):
        cerebro.addanalyzer(analyzer)
    return cerebro.run()[0]


def positions(strategy):
    return {symbol_of(data): strategy.getposition(data).size for data in strategy.datas}


def walk(seed, symbol, n=80):
    rng = np.random.default_rng(seed)
    prices = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, n)))
    return bars(prices.tolist(), {i: float(rng.normal(0, 0.001)) for i in range(8, n, 8)}, symbol)


def test_buy_and_hold_buys_once_and_pays_its_costs():
    # 100 units at 100 x 1.0002: slippage 2, fee 10 002 x 0.00055.
    strategy = play([bars([100, 100, 110, 90])], BuyAndHold, PerpetualBroker())
    cost = 2 + 10_002 * 0.00055
    assert equity_of(strategy) == pytest.approx([10_000, 10_000 - cost, 11_000 - cost, 9_000 - cost])


def test_buy_and_hold_splits_its_exposure_equally_and_may_be_short_or_late():
    datas = [bars([100] * 5, symbol="A"), bars([50] * 5, symbol="B")]
    strategy = play(datas, BuyAndHold, exposure=-0.5, trade_from=START + 3 * HOUR)
    assert positions(strategy) == {"A": -25.0, "B": -50.0}
    assert strategy.analyzers.orders.get_analysis()["decided"].tolist() == [START + 3 * HOUR] * 2


def test_buy_and_hold_says_what_it_cannot_buy(caplog):
    # 1.0 of cash in two halves, and the smallest order is 5.
    datas = [bars([100] * 4, symbol="A"), bars([50] * 4, symbol="B")]
    strategy = play(datas, BuyAndHold, PerpetualBroker(cash=1.0))
    assert strategy.not_bought == ["A", "B"]
    assert "A was not bought: 0.5 is below the smallest order" in caplog.text


def test_buy_and_hold_counts_contracts():
    # 10,000 buy 10 contracts of 10 units at 100.
    assert positions(play([bars([100] * 4, symbol="A")], BuyAndHold, free_broker(mult=10.0))) == {"A": 10.0}


def test_signals_count_contracts():
    signals = {"A": np.array([0.5, np.nan, np.nan, np.nan])}
    strategy = play([bars([100] * 4, symbol="A")], SignalStrategy, free_broker(mult=10.0), signals=signals)
    assert positions(strategy) == {"A": 5.0}


def test_buy_and_hold_shrinks_until_the_account_can_margin_it():
    broker = bt.brokers.BackBroker()
    broker.addcommissioninfo(free_commission(taker=0.001, leverage=1.0))
    strategy = play([bars([100] * 6)], BuyAndHold, broker)
    assert positions(strategy) == {"BTC/USDT:USDT": pytest.approx(99.0)}
    assert strategy.analyzers.orders.get_analysis()["status"] == ["margin", "completed"]


def test_baselines_need_fractional_sizes():
    with pytest.raises(TypeError, match=r"BuyAndHold needs fractional sizes.*PerpetualCommission\(\)"):
        play([bars([100] * 3)], BuyAndHold, bt.brokers.BackBroker())


def test_a_replay_repeats_orders_equity_and_funding():
    def datas():
        return [walk(1, "A"), walk(2, "B")]

    signals = {s: np.random.default_rng(i).uniform(-1, 1, 80) for i, s in enumerate("AB")}
    first = play(datas(), SignalStrategy, PerpetualBroker(), signals=signals, rebalance_band=0.2)
    recorded = first.analyzers.orders.get_analysis()
    again = play(datas(), ReplayOrders, PerpetualBroker(), orders=orders_to_replay(recorded))
    assert len(recorded["time"]) > 40
    assert equity_of(again) == equity_of(first)
    for name in ("orders", "funding"):
        ours, theirs = (getattr(s.analyzers, name).get_analysis() for s in (first, again))
        for column in ours:
            np.testing.assert_array_equal(ours[column], theirs[column])


def test_a_replay_leaves_liquidations_to_the_broker():
    market = [100, 100, (100, 100, 30, 30), 30]
    first = run(bars(market), {0: [trade(1000)]})
    orders = orders_to_replay(first.analyzers.orders.get_analysis())
    assert orders["size"].tolist() == [1000.0]
    again = play([bars(market)], ReplayOrders, orders=orders)
    assert equity_of(again) == [10_000.0, 10_000.0, 0.0, 0.0]
    assert again.broker.liquidations == 1


def test_a_replay_refuses_other_bars_and_other_symbols():
    orders = {"decided": [START + HOUR + 60_000], "symbol": ["A"], "size": [1.0]}
    with pytest.raises(ValueError, match="expected a bar that closes at"):
        play([bars([100] * 4, symbol="A")], ReplayOrders, orders=orders)
    with pytest.raises(ValueError, match="found none for A; Cerebro has B"):
        play([bars([100] * 4, symbol="B")], ReplayOrders, orders=orders)


def test_signals_become_positions_at_the_next_open():
    signals = {"A": np.array([0.5, 0.5, -1.0, np.nan, 0.0, 0.0])}
    strategy = play([bars([100] * 6, symbol="A")], SignalStrategy, signals=signals)
    curve = strategy.analyzers.equitycurve.get_analysis()
    assert curve["exposure"].tolist() == pytest.approx([0.0, 0.5, 0.5, -1.0, -1.0, 0.0])


def test_signals_may_be_given_by_time():
    times = START + HOUR * np.array([2, 4])
    strategy = play([bars([100] * 6, symbol="A")], SignalStrategy, signals={"A": (times, [1.0, 0.0])})
    curve = strategy.analyzers.equitycurve.get_analysis()
    assert curve["exposure"].tolist() == pytest.approx([0.0, 0.0, 1.0, 1.0, 0.0, 0.0])


def test_the_band_holds_small_changes_and_lets_go_to_zero():
    signals = {"A": np.array([0.5, 0.55, 0.7, 0.05, 0.0, 0.0])}
    strategy = play([bars([100] * 6, symbol="A")], SignalStrategy, signals=signals, rebalance_band=0.1)
    orders = strategy.analyzers.orders.get_analysis()
    assert orders["size"].tolist() == pytest.approx([50.0, 20.0, -65.0, -5.0])


def test_the_gross_exposure_of_all_symbols_is_capped():
    datas = [bars([100] * 3, symbol="A"), bars([100] * 3, symbol="B")]
    strategy = play(
        datas, SignalStrategy, signals={"A": np.ones(3), "B": -0.5 * np.ones(3)}, max_exposure=0.9
    )
    assert positions(strategy) == pytest.approx({"A": 60.0, "B": -30.0})


def test_a_position_without_a_signal_is_kept_and_counts_toward_the_cap():
    datas = [bars([100, 100, 110, 110], symbol="A"), bars([100] * 4, symbol="B")]
    signals = {"A": [0.5, np.nan, np.nan, np.nan], "B": [0.0, 1.0, 1.0, 1.0]}
    strategy = play(datas, SignalStrategy, signals=signals)
    # Bar 1: A takes 0.5 of 10 000, so B gets 50 units. Bar 2: A is 5500 and B may be 5000 of 10 500.
    assert positions(strategy) == {"A": 50.0, "B": pytest.approx(50.0)}


def test_signals_move_in_whole_lots():
    broker = free_broker()
    broker.addcommissioninfo(PerpetualCommission(taker=0.0, lot_step=0.1))
    signals = {"A": np.random.default_rng(0).uniform(-1, 1, 80)}
    strategy = play([walk(3, "A")], SignalStrategy, broker, signals=signals)
    sizes = strategy.analyzers.orders.get_analysis()["requested"]
    assert len(sizes) > 70
    # An order that closes is the position itself, with the dust of the floats that built it.
    opens = np.abs(np.cumsum(sizes)) > 1e-9
    assert all(repr(size) == repr(round(size, 1)) for size in sizes[opens].tolist())
    np.testing.assert_allclose(sizes, np.round(sizes, 1), atol=1e-9)


def test_a_symbol_without_a_signal_is_refused():
    with pytest.raises(ValueError, match="expected a signal for every symbol, found none for A"):
        play([bars([100] * 3, symbol="A")], SignalStrategy, signals={"B": [1.0]})


def test_a_silent_symbol_is_not_ordered_twice():
    # B has one bar, and the next ones ten hours later; its order waits.
    sent = []

    class Counting(SignalStrategy):
        def next(self):
            super().next()
            sent.append(len(self.broker.get_orders_open()) + len(self.broker.submitted))

    datas = [bars([100] * 12, symbol="A"), bars([100, *[None] * 9, 100, 100], symbol="B")]
    play(datas, Counting, signals={"A": np.zeros(12), "B": np.ones(3)})
    assert sent == [1] * 10 + [0, 0]
