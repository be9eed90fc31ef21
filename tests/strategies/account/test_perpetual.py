"""Fees, order sizes and funding against amounts computed by hand, mostly on Backtrader's own broker."""

import math
from datetime import datetime
from types import SimpleNamespace

import backtrader as bt
import pytest

from feeds import BarsData
from strategies.account.perpetual import PerpetualCommission
from strategies.analyzers import Funding
from tests.strategies.market import (
    HOUR,
    START,
    Script,
    bars,
    equity_of,
    free_broker,
    free_commission,
    hold,
    run,
    trade,
)


def stock_broker(**params):
    broker = bt.brokers.BackBroker()
    broker.addcommissioninfo(free_commission(**params))
    return broker


def test_c4_a_fraction_of_a_bitcoin_is_bought_where_the_stock_scheme_buys_nothing():
    plain = run(bars([50_000.0] * 4), {0: [hold(0.9)]}, bt.brokers.BackBroker())
    assert plain.sent == [None]
    ours = run(bars([50_000.0] * 4), {0: [hold(0.9)]}, stock_broker(lot_step=0.001))
    assert ours.position.size == 0.18


def test_c5_all_of_the_equity_can_be_invested_although_the_fee_comes_on_top():
    strategy = run(bars([100.0, 100.0, 101.0, 101.0]), {0: [hold(1.0)]}, stock_broker(taker=0.00055))
    assert strategy.notices == [(1, "Completed", 100.0)]
    assert equity_of(strategy)[1] == pytest.approx(10_000.0 - 5.5)


def test_fees_are_taker_on_both_sides_of_a_round_trip():
    # Buy 10 at 100: 1000 x 0.001 = 1. Sell 10 at 110: 1100 x 0.001 = 1.1.
    strategy = run(
        bars([100, 100, 110, 110, 110]), {0: [trade(10)], 2: [trade(-10)]}, stock_broker(taker=0.001)
    )
    assert equity_of(strategy) == pytest.approx([10_000, 9_999, 10_099, 10_097.9, 10_097.9])


@pytest.mark.parametrize(
    ("orders", "prices", "equity"),
    [
        # 100 units at 100, marked at 110 and 90, sold at 95.
        ({0: [hold(1.0)], 3: [hold(0.0)]}, [110, 90, 95, 80], [11_000, 9_000, 9_500, 9_500]),
        # Short 100 units at 100.
        ({0: [hold(-1.0)], 3: [hold(0.0)]}, [110, 90, 95, 80], [9_000, 11_000, 10_500, 10_500]),
        # Long 100 at 100, flipped at 110 with equity 11 000: 11 000 / 110 = 100 short.
        ({0: [hold(1.0)], 2: [hold(-1.0)]}, [110, 110, 99, 121], [11_000, 11_000, 12_100, 9_900]),
        # Short 50 at 100, flipped at 80 with equity 11 000 to 1x: 11 000 / 80 = 137.5 long.
        ({0: [hold(-0.5)], 2: [hold(1.0)]}, [80, 80, 88, 72], [11_000, 11_000, 12_100, 9_900]),
        # Long 100, half of it sold at 120 (gain 1000), the rest marked at 90: 50 x -10.
        ({0: [trade(100)], 2: [trade(-50)]}, [120, 120, 90, 100], [12_000, 12_000, 10_500, 11_000]),
        # Three times the equity on either side: margin is what the exchange allows.
        ({0: [hold(3.0)]}, [105, 95, 100, 110], [11_500, 8_500, 10_000, 13_000]),
        ({0: [hold(-3.0)]}, [105, 95, 100, 110], [8_500, 11_500, 10_000, 7_000]),
    ],
)
@pytest.mark.parametrize("broker", [stock_broker, None])
def test_equity_is_right_on_both_brokers(orders, prices, equity, broker):
    strategy = run(bars([100, 100, *prices]), orders, broker() if broker else None)
    assert equity_of(strategy) == pytest.approx([10_000, 10_000, *equity])


