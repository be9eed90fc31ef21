"""The rule `regimes` live: the warm-up covers its filter, a restart goes on, and new regimes are other settings."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from feeds.bars.files import write_bars
from runs.backtest import backtest, strategy_defaults
from runs.folder.rundir import RunDir
from runs.live import session
from runs.live.session import LiveRequest, live
from runs.markets import LoadOptions
from runs.settings import Account
from scorenet import ConfigError
from scorenet.base.times import iso
from tests.conftest import regime_market
from tests.runs.live.live_market import ScriptedMarket, open_at
from tests.runs.live.test_session import TABLES, quiet

START = 205
PARAMS = {"confidence_threshold": 0.0, "density_quantile": 0.0, "rebalance_band": 0.05, "regimes": (2,)}


@pytest.fixture(autouse=True)
def _no_report(monkeypatch):
    monkeypatch.setattr("runs.folder.write.write_report", lambda folder: None)


@pytest.fixture(scope="module")
def folder(regime_model, tmp_path_factory):
    return regime_model.save(tmp_path_factory.mktemp("model") / "regimes")


@pytest.fixture(scope="module")
def frame():
    return regime_market(bars=265, seed=4, stay=0.97)


def go(folder, out, frame, **request):
    market = ScriptedMarket([frame], open_at(frame, START) + 5, lambda opened: 0, lambda: None, 10.0)
    wanted = LiveRequest(symbols=tuple(market.frames), out=str(out), **request)
    return live(folder, wanted, Account(), strategy_defaults() | PARAMS, market, quiet())


def test_it_decides_as_the_backtest_from_its_first_bar_and_after_a_restart(folder, frame, tmp_path):
    go(folder, tmp_path / "live", frame, max_bars=15)
    outcome = go(folder, tmp_path / "live", frame)
    write_bars(frame, tmp_path / "bars.parquet")
    options = LoadOptions(since=iso(open_at(frame, START)), progress=False)
    params = strategy_defaults() | PARAMS
    metrics = backtest(
        folder, [str(tmp_path / "bars.parquet")], tmp_path / "offline", Account(), params, options
    )
    one, other = RunDir.open(tmp_path / "live"), RunDir.open(tmp_path / "offline")
    for name in TABLES:
        pd.testing.assert_frame_equal(one.read_frame(name), other.read_frame(name), check_exact=True)
    assert {"regime", "trade"} <= set(one.read_frame("decisions")["reason"])
    assert outcome.metrics["regimes"] == metrics["regimes"]
    (rows,) = metrics["regimes"].values()
    assert [row["regime"] for row in rows] == [0, 1, 2]  # none is unknown


def test_new_regimes_cannot_go_on_with_the_account(folder, frame, regime_model, tmp_path, monkeypatch):
    go(folder, tmp_path, frame, max_bars=2)
    other = replace(regime_model.regime_map, share=np.array([0.2, 0.3, 0.5]))
    changed = replace(regime_model, regime_map=other)
    monkeypatch.setattr(session.ScoreModel, "load", lambda path: changed)
    with pytest.raises(ConfigError, match="other settings \\(model was"):
        go(folder, tmp_path, frame)
