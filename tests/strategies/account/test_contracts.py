"""Linear, inverse and spot contracts in a plain Cerebro, by hand; one settlement coin per account."""

import copy

import backtrader as bt
import pytest

from strategies import PerpetualBroker, PerpetualCommission
from strategies.account.contracts import (
    contract_of,
    contract_value,
    price_of_worth,
    settlement_coin,
    worth_of_price,
)
from strategies.analyzers import Orders
from tests.strategies.market import bars, equity_of, free_broker, free_commission, run, trade


def inverse_broker(**terms):
    return free_broker(contract="inverse", **{"lot_step": 1.0, **terms})


class BuyOnce(bt.Strategy):
    """Any user's strategy: buy at the first bar, sell at the third."""

    params = (("size", 1.0),)

    def next(self):
        if len(self) == 1:
            self.buy(size=self.p.size)
        if len(self) == 3:
            self.close()


def plain(data, broker, cash, size):
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(data)
    cerebro.setbroker(broker)
    cerebro.broker.setcash(cash)
    cerebro.addstrategy(BuyOnce, size=size)
    cerebro.addanalyzer(Orders, _name="orders")
    strategy = cerebro.run()[0]
    return cerebro.broker, strategy.analyzers.orders.get_analysis()


def test_a_plain_strategy_earns_coins_with_an_inverse_contract():
    # 10,000 contracts of 1 USD from 40,000 to 50,000: 10,000 x (1 / 40,000 - 1 / 50,000) = 0.05 BTC on 0.25 BTC.
    market = bars([40_000, 40_000, 50_000, 50_000, 50_000], symbol="BTC/USD:BTC")
    broker, orders = plain(market, inverse_broker(), 0.25, 10_000)
    assert broker.getvalue() == pytest.approx(0.30)
    assert broker.getcash() == pytest.approx(0.30)
    assert orders["size"].tolist() == [10_000.0, -10_000.0]


def test_a_plain_strategy_cannot_lose_more_than_its_isolated_margin():
    # 100 at 100 with 10x: 1,000 of margin, and a fall of 70 % takes it and no more.
    market = bars([100, 100, (100, 100, 30, 30), 30, 30])
    broker, orders = plain(market, free_broker(margin_mode="isolated"), 10_000.0, 100)
    assert broker.getvalue() == pytest.approx(9_000.0)
    assert orders["liquidation"].tolist()[:2] == [False, True]


def test_a_plain_strategy_owns_its_coins_on_spot():
    market = bars([100, 100, (100, 100, 30, 30), 30, 30], symbol="BTC/USDT")
    broker, orders = plain(market, free_broker(contract="spot"), 10_000.0, 100)
    assert broker.getvalue() == 3_000.0
    assert orders["liquidation"].tolist() == [False, False]


def test_an_inverse_position_in_between_has_value_margin_and_a_wallet():
    market = bars([40_000, 40_000, 50_000, 50_000], symbol="BTC/USD:BTC")
    strategy = run(market, {0: [trade(10_000)]}, inverse_broker(), cash=0.25)
    broker = strategy.broker
    assert equity_of(strategy) == pytest.approx([0.25, 0.25, 0.30, 0.30])
    assert broker.getcash() == pytest.approx(0.25)  # the wallet; the profit is not realised
    assert broker.getvalue([strategy.data]) == pytest.approx(0.20)
    assert broker.get_leverage() == pytest.approx(0.20 / 0.30)
    assert strategy.position.price == 40_000.0


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_the_average_of_an_inverse_position_is_that_of_its_coins(side):
    # 10,000 at 40,000 (0.25 BTC) and 10,000 at 50,000 (0.2 BTC): 20,000 / 0.45. Closed at 60,000 they earn
    # 0.45 - 20,000 / 60,000 = 0.116667 BTC.
    market = bars([40_000, 40_000, 50_000, 60_000, 60_000], symbol="BTC/USD:BTC")
    orders = {0: [trade(10_000 * side)], 1: [trade(10_000 * side)], 2: [trade(-20_000 * side)]}
    pnl, prices = [], []

    class Watch(bt.Strategy):
        def next(self):
            for _, arguments, _ in orders.get(len(self) - 1, []):
                (self.buy if (len(self) < 3) is (side > 0) else self.sell)(**arguments)
            prices.append(self.position.price)

        def notify_order(self, order):
            pnl.extend(fill.pnl for fill in order.executed.iterpending())

    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(market)
    cerebro.setbroker(inverse_broker())
    cerebro.broker.setcash(1.0)
    cerebro.addstrategy(Watch)
    cerebro.run()
    assert prices[2] == pytest.approx(20_000 / 0.45)
    assert pnl[-1] == pytest.approx(side * (0.45 - 20_000 / 60_000))
    assert cerebro.broker.getvalue() == pytest.approx(1.0 + side * (0.45 - 20_000 / 60_000))


