"""The strategy in a plain Cerebro: orders, shared capital, drawdown stop, and sweeps that evaluate a model once."""

import math
from dataclasses import replace

import backtrader as bt
import numpy as np
import pytest
import torch

from feeds import BarsData, simulate
from scorenet import ScoreModel
from scorenet.conformal.adaptive import adaptive_threshold
from strategies import (
    Conditions,
    Decisions,
    EquityCurve,
    InDistribution,
    Orders,
    PerpetualBroker,
    PerpetualCommission,
    ScoreStrategy,
    Sharpe,
    Trades,
)
from tests.chapter_rules import CHAPTER
from tests.strategies.market import with_attrs

OPEN = {
    "confidence_threshold": 0.0,
    "density_quantile": 0.0,
    "target_volatility": None,
    "rebalance_band": 0.0,
    "cooldown": 0,
}
FREE = {"taker": 0.0, "funding": False, "lot_step": 0.0, "min_notional": 0.0}
HOUR = 3_600_000
WARMUP = 20


def market(seed, bars=200, symbol=None, **process):
    return simulate("planted", seed=seed, bars=bars, symbol=symbol or f"S{seed}", **process)


def perpetual(slippage=0.0, **commission):
    return PerpetualBroker(slippage=slippage, commission=PerpetualCommission(**{**FREE, **commission}))


def play(frames, model, broker=None, watch=None, **params):
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(broker or perpetual())
    for frame in frames:
        cerebro.adddata(BarsData(dataname=frame))
    cerebro.addstrategy(watch or ScoreStrategy, model=model, **{**CHAPTER, **params})
    cerebro.addanalyzer(EquityCurve, _name="equitycurve", warmup=True)
    for analyzer in (Orders, Trades, Decisions, InDistribution):
        cerebro.addanalyzer(analyzer, _name=analyzer.__name__.lower())
    return cerebro.run()[0]


def table(strategy, name):
    return strategy.analyzers.getbyname(name).get_analysis()


def rows(strategy, symbol, *names):
    decisions = table(strategy, "decisions")
    mine = decisions["symbol"] == symbol
    return [decisions[name][mine] for name in names]


# Plain use ----------------------------------------------------------------------------------------------------


def test_it_runs_in_a_script_with_the_stock_broker(tiny_model_dir):
    cerebro = bt.Cerebro()
    cerebro.adddata(BarsData(dataname=market(1)))
    cerebro.addstrategy(ScoreStrategy, model=str(tiny_model_dir), **OPEN)
    cerebro.broker.setcash(50_000.0)
    cerebro.broker.addcommissioninfo(PerpetualCommission(lot_step=0.001, funding=False))
    cerebro.broker.set_slippage_perc(0.0002, slip_out=True)
    cerebro.addanalyzer(Orders, _name="orders")
    strategy = cerebro.run()[0]
    orders = strategy.analyzers.orders.get_analysis()
    assert set(orders["status"]) == {"completed"}
    sizes = np.asarray(orders["size"])
    assert len(sizes) > 20
    np.testing.assert_allclose(sizes, np.round(sizes, 3), rtol=0, atol=1e-9)
    assert cerebro.broker.getvalue() != 50_000.0
    assert strategy.position.size == pytest.approx(sizes.sum())


def test_without_fees_both_brokers_keep_the_same_books(tiny_model):
    stock = bt.brokers.BackBroker()
    stock.addcommissioninfo(PerpetualCommission(**FREE, leverage=1.0))
    rules = {
        **OPEN,
        "max_exposure": 0.8,
    }  # Backtrader's broker rejects the order if the fill costs more than the cash
    one, other = (play([market(2)], tiny_model, broker, **rules) for broker in (stock, perpetual()))
    for name in ("target", "position"):
        np.testing.assert_allclose(rows(one, "S2", name)[0], rows(other, "S2", name)[0], atol=1e-12)
    np.testing.assert_allclose(table(one, "equitycurve")["equity"], table(other, "equitycurve")["equity"])


def test_it_needs_no_special_commission(tiny_model):
    strategy = play([market(2)], tiny_model, bt.brokers.BackBroker(cash=10_000.0), **OPEN)
    assert (np.asarray(table(strategy, "orders")["size"]) % 1 != 0).any(), "whole units only"


