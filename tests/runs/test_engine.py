"""The Cerebro of all runs: money is conserved at every bar, costs add up, the benchmark matches a hand calculation."""

import math

import numpy as np
import pandas as pd
import pytest

from feeds import BadBars, BarsData, as_bars, load_bars, simulate, write_bars
from feeds.bars import cells
from runs.engine import benchmark, build, run
from runs.folder.frames import SCHEMAS
from runs.settings import Account
from strategies import BuyAndHold, PerpetualBroker, ScoreStrategy
from tests.chapter_rules import CHAPTER
from tests.strategies.market import START, frame_of

HOUR = 3_600_000
ACCOUNT = Account(cash=25_000.0, taker=0.001, slippage=0.0005, lot_step=0.01)
PARAMS = {
    **CHAPTER,
    "confidence_threshold": 0.1,
    "density_quantile": 0.1,
    "rebalance_band": 0.1,
    "cooldown": 0,
}


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


def test_the_benchmark_is_the_asset_bought_once_and_held(frames, start):
    # All of the cash pays 1.001 x size x price; no funding, no lots, no margin.
    frame = frames[0]
    result = benchmark([frame], ACCOUNT, start)
    price = frame["open"].iloc[61] * 1.0005
    size = 25_000.0 / (price * 1.001)
    expected = [25_000.0, *(size * frame["close"].iloc[61:])]
    np.testing.assert_allclose(result.equity["equity"], expected, rtol=1e-12)
    np.testing.assert_allclose(result.equity["exposure"], [0.0] + [1.0] * 339, rtol=1e-12)
    [order] = result.orders.to_dict("records")
    assert order["fee"] == pytest.approx(size * price * 0.001)
    assert order["slippage"] == pytest.approx(size * frame["open"].iloc[61] * 0.0005)
    assert (order["decided"], order["time"]) == tuple(result.equity["time"][:2])
    assert [len(t) for t in (result.funding, result.trades, result.decisions)] == [0, 0, 0]


def test_the_benchmark_of_two_symbols_buys_half_of_each(frames, start):
    result = benchmark(frames, ACCOUNT, start)
    grown = [frame["close"].iloc[-1] / (frame["open"].iloc[61] * 1.0005 * 1.001) for frame in frames]
    assert result.equity["equity"].iloc[-1] == pytest.approx(12_500.0 * sum(grown))


def test_a_perpetual_that_doubles_is_a_benchmark_that_doubles():
    # From 28,990 to 62,750 with a fall of 60 % on the way and heavy funding: held as a perpetual it was liquidated.
    path = np.concatenate([np.linspace(28_990, 11_600, 100), np.linspace(11_600, 62_750, 200)])
    frame = as_bars(
        frame_of(path.tolist(), dict.fromkeys(range(8, 300, 8), 0.002)),
        symbol="BTC/USDT:USDT",
        timeframe="1h",
    )
    free = Account(taker=0.0, slippage=0.0)
    result = benchmark([frame], free, int(frame["timestamp"].iloc[0]) + HOUR)
    assert result.equity["equity"].iloc[-1] == pytest.approx(10_000.0 * 62_750 / path[1])


def test_a_cent_of_cash_still_has_a_benchmark(frames, start):
    result = benchmark([frames[0]], Account(cash=0.01, taker=0.0, slippage=0.0), start)
    growth = frames[0]["close"].iloc[-1] / frames[0]["open"].iloc[61]
    assert result.equity["equity"].iloc[-1] == pytest.approx(0.01 * growth)


def test_the_benchmark_waits_for_a_listing_for_a_trade_and_keeps_the_last_price_of_what_ends():
    # A ends after two bars at 110; B has a hole that is filled, and doubles from its first traded price.
    a = as_bars(frame_of([100, 100, 110]), symbol="A", timeframe="1h")
    b = as_bars(frame_of([50, None, None, 40, 80]), symbol="B", timeframe="1h", gaps="ffill")
    result = benchmark([a, b], Account(taker=0.0, slippage=0.0), START + HOUR)
    assert result.equity["equity"].tolist() == pytest.approx(
        [10_000, 10_000, 10_500, 5_500 + 5_000, 5_500 + 10_000]
    )
    assert result.orders["price"].tolist() == [100.0, 40.0]


def test_the_benchmark_of_an_inverse_account_is_its_coin():
    frame = as_bars(frame_of([100, 100, 200]), symbol="BTC/USD:BTC", timeframe="1h")
    result = benchmark([frame], Account(cash=0.25), START + HOUR)
    assert result.equity["equity"].tolist() == [0.25] * 3
    assert result.orders.empty


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
