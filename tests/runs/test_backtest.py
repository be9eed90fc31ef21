"""A run folder is complete, and every metric in metrics.json follows from the run's own tables.

The recomputation shares no code with the analyzers: plain Python over the parquet files and the bars.
"""

import itertools
import json
import math
import tomllib
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from feeds import load_bars, simulate, write_bars
from feeds.bars.frame import data_hash
from runs.backtest import backtest, check_frames, strategy_defaults, trading_start
from runs.folder.run_warnings import before_run
from runs.folder.rundir import NotARunDir
from runs.markets import LoadOptions
from runs.settings import Account, run_settings
from scorenet import FeatureMismatch, TooFewBars, feature_set
from scorenet.base.times import iso
from scorenet.checkpoint import file_hash
from tests.chapter_rules import CHAPTER

HOUR = 3_600_000
SOURCES = [f"simulated:planted?seed={seed}&bars=900&start=2021-01-01" for seed in (61, 62)]
ACCOUNT = Account(cash=50_000.0, lot_step=0.01)
FILES = {
    "metrics.json",
    "manifest.json",
    "config.toml",
    "report.html",
    *(f"{name}.parquet" for name in ("equity", "orders", "trades", "decisions", "funding")),
}
TABLES = ("equity", "orders", "trades", "decisions", "funding")


def settings(**changes):
    return {
        **strategy_defaults(),
        **CHAPTER,
        "confidence_threshold": 0.2,
        "rebalance_band": 0.1,
        "cooldown": 0,
        **changes,
    }


def play(model_dir, out, sources=SOURCES, params=None, account=ACCOUNT, **options):
    load = LoadOptions(**{"since": "2021-01-04", "until": "2021-02-03", "progress": False, **options})
    return backtest(model_dir, sources, out, account, params or settings(), load)


@pytest.fixture(scope="module")
def folder(tiny_model_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    play(tiny_model_dir, out, params=settings(target_volatility=None))
    return out


@pytest.fixture(scope="module")
def run(folder):
    tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in TABLES}
    return SimpleNamespace(
        **tables,
        metrics=json.loads((folder / "metrics.json").read_text()),
        manifest=json.loads((folder / "manifest.json").read_text()),
        config=tomllib.loads((folder / "config.toml").read_text()),
    )


# The folder ---------------------------------------------------------------------------------------------------


def test_the_run_folder_is_complete_and_holds_nothing_else(folder):
    assert {path.name for path in folder.iterdir()} == FILES
    assert [path.name for path in folder.parent.iterdir()] == ["run"]


def test_the_run_covers_the_asked_range_and_not_the_warm_up(run):
    assert run.equity["time"].iloc[0] == pd.Timestamp("2021-01-04 01:00", tz="UTC")
    assert run.equity["time"].iloc[-1] == pd.Timestamp("2021-02-03 00:00", tz="UTC")
    assert len(run.equity) == 30 * 24
    assert len(run.decisions) == 2 * 30 * 24
    assert "warmup" not in set(run.decisions["reason"]), "earlier bars have warmed the features up"
    assert run.equity["equity"].iloc[0] == run.equity["benchmark"].iloc[0] == 50_000.0


def test_the_manifest_says_what_made_the_run(run, tiny_model, tiny_model_dir):
    manifest = run.manifest
    assert [series["symbol"] for series in manifest["data"]] == ["planted-61", "planted-62"]
    for series, source in zip(manifest["data"], SOURCES, strict=True):
        bars = load_bars(source, since="2021-01-04", until="2021-02-03", warmup_bars=21)
        assert series["sha256"] == data_hash(bars)
        assert (series["rows"], series["source"]) == (len(bars), source)
    assert manifest["model"]["fingerprint"] == tiny_model.fingerprint
    assert manifest["model"]["sha256"] == file_hash(tiny_model_dir)
    assert manifest["seed"] == tiny_model.config.seed
    assert {"python", "scorenet", "torch", "numpy", "pandas", "backtrader"} <= set(manifest["versions"])
    assert manifest["config"] == run.config