def test_cash_is_equity_less_the_signed_value_of_the_positions_whatever_the_leverage():
    curve = run(bars([100, 100, 110]), {0: [hold(3.0)]}, stock_broker()).analyzers.equitycurve.get_analysis()
    assert curve["cash"].tolist() == pytest.approx([10_000, -20_000, -20_000])
    assert curve["exposure"].tolist() == pytest.approx([0.0, 3.0, 33_000 / 13_000])


@pytest.mark.parametrize("broker", [stock_broker, None])
@pytest.mark.parametrize(("size", "sign"), [(10.0, 1.0), (-10.0, -1.0)])
def test_c7_funding_is_signed_and_paid_by_who_held_up_to_the_settling_open(broker, size, sign):
    # Decided on bar 0, filled at the open of bar 1: bar 1 settles before the fill and charges nothing.
    # Bar 3 settles at its open of 120: 10 x 120 x 0.001 = 1.2. Bar 5, sold at its open: 10 x 100 x -0.002.
    market = bars(
        [100, 100, 110, (120, 120, 100, 100), 100, 100, 100], {1: 0.01, 3: 0.001, 5: -0.002, 6: 0.01}
    )
    strategy = run(market, {0: [trade(size)], 4: [trade(-size)]}, broker() if broker else None)
    paid = strategy.analyzers.funding.get_analysis()
    assert paid["time"].tolist() == [START + 4 * HOUR, START + 6 * HOUR]
    assert paid["position"].tolist() == [size, size]
    assert paid["price"].tolist() == [120.0, 100.0]
    assert paid["rate"].tolist() == [0.001, -0.002]
    assert paid["amount"].tolist() == pytest.approx([sign * 1.2, sign * -2.0])
    assert paid["symbol"] == ["BTC/USDT:USDT"] * 2
    assert equity_of(strategy)[-1] == pytest.approx(10_000 - sign * 1.2 + sign * 2.0)


def test_a_position_opened_at_the_settling_open_pays_nothing_when_the_broker_is_asked_twice():
    """A live feed, or a bar of another data, makes Backtrader call the broker between two bars."""

    class Waiting(BarsData):
        waits = 0

        def islive(self):
            return True

        def _load(self):
            self.waits += 1
            return None if self.waits % 3 else super()._load()

    plain = bars([100] * 5, {2: 0.01, 3: 0.01})
    waiting = Waiting(dataname=plain.p.dataname, symbol="BTC/USDT:USDT", timeframe="1h")
    for data in (plain, waiting):
        strategy = run(data, {1: [trade(10)]}, free_broker())
        paid = strategy.analyzers.funding.get_analysis()
        assert paid["amount"].tolist() == pytest.approx([10.0]), "held up to the second settlement only"


@pytest.mark.parametrize("broker", [stock_broker, None])
def test_funding_is_never_booked_as_a_fee(broker):
    market = bars([100, 100, 100, 100, 100], {2: 0.01})
    strategy = run(market, {0: [trade(10)], 2: [trade(-10)]}, broker(taker=0.001) if broker else None)
    fee = 1.0 if broker else 0.0
    assert strategy.analyzers.orders.get_analysis()["fee"].tolist() == pytest.approx([fee, fee])
    closed = strategy.analyzers.trades.get_analysis()["closed"]
    assert closed["funding"].tolist() == pytest.approx([10.0])
    assert closed["fees"].tolist() == pytest.approx([2.0 * fee])


def test_funding_can_be_switched_off():
    strategy = run(bars([100] * 4, {2: 0.01}), {0: [trade(10)]}, stock_broker(funding=False))
    assert equity_of(strategy)[-1] == 10_000.0
    assert len(strategy.analyzers.funding.get_analysis()["amount"]) == 0


