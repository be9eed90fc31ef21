"""A live run decides as a backtest does, sends no order twice after a crash, and sends none for late bars."""

import io
import os
import random
import signal
from dataclasses import replace
from itertools import count

import numpy as np
import pandas as pd
import pytest

from feeds import simulate, write_bars
from runs import plugins
from runs.backtest import backtest, strategy_defaults
from runs.folder.rundir import RunDir
from runs.live.journal import JOURNAL, open_journal
from runs.live.record import JournalMismatch
from runs.live.session import LiveRequest, live
from runs.live.status import LiveStatus
from runs.markets import LoadOptions
from runs.plugins import load_plugin
from runs.settings import Account
from scorenet import ConfigError, FeatureMismatch, ScoreModel
from scorenet.base.times import iso
from tests.chapter_rules import CHAPTER
from tests.runs.live.live_market import ScriptedMarket, open_at

HOUR = 3_600_000
PARAMS = {
    **CHAPTER,
    "confidence_threshold": 0.0,
    "rebalance_band": 0.05,
    "cooldown": 2,
    "consistency_window": 3,
}
HELD = {"position_rule": "cvar", "kelly_fraction": 20.0, "forecast_window": None, "cost_band": 0.2}
START = 60
TABLES = ("decisions", "orders", "trades", "funding", "equity")


@pytest.fixture(autouse=True)
def _no_report(monkeypatch):
    monkeypatch.setattr("runs.folder.write.write_report", lambda folder: None)


def frame(seed=6, bars=160):
    return simulate("planted", seed=seed, bars=bars, start="2021-01-01")


def quiet():
    return LiveStatus(io.StringIO(), refreshing=False)


def go(
    model,
    out,
    frames,
    params=None,
    status=None,
    before=lambda opened: 0,
    clock=lambda: None,
    grace=10.0,
    suspect=lambda opened: False,
    **request,
):
    market = ScriptedMarket(frames, open_at(frames[0], START) + 5, before, clock, grace, suspect)
    symbols = tuple(market.frames)
    wanted = LiveRequest(symbols=symbols, out=str(out), **request)
    values = strategy_defaults() | PARAMS | (params or {})
    return live(model, wanted, Account(), values, market, status or quiet())


def records(out, *kinds):
    with open_journal(out) as journal:
        return [{k: v for k, v in r.items() if k not in ("n", "at")} for r in journal.records(*kinds)]


def orders(out):
    return [order for record in records(out, "bar") for order in record["orders"]]


# The same as a backtest ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seeds", "more"), [((6,), HELD), ((6, 7), {})])
def test_it_decides_as_the_backtest_of_the_same_bars(tiny_model_dir, tmp_path, seeds, more):
    frames = [frame(seed) for seed in seeds]
    rounds = random.Random(1)
    outcome = go(tiny_model_dir, tmp_path / "live", frames, more, before=lambda opened: rounds.randrange(3))
    sources = []
    for number, bars in enumerate(frames):
        write_bars(bars, tmp_path / f"{number}.parquet")
        sources.append(str(tmp_path / f"{number}.parquet"))
    options = LoadOptions(since=iso(open_at(frames[0], START)), progress=False)
    params = strategy_defaults() | PARAMS | more
    metrics = backtest(tiny_model_dir, sources, tmp_path / "offline", Account(), params, options)
    one, other = RunDir.open(tmp_path / "live"), RunDir.open(tmp_path / "offline")
    for name in TABLES:
        pd.testing.assert_frame_equal(one.read_frame(name), other.read_frame(name), check_exact=True)
    assert len(one.read_frame("orders")) > 5
    assert outcome.metrics == metrics


