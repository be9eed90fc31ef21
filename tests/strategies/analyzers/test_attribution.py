"""Where the profit came from, by hand, and the parts always add up."""

import backtrader as bt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies import add_scorenet_analyzers
from strategies.account.broker import PerpetualBroker
from strategies.analyzers import Attribution
from strategies.analyzers.attribution_tables import refused
from strategies.datas import symbol_of, to_milliseconds
from tests.strategies.market import HOUR, START, Script, bars, free_broker, free_commission, run, trade

CUTS = ("by_state", "by_side", "by_reason", "by_symbol", "by_month")


class Decided(Script):
    """A script whose decisions are given: `reasons[bar]` and `ranks[bar]` of the only symbol."""

    params = (("reasons", None), ("inside", None))

    def __init__(self):
        super().__init__()
        self.decisions = self
        self.dates = []

    def next(self):
        super().next()
        self.dates.append(self.lines.datetime[0])

    def columns(self):
        n = len(self.dates)
        return {
            "time": to_milliseconds(self.dates),
            "symbol": np.array([symbol_of(self.data)] * n, dtype=object),
            "reason": np.array(self.p.reasons[:n], dtype=object),
            "in_distribution": np.array(self.p.inside[:n], dtype=object),
        }


def attributed(datas, orders, broker, strategy=Script, **params):
    cerebro = bt.Cerebro(stdstats=False)
    for data in datas:
        cerebro.adddata(data)
    cerebro.setbroker(broker)
    cerebro.addstrategy(strategy, orders=orders, **params)
    cerebro.addanalyzer(Attribution)
    return cerebro.run()[0].analyzers.attribution.get_analysis()


def part(gross=0.0, fees=0.0, slippage=0.0, funding=0.0):
    net = gross - fees - slippage - funding
    figures = {"gross": gross, "fees": fees, "slippage": slippage, "funding": funding, "net": net}
    return pytest.approx(figures)


def test_a_trade_by_hand():
    # Decided at bar 0 (inside): long 10, filled at 100 x 1.01. Bar 2: funding 10 x 110 x 0.01 = 11, close 110.
    # At its close (outside) a sale of 25, filled at 120 x 0.99: 10 closed, 15 opened short. Bar 4 closes at 115.
    market = bars([100, 100, 110, 120, 115], {2: 0.01})
    found = attributed(
        [market],
        {0: [trade(10)], 2: [trade(-25)]},
        free_broker(slippage=0.01, taker=0.001),
        Decided,
        reasons=["trade", "hold", "out_of_distribution", "hold", "hold"],
        inside=[True, True, False, None, True],
    )
    first_fee, flip_fee = 10 * 101 * 0.001, 25 * 118.8 * 0.001
    assert found["gross"] == pytest.approx(10 * 20 + 15 * 5)
    assert found["costs"] == pytest.approx(
        {
            "taker_fees": first_fee + flip_fee,
            "maker_fees": 0.0,
            "liquidation_fees": 0.0,
            "slippage": 10 + 25 * 1.2,
            "funding": 11.0,
        }
    )
    assert found["by_side"] == {
        "long": part(200, first_fee + flip_fee * 0.4, 10 + 12, 11),
        "short": part(75, flip_fee * 0.6, 18, 0),
    }
    assert found["by_reason"] == {
        "trade": part(200, first_fee, 10, 11),
        "out_of_distribution": part(75, flip_fee, 30, 0),
    }
    # Bar 2 and its funding follow a close inside; the move to the next open follows the close outside, whose order pays
    # the flip; the last bar follows a close whose state is not known.
    assert found["by_state"] == {
        "inside": part(100, first_fee, 10, 11),
        "outside": part(100, flip_fee, 30, 0),
        "unknown": part(75, 0, 0, 0),
    }
    assert list(found["by_symbol"]) == ["BTC/USDT:USDT"]
    assert list(found["by_month"]) == ["2023-11"]
    assert found["total"] == pytest.approx(275 - first_fee - flip_fee - 40 - 11)
    assert "refused" not in found


def test_months_end_at_midnight():
    start = START + 15 * 24 * HOUR + 21 * HOUR  # 2023-11-30 21:00
    found = attributed([bars([100, 100, 110, 130], start=start)], {0: [trade(10)]}, free_broker())
    assert found["by_month"] == {"2023-11": part(100), "2023-12": part(200)}