def test_the_written_settings_resolve_to_the_same_run(run, tmp_path):
    text = "\n".join(
        f"[{table}]\n"
        + "\n".join(f"{name} = {json.dumps(value)}" for name, value in run.config[table].items())
        for table in ("account", "strategy")
    )
    (tmp_path / "again.toml").write_text(text)
    account, params = run_settings(tmp_path / "again.toml", [], strategy_defaults())
    assert account == ACCOUNT
    assert params == settings(target_volatility=0.0), "0 is how a file says that a rule is off"


# The figures --------------------------------------------------------------------------------------------------

PERIODS = 365 * 24


def curve_figures(values):
    """Return the metrics of an equity curve by plain loops."""
    values = list(map(float, values))
    returns = [after / before - 1 for before, after in itertools.pairwise(values)]
    mean = sum(returns) / len(returns)
    std = math.sqrt(sum((r - mean) ** 2 for r in returns) / (len(returns) - 1))
    downside = math.sqrt(sum(min(r, 0.0) ** 2 for r in returns) / len(returns))
    peak, deepest = values[0], 0.0
    for value in values:
        peak = max(peak, value)
        deepest = min(deepest, value / peak - 1)
    total = values[-1] / values[0] - 1
    annual = (1 + total) ** (PERIODS / len(returns)) - 1
    moved = [r for r in returns if r != 0]
    return {
        "total_return": total,
        "annual_return": annual,
        "volatility": std * math.sqrt(PERIODS),
        "sharpe_ratio": mean / std * math.sqrt(PERIODS),
        "sortino_ratio": mean / downside * math.sqrt(PERIODS),
        "max_drawdown": deepest,
        "calmar_ratio": annual / abs(deepest),
        "bar_win_rate": sum(r > 0 for r in moved) / len(moved),
    }


def years(equity):
    return (len(equity) - 1) / PERIODS


def expected_figures(run):
    orders = run.orders[run.orders["status"] == "completed"]
    pnl = run.trades["net_pnl"].tolist()
    decided = run.decisions[run.decisions["reason"] != "warmup"]
    return curve_figures(run.equity["equity"]) | {
        "win_rate": sum(p > 0 for p in pnl) / len(pnl),
        "profit_factor": sum(p for p in pnl if p > 0) / -sum(p for p in pnl if p < 0),
        "n_trades": len(pnl),
        "n_orders": len(orders),
        "turnover": sum(abs(s * p) for s, p in zip(orders["size"], orders["price"], strict=True))
        / run.equity["equity"].mean()
        / years(run.equity),
        "exposure": run.equity["exposure"].abs().mean(),
        "fees": sum(orders["fee"]),
        "funding": sum(run.funding["amount"]),
        "slippage": sum(orders["slippage"]),
        "liquidations": int(orders["liquidation"].sum()),
        "in_distribution_ratio": decided["in_distribution"].sum() / decided["density_rank"].notna().sum(),
        "bars_without_state": decided["density_rank"].isna().sum(),
        "avg_confidence": decided["confidence"].mean(),
        "periods_per_year": 8760.0,
        "bars": len(run.equity),
    }


def buy_and_hold(bars, cash):
    """Return the equity of half the cash in each asset, and its costs, bar by bar from the first close."""
    start = bars[0].index[0]
    equity, costs = pd.Series(0.0, index=bars[0].index), {"fees": 0.0, "funding": 0.0, "slippage": 0.0}
    traded = 0.0
    for frame in bars:
        opening, share = frame["open"].iloc[1], cash / len(bars)
        price = opening * (1 + ACCOUNT.slippage)
        size = share / (price * (1 + ACCOUNT.taker))
        equity += (size * frame["close"]).where(frame.index > start, share)
        traded += size * price
        costs["fees"] += size * price * ACCOUNT.taker
        costs["slippage"] += size * (price - opening)
    return equity, costs | {
        "n_orders": len(bars),
        "exposure": (len(equity) - 1) / len(equity),
        "turnover": traded / equity.mean() / years(equity),
    }