def test_fees_and_funding_of_an_inverse_contract_are_paid_in_the_coin():
    # 10,000 contracts are 0.25 BTC at 40,000 and 0.2 at 50,000: fee 0.1 % of 0.25; funding 0.01 % of 0.2.
    market = bars([40_000, 40_000, 50_000, 50_000], {2: 0.0001}, symbol="BTC/USD:BTC")
    strategy = run(market, {0: [trade(10_000)]}, inverse_broker(taker=0.001), cash=0.25)
    assert equity_of(strategy)[1:3] == pytest.approx([0.25 - 0.00025, 0.30 - 0.00025 - 0.00002])
    assert strategy.analyzers.funding.get_analysis()["amount"].tolist() == pytest.approx([0.00002])


def test_an_inverse_long_is_liquidated_where_its_coins_run_out():
    # 10,000 contracts at 8,000 with 0.5 BTC: 0.5 + 1.25 - 10,000 / p = 0.005 x 10,000 / p at 10,050 / 1.75.
    market = bars([8_000, 8_000, (8_000, 8_000, 5_000, 6_000), 6_000], symbol="BTC/USD:BTC")
    strategy = run(market, {0: [trade(10_000)]}, inverse_broker(), cash=0.5)
    orders = strategy.analyzers.orders.get_analysis()
    assert orders["price"][1] == pytest.approx(10_050 / 1.75)
    assert equity_of(strategy)[-1] == 0.0
    gapped = bars([8_000, 8_000, 5_000, 6_000], symbol="BTC/USD:BTC")
    strategy = run(gapped, {0: [trade(10_000)]}, inverse_broker(), cash=0.5)
    assert strategy.analyzers.orders.get_analysis()["price"][1] == pytest.approx(10_000 / 1.75)


def test_order_target_percent_buys_a_share_of_the_coins():
    # Half of 1 BTC at 40,000 is 20,000 contracts.
    market = bars([40_000] * 3, symbol="BTC/USD:BTC")
    strategy = run(market, {0: [("order_target_percent", {"target": 0.5}, 0)]}, inverse_broker(), cash=1.0)
    assert strategy.position.size == 20_000.0


def test_spot_takes_no_leverage_and_no_short():
    market = bars([100] * 5, symbol="BTC/USDT")
    strategy = run(market, {0: [trade(101)], 1: [trade(-1)], 2: [trade(100)]}, free_broker(contract="spot"))
    assert strategy.notices == [(1, "Margin", 0.0), (2, "Rejected", 0.0), (3, "Completed", 100.0)]
    assert strategy.broker.rejections == {"margin": 1, "short_on_spot": 1}
    assert strategy.sent[1].info.reason == "short_on_spot"
    more = run(bars([100] * 5), {0: [trade(10)], 2: [trade(-4), trade(-7)]}, free_broker(contract="spot"))
    assert more.notices == [(1, "Completed", 10.0), (3, "Rejected", 0.0), (3, "Completed", -4.0)]


def test_a_stop_on_spot_does_not_sell_what_is_not_there():
    stop = trade(-10, price=95.0, exectype=bt.Order.Stop)
    market = bars([100, 100, 90, 90], symbol="BTC/USDT")
    strategy = run(market, {0: [trade(6), stop]}, free_broker(contract="spot"))
    assert strategy.notices == [(1, "Completed", 6.0), (2, "Rejected", 0.0)]
    assert strategy.position.size == 6.0