@pytest.mark.parametrize("broker", [stock_broker, None])
def test_a_bar_is_charged_once_when_another_data_ticks_in_between(broker):
    slow = bars([100, 100, 100], {2: 0.01}, symbol="SLOW")
    fast = bars([10] * 6, symbol="FAST", start=START)
    strategy = run([slow, fast], {0: [trade(10)]}, broker() if broker else None)
    assert equity_of(strategy)[-1] == pytest.approx(10_000 - 10.0)


def test_the_ledger_starts_empty_in_every_run_of_one_cerebro():
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(bars([100] * 4, {2: 0.01}))
    cerebro.setbroker(stock_broker())
    cerebro.addstrategy(Script, orders={0: [trade(10)]})
    cerebro.addanalyzer(Funding)
    amounts = [cerebro.run()[0].analyzers.funding.get_analysis()["amount"].tolist() for _ in range(3)]
    assert amounts == [[pytest.approx(10.0)]] * 3


def test_a_funding_rate_that_is_no_number_stops_the_run_and_says_when():
    lines = SimpleNamespace(funding_rate=[math.nan])
    date = bt.date2num(datetime(2024, 1, 1, 8))  # noqa: DTZ001 - Backtrader's own clock is naive UTC
    data = SimpleNamespace(_name="BTC", lines=lines, datetime=[date], open=[100.0])
    with pytest.raises(ValueError, match=r"BTC: funding_rate must be a finite number.*2024-01-01 08:00"):
        free_commission().funding_payment(data, 1.0)


def test_an_order_moves_a_position_to_its_target_in_whole_lots():
    fees = PerpetualCommission(lot_step=0.1, min_notional=5.0)
    assert fees.order_size(0.7, 0.4, 100.0) == 0.3
    assert fees.order_size(-0.2, 0.1 + 0.2, 100.0) == -0.5
    assert fees.order_size(0.4, 0.4, 100.0) == 0.0
    assert fees.order_size(0.5, 0.4, 10.0) == 0.0  # worth 1, the exchange wants 5


def test_closing_ignores_the_filters():
    fees = PerpetualCommission(lot_step=0.1, min_size=1.0, min_notional=1_000.0)
    assert fees.order_size(0.0, 0.123, 1.0) == -0.123


def test_getsize_is_what_the_exchange_accepts():
    fees = PerpetualCommission(lot_step=0.001, min_size=0.002, min_notional=5.0, max_size=1.0)
    assert fees.getsize(50_000.0, 9_999.0) == 0.199
    assert fees.getsize(50_000.0, 99.0) == 0.0
    assert fees.getsize(100.0, 0.3) == 0.0
    assert fees.getsize(100.0, 1e6) == 1.0


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"commission": 0.001}, "set taker"),
        ({"taker": 5.5}, "taker: expected a fraction between 0 and 1 .*, found 5.5"),
        ({"maker": -0.02}, "maker: expected a fraction between -0.01 and 1 .*, found -0.02"),
        ({"leverage": 0.5}, "leverage: expected a number, at least 1, found 0.5"),
        ({"leverage": 5.0, "margin_leverage": 4.0}, "set margin_leverage only"),
        ({"lot_step": -1.0}, "lot_step: expected a number, at least 0, found -1.0"),
        ({"leverage": 100.0, "maintenance_margin": 0.02}, "below 1/margin_leverage = 0.01, found 0.02"),
    ],
)
def test_impossible_terms_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        PerpetualCommission(**params)


def test_a_misspelt_term_is_refused():
    with pytest.raises(TypeError):
        PerpetualCommission(taker_fee=0.001)


@pytest.mark.parametrize("broker", [stock_broker, None])
def test_each_of_two_datas_of_one_name_is_charged(broker):
    """10 units of each are held over a settlement of 0.001 at 100: 1 for each, 2 together."""
    datas = [bars([100.0] * 4, {2: 0.001}) for _ in range(2)]
    strategy = run(datas, {0: [trade(10), trade(10, 1)]}, broker() if broker else None)
    assert equity_of(strategy)[-1] == pytest.approx(9_998.0)
    assert strategy.analyzers.funding.get_analysis()["amount"].tolist() == pytest.approx([1.0, 1.0])