def assert_figures(found, expected):
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-6, abs=1e-9), name


def test_every_figure_follows_from_the_tables(run):
    expected = expected_figures(run)
    assert_figures(run.metrics, expected)
    by_symbol = run.metrics["in_distribution_ratio_by_symbol"]
    for symbol, rows in run.decisions.groupby("symbol"):
        assert by_symbol[symbol] == pytest.approx(rows["in_distribution"].mean())
    assert run.metrics["start"] == "2021-01-04T01:00:00Z"
    assert run.metrics["end"] == "2021-02-03T00:00:00Z"
    profit = run.equity["equity"].iloc[-1] - run.equity["equity"].iloc[0]
    assert run.metrics["attribution"]["total"] == pytest.approx(profit)
    for cut in ("by_state", "by_side", "by_reason", "by_symbol", "by_month"):
        assert sum(part["net"] for part in run.metrics["attribution"][cut].values()) == pytest.approx(profit)
    for rows in run.metrics["regimes"].values():  # tests/runs/test_regimes.py has a model with several
        assert [(row["name"], row["share"]) for row in rows] == [("one regime", 1.0)]
        assert rows[0]["account_pnl"] == pytest.approx(profit)
    own = {symbol: rows[0]["pnl"] for symbol, rows in run.metrics["regimes"].items()}
    assert own == pytest.approx(
        {symbol: part["net"] for symbol, part in run.metrics["attribution"]["by_symbol"].items()}
    )
    others = {
        "in_distribution_ratio_by_symbol",
        "attribution",
        "regimes",
        "start",
        "end",
        "benchmark",
        "model",
    }
    assert set(run.metrics) == set(expected) | others, "a figure that nobody recomputes"


def test_the_run_has_enough_in_it_for_the_figures_to_mean_something(run):
    assert run.metrics["n_orders"] > 100
    assert run.metrics["n_trades"] > 20
    assert len(run.funding) > 50
    assert 0.5 < run.metrics["in_distribution_ratio"] < 1.0
    assert {"trade", "hold", "out_of_distribution", "low_confidence"} <= set(run.decisions["reason"])


def test_the_benchmark_holds_the_assets_of_the_same_bars(run):
    bars = []
    for source in SOURCES:
        frame = load_bars(source, since="2021-01-04", until="2021-02-03")
        bars.append(frame.set_index(pd.to_datetime(frame["timestamp"] + HOUR, unit="ms", utc=True)))
    equity, costs = buy_and_hold(bars, 50_000.0)
    np.testing.assert_allclose(run.equity["benchmark"], equity, rtol=1e-10)
    found = run.metrics["benchmark"]
    assert_figures(found, curve_figures(equity) | costs)
    assert set(found) == set(run.metrics) - {"benchmark", "model", "regimes"}
    assert (found["n_trades"], found["liquidations"], found["bars"]) == (0, 0, 720)
    assert (found["start"], found["end"]) == (run.metrics["start"], run.metrics["end"])


def test_the_models_own_figures_come_from_its_folder(run, tiny_model_dir):
    stored = json.loads((tiny_model_dir / "model.json").read_text())
    assert run.metrics["model"] == stored["metrics"]
    assert {"dsm_loss", "score_accuracy", "density_calibration"} <= set(run.metrics["model"])


def test_the_drawdown_column_follows_from_equity(run):
    peak = run.equity["equity"].cummax()
    np.testing.assert_allclose(run.equity["drawdown"], run.equity["equity"] / peak - 1, atol=1e-15)