@pytest.mark.parametrize(
    "params", [{"leverage": 0.0}, {"leverage": -1.0}, {"cooldown": -1}, {"density_adaptation": 1.5}]
)
def test_impossible_parameters_stop_it_before_the_first_bar(tiny_model, params):
    with pytest.raises(ValueError, match=f"{next(iter(params))}: expected"):
        play([market(1)], tiny_model, **params)


# Decisions and orders -----------------------------------------------------------------------------------------


def test_there_is_one_decision_a_bar_and_symbol(tiny_model):
    late = market(4).drop(index=range(50)).reset_index(drop=True)
    frames = [market(3), with_attrs(late, market(4))]
    strategy = play(frames, tiny_model, **OPEN)
    for frame in frames:
        times, reasons = rows(strategy, frame.attrs["symbol"], "time", "reason")
        assert times.tolist() == (frame["timestamp"] + HOUR).tolist()
        assert (reasons[:WARMUP] == "warmup").all()
        assert not (reasons[WARMUP:] == "warmup").any()


def test_an_order_fills_at_the_open_after_its_decision_and_brings_the_target(tiny_model):
    frame = market(5)
    strategy = play([frame], tiny_model, **OPEN)
    time, target, close = rows(strategy, "S5", "time", "target", "close")
    orders = table(strategy, "orders")
    at = np.searchsorted(time, orders["decided"])
    np.testing.assert_array_equal(orders["time"], time[at + 1])
    np.testing.assert_allclose(orders["price"], frame["open"].to_numpy()[at + 1], rtol=1e-14)
    equity = table(strategy, "equitycurve")["equity"]
    held = np.cumsum(orders["size"])
    np.testing.assert_allclose(held * close[at] / equity[at], target[at], rtol=1e-9, atol=1e-12)


def test_positions_are_less_than_one_lot_from_their_target(tiny_model):
    strategy = play([market(5)], tiny_model, perpetual(lot_step=0.5), **OPEN)
    orders = table(strategy, "orders")
    lots = np.asarray(orders["size"]) / 0.5
    np.testing.assert_array_equal(lots, np.round(lots))
    time, target, close = rows(strategy, "S5", "time", "target", "close")
    at = np.searchsorted(time, orders["decided"])
    wanted = target[at] * table(strategy, "equitycurve")["equity"][at] / close[at]
    assert len(lots) > 20
    assert np.abs(np.cumsum(lots) * 0.5 - wanted).max() < 0.5


def test_a_step_that_the_exchange_takes_no_order_for_has_a_reason_of_its_own(tiny_model):
    broker = perpetual(lot_step=0.001, min_notional=1_000.0)
    strategy = play([market(5)], tiny_model, broker, **OPEN)
    time, target, position, close, reason = rows(
        strategy, "S5", "time", "target", "position", "close", "reason"
    )
    equity = table(strategy, "equitycurve")["equity"]
    small = reason == "below_minimum"
    assert 10 < small.sum() < (reason != "warmup").sum()
    assert (target[small] != position[small]).all()
    assert (np.abs(target - position)[small] * equity[small] < 1_000.0 + 0.001 * close[small]).all()
    assert not np.isin(table(strategy, "orders")["decided"], time[small]).any()
    assert np.isin(time[:-1][reason[:-1] == "trade"], table(strategy, "orders")["decided"]).all()


class Careful(ScoreStrategy):
    """A user's subclass that sets the conditions and is notified of every order."""

    params = (("late_from", 100), ("kill_from", 140))

    def __init__(self):
        super().__init__()
        self.sent = []

    def conditions(self):
        return Conditions(
            late=self.p.late_from <= len(self) < self.p.late_from + 20,
            halted=len(self) >= self.p.kill_from,
            flatten=len(self) >= self.p.kill_from + 20,
        )

    def order_sent(self, order):
        self.sent.append((order.created.dt, order.created.size))