def test_a_liquidation_has_its_own_fee():
    market = bars([100, 100, (100, 100, 30, 30), 30])
    found = attributed([market], {0: [trade(1000)]}, free_broker())
    price = 90_000 / 995
    assert found["costs"]["liquidation_fees"] == pytest.approx(5 * price)
    assert found["total"] == pytest.approx(-10_000)
    assert found["by_side"]["long"]["net"] == pytest.approx(-10_000)


def test_a_limit_order_that_waits_pays_maker():
    order = trade(10, price=95.0, exectype=bt.Order.Limit)
    broker = free_broker(slippage=0.01, taker=0.001, maker=0.0002)
    found = attributed([bars([100, (100, 101, 94, 99), 100])], {0: [order]}, broker)
    assert found["costs"]["maker_fees"] == pytest.approx(950 * 0.0002)
    assert found["costs"]["taker_fees"] == found["costs"]["slippage"] == 0.0


def test_without_trades_nothing_is_attributed():
    found = attributed([bars([100] * 3)], {}, free_broker())
    assert found["total"] == found["gross"] == 0.0
    assert all(found[cut] == {} for cut in CUTS)


def test_what_a_filter_refused_is_the_unfiltered_target_over_the_next_bar():
    nan = np.nan
    columns = {
        "time": [1, 1, 2, 2, 3, 3, 4],
        "symbol": ["A", "B", "A", "B", "A", "B", "A"],
        "close": [100.0, 50.0, 110.0, 40.0, 99.0, 44.0, 99.0],
        "reason": [
            "out_of_distribution",
            "low_confidence",
            "out_of_distribution",
            "low_confidence",
            "trade",
            "stale",
            "x",
        ],
        "target": [0.0, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0],
        "unfiltered": [0.5, -1.0, -0.2, 0.5, 0.5, nan, 1.0],
    }
    found = refused(columns, np.array([1, 2, 3, 4]), np.array([1_000.0, 2_000.0, 3_000.0, 4_000.0]))
    assert found == {
        # A: 0.5 x 1,000 x 10 %, then -0.2 x 2,000 x -10 %.
        "out_of_distribution": {"bars": 2, "pnl": pytest.approx(50 + 40)},
        # B: -1 x 1,000 x -20 %, then 0.5 x 2,000 x 10 %. The last bar of a symbol has no next one.
        "low_confidence": {"bars": 2, "pnl": pytest.approx(200 + 100)},
    }
    assert refused(columns, np.array([2, 3, 4]), np.array([2_000.0, 3_000.0, 4_000.0])) == {
        "out_of_distribution": {"bars": 1, "pnl": pytest.approx(40)},
        "low_confidence": {"bars": 1, "pnl": pytest.approx(100)},
    }


def test_the_analyzer_has_what_filters_refused_if_the_record_has_it():
    class Unfiltered(Decided):
        def columns(self):
            found = super().columns()
            close = np.array([100.0, 100.0, 110.0, 110.0])
            n = len(found["time"])
            return found | {"close": close, "target": np.zeros(n), "unfiltered": np.full(n, 0.5)}

    words = {"reasons": ["low_confidence"] * 4, "inside": [True] * 4}
    found = attributed([bars([100, 100, 110, 110])], {}, free_broker(), Unfiltered, **words)
    assert found["refused"] == {"low_confidence": {"bars": 3, "pnl": pytest.approx(0.5 * 10_000 * 0.1)}}


@st.composite
def runs(draw):
    """Return datas, orders and a broker: one or two symbols, the second listed late and ended early, funding, gaps."""
    n = draw(st.integers(12, 40))
    datas = []
    for number, symbol in enumerate("AB"[: draw(st.integers(1, 2))]):
        late, ended = number * draw(st.integers(0, 6)), number * draw(st.integers(0, 4))
        length = n - late - ended
        moves = draw(st.lists(st.floats(-0.12, 0.12), min_size=length, max_size=length))
        close = 100.0 * np.exp(np.cumsum(moves))
        opening = np.concatenate(([100.0], close[:-1])) * draw(st.sampled_from([1.0, 0.98, 1.03]))
        high, low = np.maximum(opening, close) * 1.01, np.minimum(opening, close) * 0.99
        quotes = list(zip(opening.tolist(), high.tolist(), low.tolist(), close.tolist(), strict=True))
        rates = {i: draw(st.sampled_from([-0.002, 0.001])) for i in range(3, length, 4)}
        datas.append(bars(quotes, rates, symbol, START + late * HOUR))
    orders = {}
    for bar in draw(st.lists(st.integers(8, n - 1), max_size=12)):
        size = draw(st.floats(-60, 60).filter(lambda size: abs(size) > 0.01))
        kind = draw(st.sampled_from([bt.Order.Market, bt.Order.Limit, bt.Order.Stop]))
        more = {} if kind == bt.Order.Market else {"exectype": kind, "price": draw(st.floats(80, 120))}
        orders.setdefault(bar, []).append(trade(size, draw(st.integers(0, len(datas) - 1)), **more))
    part_fills = draw(st.booleans())
    commission = free_commission(taker=0.001, maker=draw(st.sampled_from([-0.0001, 0.0002])))
    broker = PerpetualBroker(
        slippage=0.002, commission=commission, filler=(lambda *_: 7.0) if part_fills else None
    )
    return datas, orders, broker