def test_decisions_and_orders_tell_one_story(run):
    orders = run.orders.set_index(["decided", "symbol"])
    decisions = run.decisions.set_index(["time", "symbol"])
    assert orders.index.isin(decisions.index).all()
    reasons = decisions.loc[orders.index, "reason"]
    assert set(reasons) <= {
        "trade",
        "out_of_distribution",
        "low_confidence",
        "inconsistent",
        "stale",
        "drawdown_stop",
        "ruined",
    }
    steps = decisions.loc[orders.index, "target"] - decisions.loc[orders.index, "position"]
    assert (np.sign(steps) == np.sign(orders["size"])).all()
    ranks = run.decisions["density_rank"]
    assert ((ranks >= 0.05) == run.decisions["in_distribution"]).all()


# Warnings -----------------------------------------------------------------------------------------------------


def warnings_of(folder):
    return "\n".join(json.loads((folder / "manifest.json").read_text())["warnings"])


def test_a_run_after_the_training_bars_has_only_the_new_symbol_to_report(run):
    *unseen, held = run.manifest["warnings"]
    assert unseen == [
        "The model has never seen planted-61. It was trained on planted-5.",
        "The model has never seen planted-62. It was trained on planted-5.",
    ]
    last = run.decisions.groupby("symbol")["position"].last()
    assert held.startswith(f"The run ends with {last['planted-61']:+.0%} of the equity in planted-61")


@pytest.fixture(scope="module")
def quiet(tiny_model_dir, tmp_path_factory):
    """A run on the model's training market that never trades, with forward-filled bars."""
    work = tmp_path_factory.mktemp("quiet")
    frame = simulate("planted", seed=5, bars=400, symbol="planted-5")
    holed = frame.drop(index=[300, 301]).reset_index(drop=True)
    holed.attrs = dict(frame.attrs)
    write_bars(holed, work / "planted-5_1h.parquet")
    play(
        tiny_model_dir,
        work / "run",
        [str(work / "planted-5_1h.parquet")],
        settings(confidence_threshold=1.0),
        since=None,
        until=None,
        gaps="ffill",
    )
    return work / "run"


def test_an_overlap_with_the_training_bars_is_said(quiet):
    assert "overlaps the bars that the model was trained, calibrated or measured on" in warnings_of(quiet)
    assert "never seen" not in warnings_of(quiet)


@pytest.mark.parametrize(("after", "said"), [(0, True), (1, False)])
def test_the_whole_span_of_a_refit_is_no_test_of_it(tiny_model, after, said):
    # Neither a plain model nor a refit has seen a bar after its span; both have used its last one.
    last, hour = tiny_model.info["seen_until"], tiny_model.info["bar_ms"]
    refit = {"refit": True, "training_span": [tiny_model.info["training_span"][0], last]}
    for info in (tiny_model.info, tiny_model.info | refit):
        model = replace(tiny_model, info=info)
        told = before_run(model, [], last + after * hour)
        assert any("overlaps the bars" in text for text in told) is said


@pytest.mark.parametrize(
    ("factor", "said"), [(2.0, True), (0.5, True), (1e-3, True), (1.5, False), (1.0, False)]
)
def test_a_leap_between_two_bars_is_said(tiny_model, factor, said):
    """A split of a share in two, or a coin that is quoted by the thousand, is neither a profit nor a loss."""
    frame = simulate("planted", seed=5, bars=60)
    prices = ["open", "high", "low", "close"]
    frame.loc[30:, prices] *= factor
    told = [text for text in before_run(tiny_model, [frame], 10**15) if "opens at" in text]
    assert bool(told) is said
    if said:
        assert f"after a close of {frame['close'][29]:g}" in told[0]
        assert f"at {iso(int(frame['timestamp'][30]))}" in told[0]


def test_forward_filled_bars_are_said(quiet):
    assert "2 bars of planted-5 are forward-filled." in warnings_of(quiet)