def test_a_subclass_sets_conditions_and_is_notified_of_every_order(tiny_model):
    strategy = play([market(5)], tiny_model, watch=Careful, **OPEN)
    reason, target, position = rows(strategy, "S5", "reason", "target", "position")
    late, kept, flat = slice(99, 119), slice(139, 159), slice(159, None)
    assert set(reason[late]) == {"stale"}
    assert set(reason[139:]) == {"kill_switch"}
    for still in (late, kept):
        assert (target[still] == position[still]).all()
        assert (position[still] != 0.0).all()
    assert (target[flat] == 0.0).all()
    assert position[159] != 0.0
    assert (position[160:] == 0.0).all()
    orders = table(strategy, "orders")
    assert [size for _, size in strategy.sent] == orders["requested"].tolist()
    decided = np.searchsorted(rows(strategy, "S5", "time")[0], orders["decided"])
    assert not set(decided) & {*range(99, 119), *range(139, 159)}
    assert decided[-1] == 159


def test_the_rebalance_band_is_respected(tiny_model):
    strategy = play([market(6)], tiny_model, **{**OPEN, "rebalance_band": 0.2})
    target, position, reason = rows(strategy, "S6", "target", "position", "reason")
    traded = reason == "trade"
    assert traded.sum() > 10
    assert ((np.abs(target - position)[traded] >= 0.2) | (target[traded] == 0)).all()
    assert (target == position)[reason == "hold"].all()
    assert len(table(strategy, "orders")["size"]) == traded[:-1].sum()


def test_positions_stay_within_the_largest_exposure_but_for_drift(tiny_model):
    params = {**OPEN, "max_exposure": 0.5}
    strategy = play([market(7)], tiny_model, **params)
    target, position = rows(strategy, "S7", "target", "position")
    assert np.abs(target).max() <= 0.5
    assert 0.3 < np.abs(position).max() < 0.5 * 1.05


def test_bars_before_trade_from_only_warm_up(tiny_model):
    frame = market(8)
    start = int(frame["timestamp"].iloc[100]) + HOUR
    strategy = play([frame], tiny_model, **OPEN, trade_from=start)
    time, reason, signal = rows(strategy, "S8", "time", "reason", "signal")
    assert (reason[time < start] == "warmup").all()
    assert time[reason != "warmup"][0] == start
    assert np.isfinite(signal[WARMUP:]).all()
    assert table(strategy, "orders")["decided"].min() >= start


def test_a_cooldown_skips_as_many_closes_as_it_says(tiny_model):
    strategy = play([market(6)], tiny_model, **{**OPEN, "cooldown": 3})
    position, target, reason = rows(strategy, "S6", "position", "target", "reason")
    ordered = np.flatnonzero((reason == "trade") & (target != position))
    assert len(ordered) > 20
    for bar in ordered[ordered < len(reason) - 4]:
        for after in range(bar + 1, bar + 4):
            added = reason[after] == "trade" and (
                abs(target[after]) > abs(position[after]) or target[after] * position[after] < 0
            )
            assert not added
            if reason[after] == "trade":  # a step down is a fill, too, and the count begins again
                break


# The account --------------------------------------------------------------------------------------------------


def test_several_symbols_share_the_capital(tiny_model):
    frames = [market(seed) for seed in (11, 12, 13)]
    together = play(frames, tiny_model, **OPEN)
    for frame in frames:
        symbol = frame.attrs["symbol"]
        alone = play([frame], tiny_model, **OPEN)
        np.testing.assert_allclose(rows(together, symbol, "target")[0] * 3, rows(alone, symbol, "target")[0])
    assert table(together, "equitycurve")["gross"].max() < 1.05


@pytest.mark.parametrize("count", [1, 3])
def test_the_gross_exposure_is_capped_for_all_alike(tiny_model, count):
    frames = [market(seed) for seed in (11, 12, 13)[:count]]
    params = {**OPEN, "max_exposure": 4.0}
    capped = play(frames, tiny_model, **params, leverage=0.5)
    wide = play(frames, tiny_model, **params, leverage=100.0)
    target, wished = (
        np.array([rows(s, f.attrs["symbol"], "target")[0] for f in frames]) for s in (capped, wide)
    )
    gross = np.abs(target).sum(axis=0)
    assert gross.max() == pytest.approx(0.5)
    limited = np.abs(wished).sum(axis=0) > 0.5
    assert limited.sum() > 20
    np.testing.assert_allclose(
        target[:, limited], wished[:, limited] * 0.5 / np.abs(wished[:, limited]).sum(axis=0)
    )
    assert table(capped, "equitycurve")["gross"].max() < 0.5 * 1.05


