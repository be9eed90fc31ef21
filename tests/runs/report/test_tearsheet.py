"""The QuantStats tearsheet: UTC days, 365 per year, no network, no warnings, and a reason instead of a crash."""

import logging
import re
import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from runs.report.tearsheet import NoTearsheet, daily_returns, tearsheet
from tests.runs.synthetic_run import make_run


def hours(values, start="2024-07-01 01:00", step="1h"):
    times = pd.Series(pd.date_range(start, periods=len(values), freq=step, tz="UTC"))
    return times, pd.Series(values, dtype=float)


def curve(equity, benchmark=None, step="1h"):
    times, values = hours(equity, step=step)
    return pd.DataFrame(
        {"time": times, "equity": values, "benchmark": values if benchmark is None else benchmark}
    )


def walk(bars, seed, step="1h", drift=0.0):
    moves = np.random.default_rng(seed).normal(drift, 0.01, bars)
    return 10_000 * np.exp(np.cumsum(moves) - moves[0])


def cells(page, label):
    row = re.search(rf"<tr>\s*<td>{label}\s*</td>(.*?)</tr>", page, flags=re.DOTALL).group(1)
    return [cell.strip() for cell in re.findall(r"<td>(.*?)</td>", row)]


def test_a_close_at_midnight_belongs_to_the_day_it_ends():
    # 22:00 is the start; 23:00 and 24:00 end the 1st, the next 24 closes end the 2nd
    values = [100.0, 101.0, 110.0, *[110.0] * 23, 121.0]
    returns = daily_returns(*hours(values, "2024-07-01 22:00"))
    assert list(returns.index) == [pd.Timestamp("2024-07-01"), pd.Timestamp("2024-07-02")]
    np.testing.assert_allclose(returns, [0.10, 0.10], rtol=1e-12)


def test_a_first_row_at_midnight_is_only_the_starting_point():
    returns = daily_returns(*hours([100.0, *[100.0] * 23, 105.0], "2024-07-01 00:00"))
    assert list(returns.index) == [pd.Timestamp("2024-07-01")]
    np.testing.assert_allclose(returns, [0.05])


def test_days_compound_to_the_total_and_agree_with_pandas():
    values = walk(24 * 40 + 7, seed=1)
    times, equity = hours(values, "2024-07-01 05:00")
    returns = daily_returns(times, equity)
    assert returns.index.tz is None
    np.testing.assert_allclose(np.prod(1 + returns) - 1, values[-1] / values[0] - 1, rtol=1e-12)
    closes = pd.Series(values, index=times).resample("D", closed="right", label="left").last().dropna()
    np.testing.assert_allclose(returns.iloc[1:], closes.pct_change().iloc[1:], rtol=1e-12)


def test_a_day_without_bars_returns_nothing():
    times, equity = hours([100.0, 110.0, 121.0], "2024-07-01 12:00", step="2D")
    np.testing.assert_allclose(daily_returns(times, equity), [0, 0, 0.1, 0, 0.1], atol=1e-15)


def test_ruin_is_minus_one_and_stays():
    times, equity = hours([100.0, 50.0, -20.0, -20.0], "2024-07-01 12:00", step="1D")
    np.testing.assert_allclose(daily_returns(times, equity), [0.0, -0.5, -1.0, 0.0])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(bad):
    values = walk(100, seed=2)
    values[50] = bad
    with pytest.raises(ValueError, match="not finite"):
        tearsheet(curve(values))


def test_figures_are_of_utc_days_at_365_a_year(capfd):
    values, other = walk(24 * 90, seed=3), walk(24 * 90, seed=4)
    page = tearsheet(curve(values, other))
    returns = daily_returns(*hours(values))
    sharpe = returns.mean() / returns.std() * np.sqrt(365)
    assert float(cells(page, "Sharpe")[1]) == pytest.approx(sharpe, abs=0.0051)
    assert cells(page, "Cumulative Return")[0] == f"{other[-1] / other[0] - 1:.2%}"
    assert cells(page, "Best Day")[1] == f"{returns.max():.2%}"
    assert capfd.readouterr() == ("", "")


def test_a_drawdown_from_the_first_day_on_is_not_overlooked():
    values = 10_000 * np.exp(-0.001 * np.arange(24 * 20))
    page = tearsheet(curve(values * (1 + 1e-4 * np.sin(np.arange(len(values)))), walk(24 * 20, seed=5)))
    assert float(cells(page, "Max Drawdown")[1].rstrip("%")) < -30


@pytest.mark.parametrize("days", [2, 10, 400])
def test_short_and_long_runs_have_only_charts_that_they_can_fill(days):
    page = tearsheet(curve(walk(days * 4, 6), walk(days * 4, 7), step="6h"))
    assert "<svg" in page
    assert ("rolling_sharpe" in page) == (days > 212)
    assert "{{" not in page
    assert "://" not in page


def test_a_ruined_and_a_flat_benchmark_run_have_a_tearsheet():
    ruined = make_run(bars=24 * 30, ruin=True).tables["equity"]
    assert cells(tearsheet(ruined), "Cumulative Return")[1] == "-100.0%"
    page = tearsheet(curve(walk(24 * 30, 8), np.full(24 * 30, 1e4)))
    assert "<svg" in page
    assert "Buy and hold" not in page


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([1e4], "less than two UTC days"),
        (walk(10, 9), "less than two UTC days"),
        (np.full(24 * 30, 1e4), "All daily returns are equal"),
        ([100.0] * 24 + [100.0] * 24 + [500.0] * 24, "reads such returns as prices"),
    ],
)
def test_what_cannot_be_drawn_has_a_reason(values, reason):
    with pytest.raises(NoTearsheet, match=reason):
        tearsheet(curve(values))


@pytest.mark.parametrize("package", ["quantstats", "matplotlib"])
def test_a_missing_package_is_named(monkeypatch, package):
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(NoTearsheet, match=r"pip install 'scorenet\[report\]'"):
        tearsheet(curve(walk(24 * 30, 10)))


def test_a_failure_inside_quantstats_is_a_reason(monkeypatch):
    def fail(*_, **__):
        raise np.linalg.LinAlgError("singular\nmatrix")

    monkeypatch.setattr("quantstats.reports.html", fail)
    with pytest.raises(NoTearsheet, match=r"of this run: singular$"):
        tearsheet(curve(walk(24 * 30, 12)))


def test_a_strategy_that_is_its_own_benchmark_stands_alone():
    values = walk(24 * 20, 13)
    assert "Buy and hold" not in tearsheet(curve(values, values))


def test_the_process_is_left_as_it_was():
    settings, level = dict(mpl.rcParams), logging.getLogger("matplotlib.font_manager").level
    tearsheet(curve(walk(24 * 30, 11)))
    changed = {key for key in settings if repr(mpl.rcParams[key]) != repr(settings[key]) and key != "backend"}
    assert changed == set()
    assert logging.getLogger("matplotlib.font_manager").level == level
