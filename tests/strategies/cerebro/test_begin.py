"""When trading begins: a date as `--since`, a bar close, or after what the model has seen."""

import datetime as dt
import math
from dataclasses import replace

import backtrader as bt
import numpy as np
import pytest

from feeds import BarsData, load_bars
from runs.backtest import backtest, strategy_defaults
from runs.markets import LoadOptions
from runs.settings import Account
from scorenet.base.times import iso
from strategies import EquityCurve, PerpetualBroker, ScoreStrategy
from strategies.cerebro.begin import first_close
from tests.strategies.cerebro.own import HOUR, OPEN, cerebro_of, market

JULY = 1_719_792_000_000  # 2024-07-01T00:00Z


@pytest.mark.parametrize(
    ("moment", "close"),
    [
        ("2024-07-01", JULY + HOUR),
        ("2024-07-01T00:00Z", JULY + HOUR),
        ("2024-07-01T02:00+02:00", JULY + HOUR),
        (dt.date(2024, 7, 1), JULY + HOUR),
        (dt.datetime(2024, 7, 1), JULY + HOUR),  # noqa: DTZ001 - without a zone it is UTC
        (dt.datetime(2024, 7, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=2))), JULY + HOUR),
        (JULY, JULY),
        (np.int64(JULY), JULY),
        (None, -math.inf),
    ],
)
def test_a_date_is_the_open_of_the_first_bar_and_a_number_its_close(moment, close):
    assert first_close(moment, HOUR) == close