@pytest.mark.parametrize("count", [1, 3])
def test_the_cap_does_not_trade_inside_the_band(tiny_model, count):
    frames = [market(seed) for seed in (11, 12, 13)[:count]]
    strategy = play(frames, tiny_model, **{**OPEN, "rebalance_band": 0.3}, max_exposure=4.0, leverage=0.5)
    orders = 0
    for frame in frames:
        target, position, reason = rows(strategy, frame.attrs["symbol"], "target", "position", "reason")
        step = np.abs(target - position)
        assert ((step * count >= 0.3 - 1e-12) | (target == 0) | (step == 0)).all()
        assert (step[np.isin(reason, ["hold", "cooldown"])] == 0).all()
        orders += (step[:-1] > 0).sum()
    assert len(table(strategy, "orders")["size"]) == orders > 0
    assert table(strategy, "equitycurve")["gross"].max() < 0.5 + 0.3 + 0.05


def test_the_drawdown_stop_closes_and_never_trades_again(tiny_model):
    frame = market(14, bars=400, sigma=0.02)
    strategy = play([frame], tiny_model, **OPEN, max_drawdown_stop=0.05)
    equity = table(strategy, "equitycurve")["equity"]
    (reason, position) = rows(strategy, "S14", "reason", "position")
    depth = equity / np.maximum.accumulate(equity) - 1
    halted = int(np.argmax(depth <= -0.05))
    assert 0 < halted < 350
    assert (reason[halted:] == "drawdown_stop").all()
    assert "drawdown_stop" not in reason[:halted]
    assert position[halted] != 0.0
    assert (position[halted + 1 :] == 0.0).all()
    assert len(set(equity[halted + 1 :])) == 1


def test_a_ruined_account_is_asked_to_close_on_the_stock_broker_too(tiny_model):
    """Backtrader's own broker lets equity fall below zero and then rejects orders, so one is sent at every bar."""
    frame = market(15, bars=60)
    frame.loc[40, ["high", "close"]] *= 60.0
    frame.loc[41:, ["open", "high", "low", "close"]] *= 60.0

    class Short(ScoreStrategy):
        def next(self):
            super().next()
            if len(self) == 38:
                self.sell(size=0.5 * self.broker.getvalue() / self.data.close[0])

    stock = bt.brokers.BackBroker(cash=10_000.0)
    stock.addcommissioninfo(PerpetualCommission(**FREE))
    keeps = {**OPEN, "max_exposure": 0.01, "rebalance_band": 1.0}
    strategy = play([frame], tiny_model, stock, watch=Short, **keeps)
    equity = table(strategy, "equitycurve")["equity"]
    assert (equity[40:] < 0).all()
    assert (rows(strategy, "S15", "reason")[0][40:] == "ruined").all()
    assert strategy.rejections == 19


def test_a_symbol_that_falls_silent_is_closed_at_its_next_bar(tiny_model):
    silent = market(17).drop(index=range(80, 100)).reset_index(drop=True)
    frames = [market(16), with_attrs(silent, market(17))]
    strategy = play(frames, tiny_model, **OPEN, stale_after=3)
    time, reason, position, signal = rows(strategy, "S17", "time", "reason", "position", "signal")
    first = int(frames[0]["timestamp"].iloc[80])  # the close of bar 79, the last before the hole
    stale = reason == "stale"
    hole = [first + HOUR * k for k in range(4, 21)]
    assert time[stale & (time <= first + 20 * HOUR)].tolist() == hole
    assert np.isnan(signal[stale]).all()
    assert position[time == first][0] != 0.0
    assert position[time == hole[0]][0] != 0.0, "nothing trades in a hole"
    assert position[time == first + 21 * HOUR][0] == 0.0, "the order that waited was taken back"
    orders = table(strategy, "orders")
    mine = (np.array(orders["symbol"]) == "S17") & (np.array(orders["status"]) == "completed")
    assert first + 21 * HOUR in orders["time"][mine]
    assert not ((orders["time"][mine] > first) & (orders["time"][mine] <= first + 20 * HOUR)).any()


