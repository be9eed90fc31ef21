"""Settings that would make the account unrealistic are errors that name the alternative."""

import backtrader as bt
import pytest

from strategies.account.broker import PerpetualBroker
from strategies.account.perpetual import PerpetualCommission
from tests.strategies.market import bars, run, trade


def test_c7_fund_mode_is_refused_because_it_hides_funding():
    with pytest.raises(ValueError, match="hides it from returns"):
        PerpetualBroker(fundmode=True)
    broker = PerpetualBroker()
    with pytest.raises(ValueError, match="fund mode"):
        broker.fundmode = True
    with pytest.raises(ValueError, match="fund mode"):
        broker.set_fundmode(True, 100.0)
    with pytest.raises(ValueError, match="fund mode"):
        broker.set_fund_history([])
    broker.fundmode = False
    assert broker.fundmode is False


def test_fund_values_are_those_of_the_account():
    broker = PerpetualBroker(cash=500.0)
    assert (broker.fundvalue, broker.fundshares) == (500.0, 1.0)


@pytest.mark.parametrize("params", [{"coc": True}, {"coo": True}, {"shortcash": False}, {"slippage": 5.0}])
def test_settings_that_change_fills_or_books_are_refused(params):
    with pytest.raises(ValueError, match=r"next open|shortcash|slippage: expected a fraction"):
        PerpetualBroker(**params)


def test_orders_with_prices_of_their_own_and_fixed_slippage_are_refused():
    with pytest.raises(ValueError, match="ReplayOrders"):
        PerpetualBroker().add_order_history([])
    with pytest.raises(ValueError, match="fraction of the price"):
        PerpetualBroker().set_slippage_fixed(1.0)


def test_a_foreign_commission_scheme_is_refused():
    with pytest.raises(TypeError, match="needs a PerpetualCommission, found CommissionInfo"):
        PerpetualBroker(commission=bt.CommissionInfo())
    with pytest.raises(TypeError, match="needs a PerpetualCommission"):
        PerpetualBroker().addcommissioninfo(bt.CommissionInfo())


def test_the_usual_setters_work():
    broker = PerpetualBroker()
    broker.setcommission(commission=0.001, leverage=5.0, name="A")
    assert (broker.comminfo["A"].p.taker, broker.comminfo["A"].p.leverage) == (0.001, 5.0)
    broker.set_slippage_perc(0.01, slip_out=False)
    strategy = run(bars([100] * 3, symbol="A"), {0: [trade(10)]}, broker)
    orders = strategy.analyzers.orders.get_analysis()
    assert orders["price"].tolist() == [pytest.approx(101.0)]
    assert orders["fee"].tolist() == [pytest.approx(1.01)]


def test_accounts_do_not_share_a_commission_scheme():
    assert PerpetualBroker().comminfo[None] is not PerpetualBroker().comminfo[None]


def test_each_symbol_has_its_own_terms():
    broker = PerpetualBroker(slippage=0.0, commission=PerpetualCommission(taker=0.001))
    broker.addcommissioninfo(PerpetualCommission(taker=0.002), name="B")
    datas = [bars([100] * 3, symbol="A"), bars([100] * 3, symbol="B")]
    strategy = run(datas, {0: [trade(10, 0), trade(10, 1)]}, broker)
    assert strategy.analyzers.orders.get_analysis()["fee"].tolist() == pytest.approx([1.0, 2.0])
