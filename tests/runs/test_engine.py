"""The Cerebro of all runs: money is conserved at every bar, costs add up, buy-and-hold matches a hand calculation."""

import math

import numpy as np
import pandas as pd
import pytest

from feeds import BadBars, BarsData, load_bars, simulate, write_bars
from feeds.bars import cells
from runs.engine import benchmark, build, run
from runs.folder.frames import SCHEMAS
from runs.settings import Account
from strategies import BuyAndHold, PerpetualBroker, ScoreStrategy

HOUR = 3_600_000
ACCOUNT = Account(cash=25_000.0, taker=0.001, slippage=0.0005, lot_step=0.01)
PARAMS = {"confidence_threshold": 0.1, "density_quantile": 0.1, "rebalance_band": 0.1, "cooldown": 0}


@pytest.fixture(scope="module")
def frames():
    return [simulate("planted", seed=seed, bars=400, symbol=name) for seed, name in ((51, "A"), (52, "B"))]


@pytest.fixture(scope="module")
def start(frames):
    return int(frames[0]["timestamp"].iloc[60]) + HOUR


@pytest.fixture(scope="module")
def result(frames, start, tiny_model):
    params = {**PARAMS, "model": tiny_model, "trade_from": start}
    return run(frames, ACCOUNT, ScoreStrategy, params, since=start)


def prices(frames, times, column="close"):
    """Return a table of prices with a row per bar close and a column per symbol."""
    table = {
        frame.attrs["symbol"]: pd.Series(
            frame[column].to_numpy(), index=pd.to_datetime(frame["timestamp"] + HOUR, unit="ms", utc=True)
        )
        for frame in frames
    }
    return pd.DataFrame(table).reindex(times)


def held(result, times):
    """Return the base units held at each bar close, from the orders alone."""
    sizes = result.orders.pivot_table(index="time", columns="symbol", values="size", aggfunc="sum")
    return sizes.reindex(times).fillna(0.0).cumsum()


def test_the_tables_are_those_of_the_contract(result):
    for name in ("orders", "trades", "decisions", "funding"):
        frame = getattr(result, name)
        assert list(frame.columns)[: len(SCHEMAS[name])] == list(SCHEMAS[name])
        assert len(frame) > 3
    assert list(result.equity.columns) == ["time", "equity", "cash", "exposure"]


def test_the_first_row_is_the_account_before_its_first_trade(result, start, frames):
    first = result.equity.iloc[0]
    assert first["time"] == pd.Timestamp(start, unit="ms", tz="UTC")
    assert (first["equity"], first["cash"], first["exposure"]) == (25_000.0, 25_000.0, 0.0)
    assert result.decisions["time"].min() == first["time"]
    assert result.orders["decided"].min() >= first["time"]
    assert len(result.equity) == 400 - 60
    assert len(result.decisions) == 2 * (400 - 60)


def test_equity_is_cash_and_positions_and_nothing_gets_lost(result, frames):
    equity = result.equity.set_index("time")
    times = equity.index
    positions = held(result, times)
    value = positions * prices(frames, times)
    np.testing.assert_allclose(equity["cash"] + value.sum(axis=1), equity["equity"], rtol=1e-12)
    np.testing.assert_allclose(
        equity["exposure"], value.sum(axis=1) / equity["equity"], rtol=1e-9, atol=1e-12
    )
    paid = (
        (result.orders["size"] * result.orders["price"] + result.orders["fee"])
        .groupby(result.orders["time"])
        .sum()
    )
    funding = result.funding.groupby("time")["amount"].sum()
    spent = paid.reindex(times).fillna(0.0).cumsum() + funding.reindex(times).fillna(0.0).cumsum()
    np.testing.assert_allclose(equity["cash"], 25_000.0 - spent, rtol=1e-10)


def test_every_cost_is_what_the_account_says(result, frames):
    orders = result.orders.set_index("time")
    opens = prices(frames, result.equity["time"], "open")
    reference = [opens.at[time, symbol] for time, symbol in orders["symbol"].items()]
    np.testing.assert_allclose(orders["reference_price"], reference, rtol=1e-12)
    np.testing.assert_allclose(
        orders["price"], reference * (1 + 0.0005 * np.sign(orders["size"])), rtol=1e-12
    )
    np.testing.assert_allclose(orders["fee"], orders["size"].abs() * orders["price"] * 0.001, rtol=1e-12)
    np.testing.assert_allclose(orders["slippage"], orders["size"].abs() * reference * 0.0005, rtol=1e-8)
    np.testing.assert_allclose(orders["size"] / 0.01, np.round(orders["size"] / 0.01), atol=1e-6)


def test_funding_is_charged_on_what_was_held_up_to_the_open(result, frames):
    before = held(result, result.equity["time"]).shift(1).fillna(0.0)
    opens, rates = (prices(frames, result.equity["time"], name) for name in ("open", "funding_rate"))
    expected = (before * opens * rates).stack()
    expected = expected[expected != 0.0]
    found = result.funding.set_index(["time", "symbol"])["amount"]
    assert len(found) > 10
    pd.testing.assert_series_equal(
        found.sort_index(), expected.sort_index(), check_names=False, check_index_type=False, rtol=1e-9
    )