def test_finished_orders_are_forgotten(tiny_model_dir, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("runs.live.session.publish", lambda *args: seen.append(args[3]))
    go(tiny_model_dir, tmp_path, [frame()])
    (strategy,) = seen
    assert len(orders(tmp_path)) > 10
    assert len(strategy.broker.orders) <= 1
    assert not strategy._orders


def test_warm_up_sends_no_order(tiny_model_dir, tmp_path):
    bars = frame()
    go(tiny_model_dir, tmp_path, [bars])
    start = open_at(bars, START) + HOUR
    warm = [record for record in records(tmp_path, "bar") if record["time"] < start]
    assert len(warm) == 21
    assert {decision["reason"] for record in warm for decision in record["decisions"]} == {"warmup"}
    assert not [order for record in warm for order in record["orders"]]
    first = next(record for record in records(tmp_path, "bar") if record["time"] == start)
    assert first["decisions"][0]["reason"] != "warmup"


def test_a_longer_warm_up_changes_no_feature(tiny_model_dir, tmp_path):
    bars = frame()
    params = {"consistency_window": 0}
    go(tiny_model_dir, tmp_path / "short", [bars], params)
    go(tiny_model_dir, tmp_path / "long", [bars], params, since=iso(open_at(bars, 3)))
    assert len(records(tmp_path / "long", "bar")) > len(records(tmp_path / "short", "bar"))
    for name in TABLES:
        one, other = (RunDir.open(tmp_path / which).read_frame(name) for which in ("short", "long"))
        pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_too_short_a_warm_up_is_refused(tiny_model_dir, tmp_path):
    bars = frame()
    with pytest.raises(ConfigError, match="needs 21 bars of warm-up"):
        go(tiny_model_dir, tmp_path, [bars], since=iso(open_at(bars, 50)))


# Restarts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seeds", "more"), [((6,), {}), ((6, 7), HELD)])
def test_stopped_and_started_again_it_goes_on_as_if_nothing_had_been(tiny_model_dir, tmp_path, seeds, more):
    frames = [frame(seed) for seed in seeds]
    go(tiny_model_dir, tmp_path / "whole", frames, more)
    for bars in (0, 1, 30, 0, 17):
        go(tiny_model_dir, tmp_path / "parts", frames, more, max_bars=bars)
    go(tiny_model_dir, tmp_path / "parts", frames, more)
    assert records(tmp_path / "parts", "bar") == records(tmp_path / "whole", "bar")
    assert len(records(tmp_path / "parts", "session")) == 6
    for name in TABLES:
        one, other = (RunDir.open(tmp_path / which).read_frame(name) for which in ("parts", "whole"))
        pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_killed_anywhere_it_goes_on_as_if_nothing_had_been(tiny_model_dir, tmp_path, monkeypatch):
    """Each kill is a real SIGKILL: before, after and during the write of a record."""
    bars = frame(bars=100)
    go(tiny_model_dir, tmp_path / "whole", [bars])
    expected = records(tmp_path / "whole", "bar")
    chance, out = random.Random(4), tmp_path / "killed"
    deaths = 0
    while _die(tiny_model_dir, out, bars, chance.randrange(0, 9), chance.random()):
        deaths += 1
    assert deaths >= 10
    assert records(out, "bar") == expected
    assert len(orders(out)) == len([order for record in expected for order in record["orders"]])


def _die(model, out, bars, at, share):
    """Run in a child process that kills itself at its `at`-th write, after `share` of the line; False if it
    finished first.
    """
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
        return os.WIFSIGNALED(status)
    try:
        writes, write = count(), os.write

        def deadly(handle, line):
            if b'"kind"' in line and next(writes) == at:
                write(handle, line[: round(share * len(line))])
                os.kill(os.getpid(), signal.SIGKILL)
            return write(handle, line)

        os.write = deadly
        go(model, out, [bars])
    except BaseException:
        os._exit(9)
    os._exit(0)


def test_a_restart_asks_only_for_what_is_new(tiny_model_dir, tmp_path):
    bars = frame()
    go(tiny_model_dir, tmp_path, [bars], max_bars=10)
    market = ScriptedMarket([bars], 0)
    symbol = bars.attrs["symbol"]
    wanted = LiveRequest(symbols=(symbol,), out=str(tmp_path))
    live(tiny_model_dir, wanted, Account(), strategy_defaults() | PARAMS, market, quiet())
    assert market.asked == [(symbol, open_at(bars, START + 10))]


def test_a_model_that_the_caller_has_loaded_is_not_read_again(
    tiny_model, tiny_model_dir, tmp_path, monkeypatch
):
    def refuse(folder):
        raise AssertionError(f"{folder} was read")

    monkeypatch.setattr(ScoreModel, "load", refuse)
    bars = frame()
    market = ScriptedMarket([bars], open_at(bars, START) + 5)
    wanted = LiveRequest(symbols=(bars.attrs["symbol"],), out=str(tmp_path), max_bars=3)
    params = strategy_defaults() | PARAMS
    with pytest.raises(AssertionError, match="was read"):
        live(tiny_model_dir, wanted, Account(), params, market, quiet())
    outcome = live(tiny_model_dir, wanted, Account(), params, market, quiet(), model=tiny_model)
    assert outcome.bars > 0


@pytest.mark.parametrize(
    ("change", "told"),
    [({"cooldown": 3}, "strategy.cooldown was 2, is 3"), ({"target_volatility": 0.1}, "target_volatility")],
)
def test_other_settings_cannot_go_on_with_the_account(tiny_model_dir, tmp_path, change, told):
    go(tiny_model_dir, tmp_path, [frame()], max_bars=3)
    with pytest.raises(ConfigError, match=told):
        go(tiny_model_dir, tmp_path, [frame()], change)


def test_a_plugin_whose_code_has_changed_cannot_go_on_with_the_account(tiny_model_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(plugins, "_loaded", {})
    file, out = tmp_path / "mine.py", tmp_path / "out"
    file.write_text("x = 1\n")
    load_plugin(file)
    go(tiny_model_dir, out, [frame()], max_bars=3)
    go(tiny_model_dir, out, [frame()], max_bars=3)
    plugins._loaded.clear()
    file.write_text("x = 2\n")
    load_plugin(file)
    with pytest.raises(ConfigError, match="plugins was"):
        go(tiny_model_dir, out, [frame()])


def test_a_model_with_the_same_weights_and_another_calibration_is_another_model(
    tiny_model, tiny_model_dir, tmp_path
):
    go(tiny_model_dir, tmp_path / "run", [frame()], max_bars=0)
    calibration = replace(tiny_model.calibration, rows=tiny_model.calibration.rows + 1)
    other = replace(tiny_model, calibration=calibration).save(tmp_path / "other")
    with pytest.raises(ConfigError, match=r"other settings \(model was"):
        go(other, tmp_path / "run", [frame()], max_bars=0)


def test_another_bar_size_than_the_models_is_refused(tiny_model_dir, tmp_path):
    with pytest.raises(FeatureMismatch, match="trained on 1h bars"):
        go(tiny_model_dir, tmp_path, [frame()], timeframe="4h")


def test_a_journal_that_does_not_repeat_is_refused(tiny_model_dir, tmp_path, monkeypatch):
    go(tiny_model_dir, tmp_path, [frame()], max_bars=30)
    from strategies import live_strategy

    monkeypatch.setattr(live_strategy, "fill_fee", lambda *_: 1.0)
    with pytest.raises(JournalMismatch, match="fills was"):
        go(tiny_model_dir, tmp_path, [frame()])


def test_a_run_that_ends_before_its_first_live_bar_has_no_figures(tiny_model_dir, tmp_path):
    outcome = go(tiny_model_dir, tmp_path, [frame()], max_bars=0)
    assert outcome.metrics is None
    assert not (tmp_path / "metrics.json").exists()
    assert (tmp_path / JOURNAL).exists()


# Late bars and several symbols --------------------------------------------------------------------------------


def test_on_late_bars_nothing_is_traded_and_what_is_held_is_kept(tiny_model_dir, tmp_path):
    bars = frame()
    cut, end = open_at(bars, 100), open_at(bars, 110)
    shown = [0]

    def before(opened):
        # Ten bars closed while the feed was disconnected: they arrive together, and the clock is ahead of them.
        shown[0] = max(opened + HOUR, end if opened >= cut else 0)
        return 0

    go(tiny_model_dir, tmp_path, [bars], before=before, clock=lambda: shown[0] + 900)
    found = records(tmp_path, "bar")
    late = [record for record in found if cut < record["time"] < end and record["late"]]
    assert len(late) == 9
    for record in late:
        assert record["decisions"][0]["reason"] == "stale"
        assert record["decisions"][0]["target"] == record["decisions"][0]["position"]
        assert not record["orders"]
    after = [record for record in found if record["time"] >= end]
    assert not any(record["late"] for record in after)
    assert any(record["orders"] for record in after)


def test_bars_of_one_close_reach_the_strategy_together_however_late_one_comes(tiny_model_dir, tmp_path):
    one, other = frame(6), frame(7)
    rounds = random.Random(3)
    go(tiny_model_dir, tmp_path, [one, other], before=lambda opened: rounds.randrange(9), grace=1e9)
    assert all(len(record["bars"]) == 2 for record in records(tmp_path, "bar"))


def test_a_symbol_that_stays_away_is_not_waited_for_beyond_the_grace(tiny_model_dir, tmp_path):
    one, other = frame(6), frame(7)
    gone = other.drop(index=range(90, 100)).reset_index(drop=True)
    gone.attrs = dict(other.attrs)
    go(tiny_model_dir, tmp_path, [one, gone], grace=0.0)
    found = {len(record["bars"]) for record in records(tmp_path, "bar")}
    assert found == {1, 2}
    times = [record["time"] for record in records(tmp_path, "bar")]
    assert times == sorted(times)
    held = records(tmp_path, "bar")
    assert sum(one.attrs["symbol"] in record["bars"] for record in held) == 160 - START + 21


def test_each_symbol_once(tiny_model_dir, tmp_path):
    market = ScriptedMarket([frame()], open_at(frame(), START))
    symbol = next(iter(market.frames))
    wanted = LiveRequest(symbols=(symbol, symbol), out=str(tmp_path))
    with pytest.raises(ConfigError, match="each symbol once"):
        live(tiny_model_dir, wanted, Account(), strategy_defaults(), market, quiet())


# The kill switch ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flatten", [False, True])
def test_the_kill_file_halts_for_good(tiny_model_dir, tmp_path, flatten):
    bars = frame()

    def before(opened):
        if opened == open_at(bars, 106):
            (tmp_path / "KILL").touch()
            return 1
        return 0

    go(tiny_model_dir, tmp_path, [bars], before=before, kill_flatten=flatten, max_bars=60)
    (tmp_path / "KILL").unlink()
    go(tiny_model_dir, tmp_path, [bars])
    after = [record for record in records(tmp_path, "bar") if record["time"] > open_at(bars, 106)]
    assert len(after) == 54
    assert {record["decisions"][0]["reason"] for record in after} == {"kill_switch"}
    sizes = {record["positions"][bars.attrs["symbol"]] for record in after[1:]}
    if flatten:
        assert sizes == {0.0}
        assert sum(len(record["orders"]) for record in after) == 1
    else:
        assert len(sizes) == 1
        assert sizes != {0.0}
        assert not any(record["orders"] for record in after)
    assert [record["reason"] for record in records(tmp_path, "halt")] == ["file KILL"]


def test_what_a_halt_kept_is_closed_when_a_later_session_flattens(tiny_model_dir, tmp_path):
    bars = frame()

    def before(opened):
        if opened == open_at(bars, 106):
            (tmp_path / "KILL").touch()
            return 1
        return 0

    stream = io.StringIO()
    go(tiny_model_dir, tmp_path, [bars], before=before, max_bars=60)
    symbol = bars.attrs["symbol"]
    assert records(tmp_path, "bar")[-1]["positions"][symbol] != 0.0
    status = LiveStatus(stream, refreshing=False)
    go(tiny_model_dir, tmp_path, [bars], status=status, kill_flatten=True, max_bars=5)
    assert "halted in an earlier session (file KILL)" in stream.getvalue()
    assert records(tmp_path, "bar")[-1]["positions"][symbol] == 0.0
    go(tiny_model_dir, tmp_path, [bars], max_bars=5)
    assert records(tmp_path, "bar")[-1]["positions"][symbol] == 0.0


def test_a_signal_halts_too(tiny_model_dir, tmp_path):
    bars = frame()

    def before(opened):
        if opened == open_at(bars, 100):
            os.kill(os.getpid(), signal.SIGUSR1)
            return 1
        return 0

    go(tiny_model_dir, tmp_path, [bars], before=before)
    assert [record["reason"] for record in records(tmp_path, "halt")] == ["SIGUSR1"]


def test_too_great_a_loss_halts(tiny_model_dir, tmp_path):
    go(tiny_model_dir, tmp_path, [frame()], max_loss=0.002)
    found = records(tmp_path, "bar", "halt")
    at = next(place for place, record in enumerate(found) if record["kind"] == "halt")
    assert found[at - 1]["equity"] <= 10_000 * (1 - 0.002)
    assert found[at]["reason"].startswith("equity 9,9")
    assert {record["decisions"][0]["reason"] for record in found[at + 1 :]} == {"kill_switch"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_cleanly_when_asked(tiny_model_dir, tmp_path, number, capfd):
    bars = frame()

    def before(opened):
        if opened == open_at(bars, 100):
            os.kill(os.getpid(), number)
            return 2
        return 0

    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    outcome = go(tiny_model_dir, tmp_path, [bars], before=before)
    assert outcome.signal == number
    assert outcome.metrics["bars"] == 40
    assert records(tmp_path, "stop")[-1]["signal"] == number
    assert handlers == [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    assert "stopping; Ctrl-C again stops at once" in capfd.readouterr().err


# The terminal -------------------------------------------------------------------------------------------------


def test_a_pipe_gets_one_plain_line_a_bar(tiny_model_dir, tmp_path):
    stream = io.StringIO()
    go(tiny_model_dir, tmp_path, [frame()], status=LiveStatus(stream, refreshing=False), max_bars=5)
    lines = stream.getvalue().splitlines()
    assert lines[0].split("  ")[1] == "paper, planted-6, bars of 1h: trades from 2021-01-03T13:00:00Z on"
    assert f"{tmp_path}/KILL halts" in lines[1]
    assert lines[2].split() == ["LIVE", "planted-6"]
    assert len(lines) == 8
    assert all("\r" not in line and "equity" in line for line in lines[3:])
    stream = io.StringIO()
    go(tiny_model_dir, tmp_path, [frame()], status=LiveStatus(stream, refreshing=False), max_bars=0)
    assert stream.getvalue().splitlines()[0].endswith("continues after 2021-01-03T17:00:00Z")


def test_a_terminal_gets_one_line_that_fits():
    stream = io.StringIO()
    ticks = count()
    status = LiveStatus(stream, refreshing=True, monotonic=lambda: next(ticks) * 0.4, width=lambda: 40)
    status.state("BTC/USDT:USDT", "LIVE")
    for _ in range(10):
        status.refresh(12.0)
    drawn = stream.getvalue().split("\r")[1:]
    assert len(drawn) == 4
    assert all(len(line.removesuffix("\x1b[K")) <= 39 for line in drawn)
    assert drawn[-1].startswith("LIVE")
    status.close()
    assert stream.getvalue().endswith("\n")


def test_numbers_of_the_journal_are_those_of_the_run(tiny_model_dir, tmp_path):
    outcome = go(tiny_model_dir, tmp_path, [frame()])
    found = [record for record in records(tmp_path, "bar") if record["decisions"][0]["reason"] != "warmup"]
    equity = RunDir.open(tmp_path).read_frame("equity")["equity"].to_numpy()
    np.testing.assert_array_equal([record["equity"] for record in found], equity)
    fills = [fill for record in found for fill in record["fills"]]
    assert sum(fill["fee"] for fill in fills) == pytest.approx(outcome.metrics["fees"], rel=1e-12)
    paid = sum(payment["amount"] for record in found for payment in record["funding"])
    assert paid == pytest.approx(outcome.metrics["funding"], rel=1e-9)