@pytest.mark.parametrize("wrong", ["July", "2024-13-01", True, [JULY], "1719792000000", JULY // 1000])
def test_what_is_no_time_is_an_error(wrong):
    with pytest.raises(ValueError, match="trade_from: expected"):
        first_close(wrong, HOUR)


def played(model, mode="runonce", **params):
    return cerebro_of([market(bars=80)], model, mode=mode, **params).run()[0].decisions.columns()


def decided(columns):
    return columns["time"][columns["reason"] != "warmup"]


@pytest.mark.parametrize("mode", ["runonce", "live"])
def test_a_date_and_the_close_of_its_first_bar_begin_alike(tiny_model, mode):
    opened = int(market(bars=80)["timestamp"].iloc[50])
    by_date, by_close = (
        played(tiny_model, mode, trade_from=moment) for moment in (iso(opened), opened + HOUR)
    )
    assert decided(by_date)[0] == opened + HOUR
    for name in ("target", "position", "reason"):
        np.testing.assert_array_equal(by_date[name], by_close[name])


def seen_until(model, opened):
    return replace(model, info={**model.info, "seen_until": opened})


def test_auto_begins_with_the_first_bar_that_the_model_has_not_seen(tiny_model):
    opens = market(bars=80)["timestamp"].to_numpy()
    columns = played(seen_until(tiny_model, int(opens[49])), trade_from="auto")
    assert decided(columns)[0] == opens[50] + HOUR


def test_auto_with_a_schedule_that_trades_bars_it_has_seen_is_an_error(tiny_model):
    opens = market(bars=80)["timestamp"].to_numpy()
    models = [
        (int(opens[0]), seen_until(tiny_model, int(opens[10]))),
        (int(opens[50]), seen_until(tiny_model, int(opens[49]))),
    ]
    assert decided(played(models, trade_from="auto"))[0] == opens[20] + HOUR  # after the look-back
    models[1] = (int(opens[50]), seen_until(tiny_model, int(opens[50])))
    with pytest.raises(
        ValueError, match=r"trade_from='auto': model 1 is used from .* but has seen the bars until"
    ):
        played(models, trade_from="auto")


def test_auto_needs_a_model_that_says_what_it_has_seen(tiny_model):
    info = {name: tiny_model.info[name] for name in ("bar_ms", "symbols", "metrics")}
    with pytest.raises(ValueError, match="trade_from='auto': the model does not say which bars it has seen"):
        played(replace(tiny_model, info=info), trade_from="auto")


def test_a_run_over_bars_that_the_model_has_seen_says_so_once(tiny_model, caplog):
    opens = market(bars=80)["timestamp"].to_numpy()
    model = seen_until(tiny_model, int(opens[60]))
    model = replace(model, config=replace(model.config, seed=987))  # another fingerprint than other tests'
    for _ in range(2):
        played(model)
    (said,) = caplog.messages
    assert (
        f"traded from {iso(int(opens[20]) + HOUR)} on, but its model has seen the bars until {iso(int(opens[60]))}"
        in said
    )
    assert "trade_from='auto'" in said
    caplog.clear()
    played(replace(model, config=replace(model.config, seed=988)), trade_from="auto")
    played(
        replace(model, config=replace(model.config, seed=989)), trade_from=int(opens[30])
    )  # a command has said it
    assert caplog.messages == []
    played(replace(model, config=replace(model.config, seed=990)), trade_from=iso(int(opens[59])))
    assert f"traded from {iso(int(opens[60]))} on" in caplog.text  # a date of the user's is no command


@pytest.mark.parametrize("mode", ["runonce", "exactbars", "live"])
def test_a_run_that_trades_no_bar_says_why_once(tiny_model, caplog, mode):
    opens = market(bars=80)["timestamp"].to_numpy()
    ends = f"the last of the 80 bars of this run closes at {iso(int(opens[79]) + HOUR)}"
    model = seen_until(tiny_model, int(opens[79]))
    model = replace(model, config=replace(model.config, seed=["runonce", "exactbars", "live"].index(mode)))
    for _ in range(2):
        assert not len(decided(played(model, mode, trade_from="auto")))
    (said,) = caplog.messages
    # The bar after the last one that was seen closes two bars after the seen one's open.
    assert f"traded no bar: trade_from='auto' begins at {iso(int(opens[79]) + 2 * HOUR)}" in said
    assert f"the model has seen in training or measurement, and {ends}" in said
    assert "scorenet train --until" in said
    caplog.clear()
    late = iso(int(opens[79]) + HOUR)
    played(model, mode, trade_from=late)
    assert (
        f"traded no bar: trade_from='{late}' begins at {iso(int(opens[79]) + 2 * HOUR)}, and {ends}"
        in caplog.text
    )
    caplog.clear()
    played([(int(opens[79]) + 9 * HOUR, model)], mode)
    assert f"its first model is used from {iso(int(opens[79]) + 9 * HOUR)} on, and {ends}" in caplog.text
    caplog.clear()
    played(
        model, mode, trade_from=int(opens[79]) + 9 * HOUR
    )  # a live run that is stopped before its first close
    assert caplog.messages == []


def test_too_few_bars_for_a_decision_are_said(tiny_model, caplog):
    few = tiny_model.lookback
    cerebro_of([market(bars=few)], tiny_model).run()
    assert f"traded no bar: BTC has {few} bars, and its first decision needs {few + 1}" in caplog.text


def test_analyzers_take_the_same_date(tiny_model):
    cerebro = cerebro_of([market(bars=80)], tiny_model)
    opened = int(market(bars=80)["timestamp"].iloc[50])
    cerebro.addanalyzer(EquityCurve, _name="equity", trade_from=iso(opened))
    assert cerebro.run()[0].analyzers.equity.get_analysis()["time"][0] == opened + HOUR


def test_a_plain_script_and_the_command_give_the_same_equity_to_the_cent(
    tiny_model_dir, tmp_path, monkeypatch
):
    """README's lines: bars from before the date warm up, and both trade from the date on."""
    monkeypatch.setattr("runs.folder.write.write_report", lambda folder: None)  # the page takes seconds
    source, since = "simulated:planted?seed=9&bars=400&edge=0.15", "2020-01-08"
    options = LoadOptions(since=since, data_dir=str(tmp_path), offline=True, progress=False)
    params = {**strategy_defaults(), **OPEN}
    metrics = backtest(tiny_model_dir, [source], tmp_path / "run", Account(), params, options)

    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(PerpetualBroker(cash=10_000, slippage=0.0002))
    cerebro.adddata(BarsData(dataname=load_bars(source)))
    cerebro.addstrategy(ScoreStrategy, model=str(tiny_model_dir), trade_from=since, **OPEN)
    cerebro.run()
    assert metrics["n_orders"] > 20
    assert round(cerebro.broker.getvalue(), 2) == round(10_000 * (1 + metrics["total_return"]), 2)
