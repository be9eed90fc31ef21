"""metrics.json against hand calculations, and against formulas that share no code with the package."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from runs.folder.frames import conform, empty_frame
from runs.folder.rundir import RunDir
from runs.metric_rows import ROWS, show
from runs.statistics import compute_metrics, drawdown, format_table
from scorenet.calendars import AlwaysOpen
from tests.runs.synthetic_run import HOUR_MS, make_run

KEYS = {
    "total_return",
    "annual_return",
    "volatility",
    "sharpe_ratio",
    "sortino_ratio",
    "max_drawdown",
    "calmar_ratio",
    "win_rate",
    "bar_win_rate",
    "profit_factor",
    "n_trades",
    "n_orders",
    "turnover",
    "exposure",
    "fees",
    "funding",
    "slippage",
    "liquidations",
    "in_distribution_ratio",
    "in_distribution_ratio_by_symbol",
    "bars_without_state",
    "avg_confidence",
    "periods_per_year",
    "bars",
    "start",
    "end",
}


def tables(equity, benchmark=None, **others):
    times = pd.date_range("2024-07-01 01:00", periods=len(equity), freq="1h", tz="UTC")
    columns = {"time": times, "equity": equity, "cash": equity, "exposure": 0.5, "drawdown": 0.0}
    curve = pd.DataFrame(columns | {"benchmark": equity if benchmark is None else benchmark})
    found = {name: empty_frame(name) for name in ("orders", "trades", "decisions", "funding")}
    return found | {"equity": conform("equity", curve)} | others


def metrics(equity, benchmark=None, **others):
    return compute_metrics(**tables(equity, benchmark), clock=AlwaysOpen(HOUR_MS), **others)


def test_returns_by_hand():
    # 100 -> 110 -> 99 -> 99: returns +0.1, -0.1, 0
    found = metrics([100.0, 110.0, 99.0, 99.0])
    deviation = math.sqrt((0.1**2 + 0.1**2) / 2)
    assert found["total_return"] == pytest.approx(-0.01)
    assert found["annual_return"] == pytest.approx(0.99 ** (8760 / 3) - 1)
    assert found["volatility"] == pytest.approx(deviation * math.sqrt(8760))
    assert found["sharpe_ratio"] == pytest.approx(0.0, abs=1e-9)
    assert found["max_drawdown"] == pytest.approx(-0.1)
    assert found["bar_win_rate"] == 0.5
    assert found["calmar_ratio"] == pytest.approx(found["annual_return"] / 0.1)
    assert (found["bars"], found["periods_per_year"]) == (4, 8760.0)
    assert (found["start"], found["end"]) == ("2024-07-01T01:00:00Z", "2024-07-01T04:00:00Z")


def test_sortino_counts_every_bar_in_its_denominator():
    found = metrics([100.0, 110.0, 99.0, 108.9])
    mean, downside = (0.1 - 0.1 + 0.1) / 3, math.sqrt(0.1**2 / 3)
    assert found["sortino_ratio"] == pytest.approx(mean / downside * math.sqrt(8760))


def test_trades_orders_and_costs_by_hand():
    trades = pd.DataFrame({"net_pnl": [30.0, -10.0, 20.0, -15.0, 0.0]})
    orders = pd.DataFrame(
        {
            "status": ["completed", "completed", "margin"],
            "size": [2.0, -2.0, 5.0],
            "price": [50.0, 60.0, 0.0],
            "fee": [0.5, 0.6, 0.0],
            "slippage": [0.1, 0.2, 0.0],
            "liquidation": [False, True, False],
        }
    )
    funding = pd.DataFrame({"amount": [0.3, -0.1]})
    decisions = pd.DataFrame(
        {
            "symbol": ["A", "A", "A", "B", "B"],
            "reason": ["warmup", "trade", "out_of_distribution", "hold", "stale"],
            "in_distribution": [None, True, False, True, None],
            "confidence": [np.nan, 0.8, 0.4, 0.6, np.nan],
        }
    )
    parts = tables([1000.0] * 11, trades=trades, orders=orders, funding=funding, decisions=decisions)
    found = compute_metrics(**parts, clock=AlwaysOpen(HOUR_MS))
    assert (found["n_trades"], found["n_orders"], found["liquidations"]) == (5, 2, 1)
    assert found["win_rate"] == pytest.approx(2 / 5)
    assert found["profit_factor"] == pytest.approx(50 / 25)
    assert found["fees"] == pytest.approx(1.1)
    assert found["funding"] == pytest.approx(0.2)
    assert found["slippage"] == pytest.approx(0.3)
    assert found["turnover"] == pytest.approx((100 + 120) / 1000 / (10 / 8760))
    assert found["exposure"] == 0.5
    assert found["in_distribution_ratio"] == pytest.approx(2 / 3), "a bar without a state is on neither side"
    assert found["in_distribution_ratio_by_symbol"] == {"A": 0.5, "B": 1.0}
    assert found["bars_without_state"] == 1
    assert found["avg_confidence"] == pytest.approx(0.6)


def test_every_order_with_a_fill_counts_whatever_its_status():
    def row(status, size, fee, slippage, liquidation=False):
        return {
            "status": status,
            "size": size,
            "price": 100.0 if size else np.nan,
            "fee": fee,
            "slippage": slippage,
            "liquidation": liquidation,
        }

    orders = pd.DataFrame(
        [
            row("completed", 1.0, 0.1, 0.2),
            row("canceled", 1.0, 1.0, 2.0),
            row("margin", -1.0, 0.4, 0.3),
            row("expired", 0.0, 0.0, 0.0),
            row("rejected", 0.0, 0.0, 0.0, True),
            row("completed", -0.5, 0.0, 0.0, True),
        ]
    )
    found = compute_metrics(**tables([1000.0] * 11, orders=orders), clock=AlwaysOpen(HOUR_MS))
    assert (found["n_orders"], found["liquidations"]) == (4, 1)
    assert found["slippage"] == pytest.approx(2.5)
    assert found["turnover"] == pytest.approx(350 / 1000 / (10 / 8760))
    assert found["fees"] == pytest.approx(1.5)
    multiplied = orders.assign(value=[10.0, 20.0, 30.0, 0.0, 0.0, 40.0])
    found = compute_metrics(**tables([1000.0] * 11, orders=multiplied), clock=AlwaysOpen(HOUR_MS))
    assert found["turnover"] == pytest.approx(100 / 1000 / (10 / 8760))


def with_times(hours, equity, **columns):
    parts = tables(equity)
    start = pd.Timestamp("2024-07-01 01:00", tz="UTC")
    parts["equity"]["time"] = start + pd.to_timedelta(hours, unit="h")
    parts["equity"] = parts["equity"].assign(**columns)
    return parts


def test_a_year_is_time_and_not_a_number_of_bars():
    # A doubling over one year of which every second bar is missing: 100 %, not (1 + 1)^2 - 1 = 300 %.
    hours = np.arange(0, 8761, 2)
    equity = 100.0 * 2.0 ** (hours / 8760) * np.where(np.arange(len(hours)) % 2, 1.01, 1.0)
    orders = pd.DataFrame(
        {
            "status": ["completed"],
            "size": [1.0],
            "price": [50.0],
            "fee": [0.0],
            "slippage": [0.0],
            "liquidation": [False],
        }
    )
    parts = with_times(hours, equity) | {"orders": orders}
    found = compute_metrics(**parts, clock=AlwaysOpen(HOUR_MS))
    r = equity[1:] / equity[:-1] - 1
    assert found["annual_return"] == pytest.approx(1.0)
    assert found["periods_per_year"] == 4380.0
    assert found["volatility"] == pytest.approx(r.std(ddof=1) * math.sqrt(4380))
    assert found["sharpe_ratio"] == pytest.approx(r.mean() / r.std(ddof=1) * math.sqrt(4380))
    assert found["calmar_ratio"] == pytest.approx(1.0 / (1 - equity[2] / equity[1]), rel=1e-6)
    assert found["turnover"] == pytest.approx(50 / equity.mean())
    assert found["benchmark"]["annual_return"] == pytest.approx(1.0)


def test_a_hole_changes_no_figure_of_a_run_that_stands_still_in_it():
    whole = np.array([100.0, 101.0, 100.0, 100.0, 100.0, 100.0, 103.0])
    kept = [0, 1, 2, 5, 6]
    one = compute_metrics(**with_times(range(7), whole), clock=AlwaysOpen(HOUR_MS))
    other = compute_metrics(**with_times(kept, whole[kept]), clock=AlwaysOpen(HOUR_MS))
    for name in ("total_return", "annual_return", "max_drawdown", "start", "end"):
        assert other[name] == pytest.approx(one[name])
    # Mean and variance per year are the same sums over the same time; ddof moves the Sharpe ratio a little.
    assert other["sharpe_ratio"] == pytest.approx(one["sharpe_ratio"], rel=0.1)


def test_a_run_of_one_bar_is_annualised_by_its_bar_size():
    assert metrics([100.0])["periods_per_year"] == 8760.0


def test_deposits_and_withdrawals_are_no_return():
    # 10,000 grows by 10 %, 10,000 is deposited, then 10 % again, 5,000 is withdrawn, then -10 %.
    equity = [10_000.0, 11_000.0, 21_000.0, 23_100.0, 18_100.0, 16_290.0]
    parts = with_times(range(6), equity, cash_flow=[0.0, 0.0, 10_000.0, 0.0, -5_000.0, 0.0])
    found = compute_metrics(**parts, clock=AlwaysOpen(HOUR_MS))
    r = np.array([0.1, 0.0, 0.1, 0.0, -0.1])
    assert found["total_return"] == pytest.approx(1.1 * 1.1 * 0.9 - 1)
    assert found["max_drawdown"] == pytest.approx(-0.1)
    assert found["sharpe_ratio"] == pytest.approx(r.mean() / r.std(ddof=1) * math.sqrt(8760))
    assert found["bar_win_rate"] == pytest.approx(2 / 3)


def test_exposure_is_the_mean_size_on_either_side():
    parts = tables([1000.0] * 4)
    parts["equity"]["exposure"] = [1.0, -1.0, 0.0, 0.4]
    assert compute_metrics(**parts, clock=AlwaysOpen(HOUR_MS))["exposure"] == pytest.approx(0.6)


def test_times_in_any_zone_are_written_in_utc():
    parts = tables([1000.0] * 3)
    parts["equity"]["time"] = parts["equity"]["time"].dt.tz_convert("Asia/Tokyo")
    found = compute_metrics(**parts, clock=AlwaysOpen(HOUR_MS))
    assert (found["start"], found["end"]) == ("2024-07-01T01:00:00Z", "2024-07-01T03:00:00Z")
    parts["equity"]["time"] = ["2024-07-01 01:00", "2024-07-01 02:00", "2024-07-01 03:00"]
    assert compute_metrics(**parts, clock=AlwaysOpen(HOUR_MS))["start"] == "2024-07-01T01:00:00Z"


def test_buy_and_hold_is_one_order_always_invested_unless_more_is_known():
    found = metrics([100.0, 110.0, 99.0], [100.0, 120.0, 150.0])
    assert (
        found["benchmark"]
        | {
            "total_return": pytest.approx(0.5),
            "max_drawdown": 0.0,
            "n_trades": 0,
            "n_orders": 1,
            "liquidations": 0,
            "win_rate": None,
            "profit_factor": None,
            "fees": 0.0,
            "funding": 0.0,
            "slippage": 0.0,
            "turnover": None,
            "exposure": 1.0,
            "in_distribution_ratio": None,
            "in_distribution_ratio_by_symbol": {},
            "bars_without_state": 0,
            "avg_confidence": None,
            "bars": 3,
            "periods_per_year": 8760.0,
        }
        == found["benchmark"]
    )
    known = {"fees": 1.5, "funding": -2.0, "n_orders": 3, "turnover": 0.7}
    given = metrics([100.0, 110.0], benchmark_costs=known, model={"dsm_loss": 0.5})
    assert known.items() <= given["benchmark"].items()
    assert given["benchmark"]["exposure"] == 1.0
    assert (given["model"], found["model"]) == ({"dsm_loss": 0.5}, None)


def test_symbols_are_sorted_and_each_has_its_own_share():
    decisions = pd.DataFrame(
        {
            "symbol": ["B", "B", "A", "B", "A"],
            "reason": ["trade", "hold", "trade", "out_of_distribution", "warmup"],
            "in_distribution": [True, True, True, False, False],
            "confidence": [0.2, 0.4, np.nan, 0.6, 1.0],
        }
    )
    found = compute_metrics(**tables([1000.0] * 3, decisions=decisions), clock=AlwaysOpen(HOUR_MS))
    assert list(found["in_distribution_ratio_by_symbol"].items()) == [("A", 1.0), ("B", pytest.approx(2 / 3))]
    assert found["in_distribution_ratio"] == pytest.approx(3 / 4)
    assert found["avg_confidence"] == pytest.approx(0.4)


def test_the_first_row_that_is_no_number_is_named():
    with pytest.raises(ValueError, match="equity is nan at row 1: expected a finite"):
        metrics([100.0, np.nan, 1.0, np.inf])
    with pytest.raises(ValueError, match="benchmark is inf at row 2"):
        metrics([100.0] * 4, [1.0, 1.0, np.inf, np.nan])
    with pytest.raises(ValueError, match=r"equity starts at 0\.0"):
        metrics([0.0, 1.0])
    assert metrics([0.5, 1.0])["total_return"] == pytest.approx(1.0)


def test_the_rule_under_the_heading_is_as_wide_as_the_table():
    lines = format_table(metrics([100.0, 110.0])).splitlines()
    assert lines[1] == "-" * len(lines[0])
    assert len(lines) == 2 + len(ROWS)
    assert lines[0].split()[0] == "strategy"
    assert "  strategy  buy & hold" in lines[0]
    labels = [row.label for row in ROWS]
    assert [line[: max(map(len, labels))].rstrip() for line in lines[2:]] == labels
    without = {key: value for key, value in metrics([100.0, 110.0]).items() if key != "benchmark"}
    assert format_table(without).splitlines()[0].split() == ["strategy"]


@pytest.mark.parametrize("symbols", [("BTC/USDT:USDT",), ("BTC/USDT:USDT", "ETH/USDT:USDT")])
def test_every_figure_again_from_the_files(tmp_path, symbols):
    made = make_run(bars=24 * 40, symbols=symbols)
    run = RunDir.open(made.write(tmp_path / "run"))
    found, equity, orders = run.read_metrics(), run.read_frame("equity"), run.read_frame("orders")
    trades, decisions = run.read_frame("trades"), run.read_frame("decisions")
    r = equity["equity"].pct_change().dropna()
    years = len(r) / 8760
    decided = decisions[decisions["reason"] != "warmup"]
    won = trades["net_pnl"] > 0
    expected = {
        "total_return": equity["equity"].iloc[-1] / 10_000 - 1,
        "annual_return": (equity["equity"].iloc[-1] / 10_000) ** (1 / years) - 1,
        "volatility": r.std() * 8760**0.5,
        "sharpe_ratio": r.mean() / r.std() * 8760**0.5,
        "sortino_ratio": r.mean() / ((r[r < 0] ** 2).sum() / len(r)) ** 0.5 * 8760**0.5,
        "max_drawdown": (equity["equity"] / equity["equity"].cummax() - 1).min(),
        "win_rate": won.sum() / len(trades),
        "bar_win_rate": (r > 0).sum() / (r != 0).sum(),
        "profit_factor": trades["net_pnl"][won].sum() / -trades["net_pnl"][~won].sum(),
        "n_trades": len(trades),
        "n_orders": len(orders),
        "turnover": (orders["size"].abs() * orders["price"]).sum() / equity["equity"].mean() / years,
        "exposure": equity["exposure"].abs().mean(),
        "fees": orders["fee"].sum(),
        "funding": run.read_frame("funding")["amount"].sum(),
        "slippage": ((orders["price"] - orders["reference_price"]) * orders["size"]).sum(),
        "in_distribution_ratio": decided["in_distribution"].sum() / len(decided),
        "avg_confidence": decided["confidence"].mean(),
    }
    assert {key: found[key] for key in expected} == pytest.approx(expected, rel=1e-9)
    b = equity["benchmark"].pct_change().dropna()
    assert found["benchmark"]["sharpe_ratio"] == pytest.approx(b.mean() / b.std() * 8760**0.5)
    assert found["benchmark"]["fees"] == 5.5
    np.testing.assert_allclose(drawdown(equity["equity"].to_numpy()), equity["drawdown"], atol=1e-15)


def test_keys_are_the_contract_and_the_benchmark_has_the_same():
    found = make_run(bars=60).metrics
    assert set(found) == KEYS | {"benchmark", "model"}
    assert set(found["benchmark"]) == KEYS
    assert {row.key for row in ROWS} < KEYS


def test_a_flat_run_is_zero_where_it_is_defined():
    found = metrics([1e4] * 50)
    assert (found["sharpe_ratio"], found["sortino_ratio"], found["max_drawdown"]) == (0.0, 0.0, 0.0)
    assert (found["total_return"], found["calmar_ratio"]) == (0.0, 0.0)
    assert found["bar_win_rate"] is None
    assert found["win_rate"] is None
    assert found["in_distribution_ratio"] is None


def test_ruin_has_figures():
    found = metrics([100.0, 50.0, 0.0, 0.0])
    assert (found["total_return"], found["annual_return"], found["max_drawdown"]) == (-1.0, -1.0, -1.0)
    assert found["sharpe_ratio"] < 0


@pytest.mark.parametrize(
    "options", [{"bars": 1}, {"bars": 2}, {"bars": 10}, {"ruin": True}, {"flat": True, "trade": False}]
)
def test_nothing_is_nan_in_json(options):
    found = make_run(**{"bars": 48} | options).metrics
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize(
    ("equity", "message"), [([], "no bar"), ([1.0, np.nan], "row 1"), ([0.0, 1.0], "expected a positive")]
)
def test_what_cannot_be_measured_is_refused(equity, message):
    with pytest.raises(ValueError, match=message):
        metrics(equity)


def test_the_table_has_strategies_beside_buy_and_hold():
    first, second = metrics([100.0, 110.0], [100.0, 90.0]), metrics([100.0, 95.0])
    lines = format_table({"forward": first, "state": second}).splitlines()
    assert lines[0].split() == ["forward", "state", "buy", "&", "hold"]
    assert lines[2].split() == ["Total", "return", "+10.00", "%", "−5.00", "%", "−10.00", "%"]
    assert len({len(line) for line in lines}) == 1
    assert format_table(first, name="forward").splitlines()[2].split()[2:4] == ["+10.00", "%"]
    assert format_table({}) == ""


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("percent", 0.1234, "+12.34 %"),
        ("percent", -0.5, "−50.00 %"),
        ("percent", -0.000001, "0.00 %"),
        ("share", 0.875, "87.5 %"),
        ("ratio", -1.005, "−1.00"),
        ("money", 1234.5, "1,234.50"),
        ("money", -2_345_678.9, "−2,345,679"),
        ("count", 1200, "1,200"),
        ("number", 0.87123456, "0.871235"),
        ("ratio", None, "–"),
        ("number", "text", "text"),
    ],
)
def test_numbers_are_written_for_people(kind, value, text):
    assert show(kind, value) == text