def test_without_stale_after_a_silent_symbol_is_kept(tiny_model):
    silent = market(17).drop(index=range(80, 100)).reset_index(drop=True)
    frames = [market(16), with_attrs(silent, market(17))]
    strategy = play(frames, tiny_model, **OPEN)
    time = rows(strategy, "S17", "time")[0]
    assert time.tolist() == (frames[1]["timestamp"] + HOUR).tolist()


def test_refused_orders_are_counted_and_asked_for_again(tiny_model):
    frame = market(18)
    tight = perpetual(taker=0.01, leverage=1.0, maintenance_margin=0.0)
    params = {**OPEN, "max_exposure": 1.0}
    strategy = play([frame], tiny_model, tight, **params)
    status = np.array(table(strategy, "orders")["status"])
    assert strategy.rejections == (status == "margin").sum() > 0
    assert (status == "completed").sum() > 20
    decided = table(strategy, "orders")["decided"]
    time, target, position = rows(strategy, "S18", "time", "target", "position")
    asks = time[:-1][(target != position)[:-1]]
    assert decided.tolist() == asks.tolist(), "each bar asks for what is missing, nothing is stuck"


def test_a_liquidated_account_is_halted(tiny_model):
    frame = market(19, bars=120)
    calm = play([frame], tiny_model, **OPEN)
    position, target = rows(calm, "S19", "position", "target")
    kept = (position[:-1] * position[1:] > 0) & (position[:-1] * target[:-1] > 0) & (abs(position[:-1]) > 0.3)
    last = 40 + int(np.argmax(kept[40:]))
    assert kept[last], "a position above 0.3 that the next bar keeps"
    crash = slice(last + 1, None)
    frame.loc[frame.index[crash], ["open", "high", "low", "close"]] *= 100.0 ** -np.sign(position[last])
    strategy = play([frame], tiny_model, **OPEN, max_exposure=9.0, leverage=9.0)
    equity = table(strategy, "equitycurve")["equity"]
    assert (equity[: last + 1] > 0).all()
    assert (equity[crash] == 0).all()
    reason, position = rows(strategy, "S19", "reason", "position")
    assert (reason[crash] == "ruined").all()
    assert (position[crash] == 0.0).all()
    assert np.asarray(table(strategy, "orders")["liquidation"]).sum() == 1


# Sweeps -------------------------------------------------------------------------------------------------------


class Threads(bt.Analyzer):
    """Return the number of torch threads in the process that ran the strategy."""

    def stop(self):
        self.rets = {"threads": torch.get_num_threads()}


CONFIDENCE, DENSITY = (0.0, 0.5), (0.0, 0.3)


def sweep(frame, model, maxcpus):
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(perpetual(taker=0.001))
    cerebro.adddata(BarsData(dataname=frame))
    cerebro.optstrategy(
        ScoreStrategy,
        model=[model],
        confidence_threshold=CONFIDENCE,
        density_quantile=DENSITY,
        **{name: value for name, value in CHAPTER.items() if name != "confidence_threshold"}
        | {"rebalance_band": 0.1, "cooldown": 0},
    )
    for analyzer in (Sharpe, InDistribution, Decisions, Threads):
        cerebro.addanalyzer(analyzer, _name=analyzer.__name__.lower())
    return [trial for (trial,) in cerebro.run(maxcpus=maxcpus)]


def outcome(trial):
    decisions = trial.analyzers.decisions.get_analysis()
    return (
        trial.p.confidence_threshold,
        trial.p.density_quantile,
        trial.analyzers.sharpe.get_analysis()["sharpe_ratio"],
        trial.analyzers.indistribution.get_analysis()["in_distribution_ratio"],
        decisions["target"].tolist(),
        decisions["reason"].tolist(),
    )


@pytest.fixture
def evaluations(monkeypatch):
    """Count how often the nets are evaluated in this process."""
    count = []
    real = ScoreModel._evaluate

    def counting(self, bars, *rest):
        count.append(len(bars["close"]))
        return real(self, bars, *rest)

    monkeypatch.setattr(ScoreModel, "_evaluate", counting)
    return count


@pytest.mark.parametrize("as_path", [True, False], ids=["path", "object"])
def test_a_sweep_evaluates_the_model_once(tiny_model, tiny_model_dir, evaluations, as_path):
    frame = market(31 + as_path, bars=300)
    trials = sweep(frame, tiny_model_dir if as_path else tiny_model, maxcpus=1)
    assert len({outcome(trial)[2] for trial in trials}) == 4, "the thresholds make a difference"
    assert evaluations == [300]