def round_trips(orders):
    """Return the profits of one symbol from flat to flat, and of the open part, by average cost."""
    closed, size, cost, profit = [], 0.0, 0.0, 0.0
    for order in orders.itertuples():
        left = order.size
        if size * left < 0:
            leaving = math.copysign(min(abs(size), abs(left)), left)
            profit += -leaving * (order.price - cost / size)
            cost += leaving * cost / size
            size, left = size + leaving, left - leaving
            if abs(size) < 1e-9:
                closed.append(profit)
                size, cost, profit = 0.0, 0.0, 0.0
        if abs(left) > 1e-9:
            size, cost = size + left, cost + left * order.price
    return closed, (size, cost, profit)


def test_the_closed_trades_and_what_is_open_make_the_profit(result, frames):
    trades = result.trades
    np.testing.assert_allclose(trades["net_pnl"], trades["gross_pnl"] - trades["fees"] - trades["funding"])
    gross = 0.0
    for frame in frames:
        symbol = frame.attrs["symbol"]
        closed, (size, cost, profit) = round_trips(result.orders[result.orders["symbol"] == symbol])
        found = trades.loc[trades["symbol"] == symbol, "gross_pnl"]
        np.testing.assert_allclose(found, closed, rtol=1e-6, atol=1e-6)
        gross += sum(closed) + profit + size * frame["close"].iloc[-1] - cost
    costs = result.orders["fee"].sum() + result.funding["amount"].sum()
    assert result.equity["equity"].iloc[-1] - 25_000.0 == pytest.approx(gross - costs, rel=1e-9)
    assert trades["fees"].sum() <= result.orders["fee"].sum()


def test_buy_and_hold_by_hand(frames, start):
    frame = frames[0]
    result = benchmark([frame], ACCOUNT, start)
    size = math.floor(25_000.0 / frame["close"].iloc[60] / 0.01) * 0.01
    price = frame["open"].iloc[61] * 1.0005
    fee = size * price * 0.001
    funding = (size * frame["open"] * frame["funding_rate"]).iloc[62:].cumsum()
    cash = 25_000.0 - size * price - fee
    expected = [25_000.0, cash + size * frame["close"].iloc[61]]
    expected += (cash + size * frame["close"].iloc[62:] - funding).tolist()
    np.testing.assert_allclose(result.equity["equity"], expected, rtol=1e-12)
    assert len(result.orders) == 1
    assert result.orders["fee"].iloc[0] == pytest.approx(fee)
    assert result.funding["amount"].sum() == pytest.approx(funding.iloc[-1])
    assert result.decisions.empty


def test_buy_and_hold_of_two_symbols_buys_half_of_each(frames, start):
    result = benchmark(frames, ACCOUNT, start)
    first = result.orders.set_index("symbol")
    closes = prices(frames, [pd.Timestamp(start, unit="ms", tz="UTC")]).iloc[0]
    np.testing.assert_allclose(
        first["size"], [math.floor(12_500.0 / closes[s] / 0.01) * 0.01 for s in first.index], rtol=1e-12
    )


def test_what_costs_nothing_when_it_is_switched_off(frames, start):
    free = Account(cash=1_000.0, taker=0.0, slippage=0.0, lot_step=0.0, min_notional=0.0, funding=False)
    result = benchmark([frames[0]], free, start)
    assert result.orders[["fee", "slippage"]].to_numpy().sum() == 0.0
    assert result.funding.empty
    growth = frames[0]["close"].iloc[-1] / frames[0]["open"].iloc[61]
    size = 1_000.0 / frames[0]["close"].iloc[60]
    cost = size * frames[0]["open"].iloc[61]
    assert result.equity["equity"].iloc[-1] == pytest.approx(1_000.0 + cost * (growth - 1))


def test_the_account_reaches_the_broker(frames):
    account = Account(
        cash=7.0, taker=0.002, slippage=0.003, margin_leverage=4.0, lot_step=0.5, maintenance_margin=0.02
    )
    broker = build(frames, account, BuyAndHold, {}).broker
    commission = broker.getcommissioninfo(build(frames, account, BuyAndHold, {}).datas[0])
    assert isinstance(broker, PerpetualBroker)
    assert (broker.startingcash, broker.p.slippage) == (7.0, 0.003)
    assert (commission.p.taker, commission.p.margin_leverage, commission.p.lot_step) == (0.002, 4.0, 0.5)
    assert commission.p.maintenance_margin == 0.02


def test_a_frame_is_validated_once_on_its_way_from_a_file_to_the_broker(tmp_path, monkeypatch):
    seen = []

    def counted(frame, times):
        seen.append(len(frame))
        return cells.bar_values(frame, times)

    write_bars(simulate("planted", seed=3, bars=300), tmp_path / "BTC_1h.parquet")
    monkeypatch.setattr("feeds.bars.frame.bar_values", counted)
    frame = load_bars(tmp_path / "BTC_1h.parquet")
    run([frame], Account(), BuyAndHold, {})
    assert seen == [300]


def test_a_frame_that_somebody_changed_is_validated_again_in_a_cerebro_of_ones_own():
    frame = simulate("planted", seed=3, bars=50)
    frame.loc[7, "high"] = frame.loc[7, "low"] / 2
    with pytest.raises(BadBars, match="row 7"):
        BarsData(dataname=frame)