def test_a_contract_multiplier_counts_in_size_exposure_value_and_margin():
    # 2 contracts of 10 units at 100 are 2,000: exposure 0.2, funding 0.1 % of 2,000, fee 0.1 %, profit 20 x 10.
    broker = free_broker(mult=10.0, taker=0.001)
    market = bars([100, 100, 110, 110], {2: 0.001})
    strategy = run(market, {0: [trade(2)]}, broker)
    assert equity_of(strategy)[1:] == pytest.approx([9_998.0, 9_998.0 + 200 - 2.2, 9_998.0 + 200 - 2.2])
    assert broker.getvalue([strategy.data]) == 2_200.0
    assert broker.get_leverage() == pytest.approx(2_200 / 10_195.8)
    half = run(bars([100] * 3), {0: [("order_target_percent", {"target": 0.5}, 0)]}, free_broker(mult=10.0))
    assert half.position.size == 5.0
    # 100 contracts are 100,000: ten times the equity.
    refused = run(bars([100] * 3), {0: [trade(101)]}, free_broker(mult=10.0))
    assert refused.notices == [(1, "Margin", 0.0)]


def test_the_value_of_a_contract():
    assert contract_value(free_commission(), -3.0, 50.0) == -150.0
    assert contract_value(free_commission(mult=10.0), 3.0, 50.0) == 1_500.0
    assert contract_value(free_commission(contract="inverse"), -10_000.0, 40_000.0) == -0.25
    futures = bt.CommInfoBase(mult=10.0, margin=1_000.0, stocklike=False)
    assert contract_value(futures, 2.0, 24.0) == 480.0


def test_the_worth_of_a_contract_and_its_price_are_inverse_functions():
    assert worth_of_price(1.0, inverse=False) is None
    for mult, inverse in ((10.0, False), (1.0, True), (100.0, True)):
        worth = worth_of_price(mult, inverse)(250.0)
        assert worth == (-mult / 250.0 if inverse else mult * 250.0)
        assert price_of_worth(mult, inverse, worth) == 250.0


@pytest.mark.parametrize(
    ("symbol", "contract", "coin"),
    [
        ("BTC/USDT:USDT", "linear", "USDT"),
        ("BTC/USDC:USDC", "linear", "USDC"),
        ("BTC/USDT:USDT-241227", "linear", "USDT"),
        ("BTC/USD:BTC", "inverse", "BTC"),
        ("BTC/USD:BTC-241227", "inverse", "BTC"),
        ("BTC/USDT", "spot", "USDT"),
        ("BTCUSDT", "linear", None),
        ("planted-7", "linear", None),
    ],
)
def test_a_name_tells_the_contract_and_its_coin(symbol, contract, coin):
    assert contract_of(symbol) == contract
    assert settlement_coin(symbol, contract) == coin


def test_an_account_holds_one_coin():
    datas = [bars([100] * 4, symbol="BTC/USD:BTC"), bars([100] * 4, symbol="ETH/USD:ETH")]
    with pytest.raises(
        ValueError, match=r"one settlement coin: BTC/USD:BTC settles in BTC, ETH/USD:ETH.*in ETH"
    ):
        run(datas, {0: [trade(10, 0), trade(10, 1)]}, inverse_broker())
    broker = PerpetualBroker(slippage=0.0, commission=free_commission())
    broker.addcommissioninfo(free_commission(contract="inverse"), name="B")
    with pytest.raises(ValueError, match=r"A settles in the quote currency, B \(inverse\) in the base coin"):
        run(
            [bars([100] * 4, symbol="A"), bars([100] * 4, symbol="B")],
            {0: [trade(10, 0), trade(10, 1)]},
            broker,
        )
    both = [bars([100] * 4, symbol="BTC/USDT:USDT"), bars([50] * 4, symbol="B")]
    assert run(both, {0: [trade(10, 0), trade(10, 1)]}).position.size == 10.0


def test_the_scheme_can_be_sent_to_a_worker():
    sent = PerpetualCommission(contract="inverse").__getstate__()
    assert not any(callable(value) for value in sent.values())  # a function cannot be pickled
    assert copy.copy(PerpetualCommission(contract="inverse")).worth(50.0) == -0.02