class Surviving(ScoreStrategy):
    """As docs/optimize.md: a combination that is impossible is skipped."""

    def __init__(self):
        try:
            super().__init__()
        except ValueError as error:
            raise bt.errors.StrategySkipError from error


def test_an_impossible_combination_need_not_end_a_sweep(tiny_model):
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(perpetual(taker=0.001))
    cerebro.adddata(BarsData(dataname=market(35, bars=80)))
    cerebro.optstrategy(Surviving, model=[tiny_model], density_quantile=[0.0, 7.0, 0.3])
    found = cerebro.run(maxcpus=1)
    assert [len(trials) for trials in found] == [1, 0, 1]
    assert [trial.p.density_quantile for trials in found for trial in trials] == [0.0, 0.3]


@pytest.mark.enable_socket  # torch hands tensors to another process over a unix socket
@pytest.mark.filterwarnings(
    "ignore:.*multi-threaded:DeprecationWarning"
)  # torch's threads, from Python 3.12 on
@pytest.mark.parametrize("as_path", [True, False], ids=["path", "object"])
def test_two_processes_find_what_one_finds(tiny_model, tiny_model_dir, as_path):
    frame = market(33, bars=300)
    model = tiny_model_dir if as_path else tiny_model
    alone = [outcome(trial) for trial in sweep(frame, model, maxcpus=1)]
    torch.set_num_threads(2)
    busy = torch.randn(600, 600)
    torch.linalg.cholesky(
        busy @ busy.T + 600 * torch.eye(600)
    )  # the pools of threads now exist, and no fork has them
    trials = sweep(frame, model, maxcpus=2)
    assert {trial.analyzers.threads.get_analysis()["threads"] for trial in trials} == {1}
    assert torch.get_num_threads() == 2, "the caller's own setting is left alone"
    assert [outcome(trial) for trial in trials] == alone


def test_an_adaptive_threshold_sees_what_the_plain_function_sees_and_rejects_its_share(tiny_model):
    params = {**OPEN, "density_quantile": 0.2}
    plain = play([market(1)], tiny_model, **params)
    strategy = play([market(1)], tiny_model, **params, density_adaptation=0.05)
    density, rank = rows(strategy, "S1", "log_density", "density_rank")
    history = adaptive_threshold(
        np.asarray(density, dtype=float), tiny_model.calibration, level=0.2, rate=0.05
    )
    np.testing.assert_array_equal(np.asarray(rank, dtype=float), history.rank)
    assert not np.array_equal(rows(plain, "S1", "density_rank")[0], rank)
    decided = np.isfinite(history.rank)
    bound = (0.8 + 0.05) / (0.05 * decided.sum())
    assert abs((~history.in_distribution[decided]).mean() - 0.2) <= bound
    rejected = np.asarray(rows(strategy, "S1", "reason")[0]) == "out_of_distribution"
    np.testing.assert_array_equal(rejected[decided], ~history.in_distribution[decided])


# Contracts and models -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [{"mult": 10.0}, {"contract": "inverse"}])
def test_a_position_is_sized_by_the_value_of_its_contracts(tiny_model, kind):
    plain = play([market(5)], tiny_model, **OPEN)
    other = play([market(5)], tiny_model, broker=perpetual(**kind, margin_leverage=10.0), **OPEN)
    wanted, traded = (rows(each, "S5", "target")[0] for each in (plain, other))
    np.testing.assert_allclose(traded, wanted, rtol=0, atol=1e-12)
    # Filled at the next open, near the close of the decision: the position is the target, not ten times it.
    reached = rows(other, "S5", "position")[0][1:]
    assert np.abs(reached - traded[:-1]).max() < 0.1


def test_a_model_of_an_earlier_version_is_told_what_it_lacks(tiny_model):
    earlier = replace(tiny_model, calibration=replace(tiny_model.calibration, typical_forecast=math.nan))
    with pytest.raises(ValueError, match="'proportional' needs the size of the model's typical forecast"):
        play([market(5)], earlier, position_rule="proportional")
    play([market(5)], earlier, **OPEN)