def test_a_run_without_a_trade_is_complete_and_says_so(quiet):
    assert "The strategy never traded" in warnings_of(quiet)
    assert {path.name for path in quiet.iterdir()} == FILES
    metrics = json.loads((quiet / "metrics.json").read_text())
    assert (metrics["total_return"], metrics["sharpe_ratio"], metrics["n_orders"]) == (0.0, 0.0, 0)
    assert metrics["win_rate"] is metrics["profit_factor"] is None


def test_without_since_trading_starts_at_the_first_bar_with_a_state(quiet):
    equity = pd.read_parquet(quiet / "equity.parquet")
    assert len(equity) == 400 - 20


def test_the_last_bar_alone_is_a_run_too(tiny_model_dir, tmp_path):
    metrics = play(tiny_model_dir, tmp_path / "run", SOURCES[:1], since="2021-02-07T11:00", until=None)
    assert metrics["bars"] == 1
    assert metrics["total_return"] == 0.0
    assert metrics["sharpe_ratio"] is metrics["turnover"] is None
    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES


# Refusals -----------------------------------------------------------------------------------------------------


def test_too_few_bars_say_how_many_are_needed(tiny_model_dir, tmp_path):
    source = "simulated:planted?seed=1&bars=21"
    with pytest.raises(TooFewBars, match="trade planted-1 with this model: need 22, have 21"):
        play(tiny_model_dir, tmp_path / "run", [source], since=None, until=None)
    assert not list(tmp_path.iterdir())


def test_bars_of_another_size_are_refused(tiny_model_dir, tmp_path):
    source = "simulated:planted?seed=1&bars=100&timeframe=4h"
    with pytest.raises(FeatureMismatch, match="trained on 1h bars, planted-1 has 4h; train a model"):
        play(tiny_model_dir, tmp_path / "run", [source], since=None, until=None)
    assert not list(tmp_path.iterdir())


def test_a_missing_column_is_named():
    bars = simulate("planted", bars=800)
    bare = bars.drop(columns=["funding_rate", "open_interest"])
    bare.attrs = dict(bars.attrs)
    model = SimpleNamespace(features=feature_set("extended"), lookback=720, info={"bar_ms": HOUR})
    check_frames(model, [bars])
    with pytest.raises(
        FeatureMismatch, match=r"needs the column\(s\) funding_rate, open_interest, which planted-1"
    ):
        check_frames(model, [bare])


def test_trading_starts_where_the_first_symbol_is_ready(tiny_model):
    early = simulate("planted", seed=1, bars=100)
    late = simulate("planted", seed=2, bars=100, start="2020-01-03")
    first = int(early["timestamp"].iloc[20]) + HOUR
    assert trading_start(tiny_model, [early, late], None) == first
    assert trading_start(tiny_model, [late], None) == first + 48 * HOUR
    assert trading_start(tiny_model, [early, late], "2020-01-02") == int(early["timestamp"].iloc[24]) + HOUR
    with pytest.raises(TooFewBars, match="reach the start of trading"):
        trading_start(tiny_model, [early], "2021-01-01")


def test_a_folder_of_something_else_is_left_alone(tiny_model_dir, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(NotARunDir, match="choose another --out"):
        play(tiny_model_dir, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_a_run_that_fails_leaves_the_earlier_one_and_no_trace(tiny_model_dir, quiet, monkeypatch):
    before = {path.name: path.read_bytes() for path in quiet.iterdir()}

    def fail(folder):
        assert (folder.path / "metrics.json").is_file()
        raise OSError("disk full")

    monkeypatch.setattr("runs.folder.write.write_report", fail)
    with pytest.raises(OSError, match="disk full"):
        play(tiny_model_dir, quiet, SOURCES[:1])
    assert {path.name: path.read_bytes() for path in quiet.iterdir()} == before
    assert {path.name for path in quiet.parent.iterdir()} == {"run", "planted-5_1h.parquet"}
