"""A stock from its file to the metrics, walk-forward folds in trading time, and what live trading says."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from runs.cli import main
from runs.folder.frames import empty_frame
from runs.live.header import model_timeframe
from runs.statistics import compute_metrics
from runs.walkforward.dates import fold_dates
from runs.walkforward.request import WalkRequest
from scorenet import ConfigError, FeatureMismatch, TooFewBars, train
from scorenet.base.times import DAY_MS
from scorenet.calendars import clock_of
from tests.conftest import TINY
from tests.stocks import HOUR_MS, never_closed, of_sessions, on_sessions, utc

YEAR = 2_516 * 365 / 3_652


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*words):
    done = CliRunner().invoke(main, [*words])
    assert done.exit_code == 0, done.output + done.stderr
    return json.loads(done.stdout)


def test_a_stock_is_imported_and_traded_without_being_told_its_calendar_again(
    folder, tiny_model, monkeypatch
):
    stock = on_sessions(never_closed(300, timeframe="1d"), "2012-01-03")
    stock.drop(index=[250]).to_csv("SPY.csv", index=False)
    of_sessions(tiny_model, DAY_MS).save("model")
    options = ("--symbol", "SPY", "--timeframe", "1d", "--calendar", "XNYS", "--gaps", "keep", "--json")
    assert call("data", "import", "SPY.csv", *options)["source"] == "XNYS:SPY@1d"
    found = call("data", "check", "XNYS:SPY@1d", "--json")
    assert (found["missing_bars"], found["holes"], found["calendar"]) == (1, 1, "XNYS")
    assert found["rests_at_weekends"] is False
    options = ("--model", "model", "--since", "2012-11-01", "--gaps", "keep", "--json", "--quiet")
    metrics = call("backtest", "--bars", "XNYS:SPY@1d", *options, "--out", "run")
    # One of the sessions from 2012-11-01 on is missing: its return is that of two bars.
    bars = int((stock["timestamp"] >= utc("2012-11-01")).sum()) - 1
    assert metrics["bars"] == bars
    assert metrics["periods_per_year"] == pytest.approx(YEAR * (bars - 1) / bars)
    assert metrics["calendar"] == "XNYS"
    page = (folder / "run" / "report.html").read_text()
    assert re.search(r"2\d\d a year \(365 days, trading hours of XNYS\)", page)
    assert json.loads((folder / "run" / "manifest.json").read_text())["data"][0]["calendar"] == "XNYS"
    # The same from the file: the option is kept for a rerun, and without it the error names it.
    monkeypatch.setattr("runs.folder.write.write_report", lambda run: run.write_report("page"))
    again = call("backtest", "--bars", "SPY.csv", "--calendar", "nyse", *options, "--out", "file")
    assert again["sharpe_ratio"] == metrics["sharpe_ratio"]
    assert call("rerun", "file", "--json")["equal"] is True
    without = CliRunner().invoke(main, ["backtest", "--bars", "SPY.csv", *options, "--out", "none"])
    assert without.exit_code == 1
    assert "with the calendar XNYS, SPY has no calendar" in without.stderr


def test_a_run_of_a_stock_is_annualised_by_hand():
    """Eleven closes of XNYS over a holiday and two weekends: ten returns, and 2,516 sessions in 3,652 days."""
    closes = on_sessions(never_closed(11, timeframe="1d"), "2024-07-01")["timestamp"].to_numpy() + DAY_MS
    change = np.array([0.01, -0.02, 0.03, 0.0, 0.01, -0.01, 0.02, 0.01, -0.03, 0.02])
    equity = 1_000 * np.cumprod([1.0, *(1 + change)])
    table = pd.DataFrame({"time": pd.to_datetime(closes, unit="ms", utc=True), "equity": equity})
    table = table.assign(benchmark=1_000.0, exposure=1.0, cash=0.0)
    empty = {name: empty_frame(name) for name in ("orders", "trades", "decisions", "funding")}
    found = compute_metrics(table, **empty, clock=clock_of("XNYS", DAY_MS))
    assert found["periods_per_year"] == pytest.approx(YEAR, rel=1e-12)
    assert found["sharpe_ratio"] == pytest.approx(change.mean() / change.std(ddof=1) * YEAR**0.5, rel=1e-9)
    assert found["annual_return"] == pytest.approx((equity[-1] / 1_000) ** (YEAR / 10) - 1, rel=1e-9)


def test_folds_are_counted_in_trading_time():
    """A year of training is 251 daily bars, a quarter 63; between them are purge and embargo in bars."""
    stock = on_sessions(never_closed(520, timeframe="1d"), "2012-01-03")
    request = WalkRequest(bars=("XNYS:SPY@1d",), out="out", train=365, test=91)
    folds = fold_dates([stock], request, 20, 4)
    opens = stock["timestamp"].to_numpy()
    counts = [
        tuple(int(((opens >= since) & (opens < until)).sum()) for since, until in (fold.train, fold.test))
        for fold in folds
    ]
    assert counts == [(251, 63)] * 3 + [(251, 520 - 251 - 24 - 3 * 63)]
    first = folds[0]
    assert int(((opens >= first.train[1]) & (opens < first.test[0])).sum()) == 24
    assert set(np.array([[*fold.train, *fold.test] for fold in folds])[:, [0, 2]].ravel()) <= set(
        opens.tolist()
    )


def test_training_in_python_takes_the_calendar_and_says_what_helps(monkeypatch):
    class Reached(Exception):
        pass

    def learn(markets, config, **options):
        raise Reached(markets[0].calendar, options)

    monkeypatch.setattr("runs.train.learn", learn)
    stock = on_sessions(never_closed(60, timeframe="1d"), "2012-01-03")
    bare = pd.DataFrame(stock)
    bare.attrs = {}
    with pytest.raises(Reached) as caught:
        train({"SPY": bare}, TINY, calendar="XNYS", gaps="raise", threads=2)
    assert (caught.value.args[0], caught.value.args[1]["threads"]) == ("XNYS", 2)
    with pytest.raises(ConfigError, match="unknown calendar 'MOON'"):
        train({"SPY": bare}, TINY, calendar="MOON")


def test_extended_features_of_days_are_answered_with_the_chapters(monkeypatch):
    stock = on_sessions(never_closed(1_500, timeframe="1d"), "2012-01-03")
    with pytest.raises(
        TooFewBars, match=r"\(22.7 years of these bars; --features chapter looks back 20 bars"
    ):
        train([stock], {"features": "extended"})


def test_live_trading_refuses_a_model_of_a_market_that_closes(tiny_model):
    with pytest.raises(
        FeatureMismatch, match="with the calendar XNYS; live trading has exchanges that never close"
    ):
        model_timeframe(of_sessions(tiny_model, HOUR_MS), None)
    assert model_timeframe(tiny_model, None) == "1h"