@given(runs())
@settings(max_examples=30, deadline=None)
def test_the_parts_add_up_to_the_profit(drawn):
    datas, orders, broker = drawn
    found = attributed(datas, orders, broker)
    scale = 10_000 + abs(found["gross"]) + sum(map(abs, found["costs"].values()))
    costs = sum(found["costs"].values())
    assert found["total"] == pytest.approx(found["gross"] - costs + found["insurance"], abs=1e-9 * scale)
    for cut in CUTS:
        parts = found[cut].values()
        assert sum(p["net"] for p in parts) == pytest.approx(
            found["total"] - found["insurance"], abs=1e-9 * scale
        )
        for key, kinds in {
            "fees": ("taker_fees", "maker_fees", "liquidation_fees"),
            "funding": ("funding",),
        }.items():
            expected = sum(found["costs"][kind] for kind in kinds)
            assert sum(p[key] for p in parts) == pytest.approx(expected, abs=1e-9 * scale)


def test_all_analyzers_are_added_in_one_call_and_agree():
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(bars([100, 100, 110, 99, 108.9]))
    cerebro.setbroker(free_broker(taker=0.001))
    cerebro.addstrategy(Script, orders={0: [trade(10)], 2: [trade(-10)]})
    add_scorenet_analyzers(cerebro)
    analyzers = cerebro.run()[0].analyzers
    alone = run(bars([100, 100, 110, 99, 108.9]), {0: [trade(10)], 2: [trade(-10)]}, free_broker(taker=0.001))
    for name, other in (("equity", "equitycurve"), ("orders", "orders"), ("funding", "funding")):
        ours, theirs = getattr(analyzers, name).get_analysis(), getattr(alone.analyzers, other).get_analysis()
        np.testing.assert_equal(ours, theirs)
    equity = analyzers.equity.get_analysis()["equity"]
    assert analyzers.attribution.get_analysis()["total"] == pytest.approx(equity[-1] - equity[0])
    assert np.prod(1 + analyzers.daily_returns.get_analysis()["return"]) == pytest.approx(
        equity[-1] / equity[0]
    )
    assert (
        analyzers.drawdown.get_analysis()["max_drawdown"]
        < 0
        < abs(analyzers.sharpe.get_analysis()["sharpe_ratio"])
    )
    assert [name for name, _ in analyzers.getitems()] == [
        "equity",
        "sharpe",
        "sortino",
        "drawdown",
        "daily_returns",
        "monthly_returns",
        "attribution",
        "orders",
        "trades",
        "funding",
        "decisions",
        "in_distribution",
    ]


def test_an_inverse_contract_is_attributed_in_its_coin():
    # 10,000 contracts of 1 USD from 40,000 to 50,000 earn 0.05 BTC; the slip of 1 % costs 10,000 (1/40,000 - 1/40,400).
    broker = free_broker(slippage=0.01, contract="inverse")
    market = bars([40_000, 40_000, 50_000], symbol="BTC/USD:BTC")
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(market)
    cerebro.setbroker(broker)
    cerebro.broker.setcash(1.0)
    cerebro.addstrategy(Script, orders={0: [trade(10_000)]})
    cerebro.addanalyzer(Attribution)
    found = cerebro.run()[0].analyzers.attribution.get_analysis()
    slip = 10_000 * (1 / 40_000 - 1 / 40_400)
    assert found["gross"] == pytest.approx(0.05)
    assert found["costs"]["slippage"] == pytest.approx(slip)
    assert found["total"] == pytest.approx(0.05 - slip)
