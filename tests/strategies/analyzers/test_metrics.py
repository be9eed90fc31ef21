"""The formulas against values computed by hand, and the cases in which they are undefined."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.analyzers import metrics

HOUR, DAY = 3_600_000, 86_400_000
EQUITY = [100.0, 110.0, 99.0, 108.9]  # +10 %, -10 %, +10 %
RETURNS = [0.1, -0.1, 0.1]


def test_returns_are_simple_and_per_bar():
    assert metrics.bar_returns(EQUITY).tolist() == pytest.approx(RETURNS)


def test_sharpe_is_mean_over_sample_deviation_times_the_root_of_the_periods():
    mean, variance = 0.1 / 3, ((0.2 / 3) ** 2 * 2 + (0.4 / 3) ** 2) / 2
    assert metrics.sharpe_ratio(RETURNS, 8760.0) == pytest.approx(
        mean / math.sqrt(variance) * math.sqrt(8760)
    )


def test_sortino_divides_by_the_root_mean_square_of_the_losses_over_all_bars():
    downside = math.sqrt(0.01 / 3)
    assert metrics.sortino_ratio(RETURNS, 365.0) == pytest.approx(0.1 / 3 / downside * math.sqrt(365))


def test_a_year_is_made_of_as_many_bars_as_it_has():
    # 8.9 % in 3 of 12 bars a year.
    assert metrics.annual_return(0.089, 3, 12.0) == pytest.approx(1.089**4 - 1)
    assert metrics.volatility(RETURNS, 12.0) == pytest.approx(np.std(RETURNS, ddof=1) * math.sqrt(12))


def test_drawdown_is_below_the_running_maximum():
    assert metrics.drawdowns(EQUITY).tolist() == pytest.approx([0.0, 0.0, -0.1, -0.01])
    assert metrics.max_drawdown(EQUITY) == pytest.approx(-0.1)
    assert metrics.calmar_ratio(0.5, -0.1) == pytest.approx(5.0)


def test_trades_and_bars_are_counted():
    assert metrics.win_rate([3.0, -1.0, 0.0, 2.0]) == 0.5
    assert metrics.profit_factor([3.0, -1.0, 0.0, 2.0]) == 5.0
    assert metrics.bar_win_rate([0.0, 0.1, -0.1, 0.1, 0.0]) == pytest.approx(2 / 3)
    assert metrics.turnover([1_000.0, -500.0], [100.0, 200.0], 0.5) == pytest.approx(1_500 / 150 / 0.5)


def test_performance_gathers_what_equity_alone_can_say():
    figures = metrics.performance(EQUITY, 12.0)
    assert figures["total_return"] == pytest.approx(0.089)
    assert figures["annual_return"] == pytest.approx(1.089**4 - 1)
    assert figures["calmar_ratio"] == pytest.approx((1.089**4 - 1) / 0.1)
    assert figures["bar_win_rate"] == pytest.approx(2 / 3)


def test_a_flat_run_has_ratios_of_zero_and_no_win_rate():
    assert metrics.performance([100.0] * 5, 8760.0) == {
        "total_return": 0.0,
        "annual_return": 0.0,
        "volatility": 0.0,
        "sharpe_ratio": 0.0,
        "sortino_ratio": 0.0,
        "max_drawdown": 0.0,
        "calmar_ratio": 0.0,
        "bar_win_rate": None,
    }


def test_a_constant_gain_has_no_ratios():
    figures = metrics.performance(100.0 * 1.01 ** np.arange(10), 8760.0)
    assert figures["sharpe_ratio"] is None
    assert figures["sortino_ratio"] is None
    assert figures["calmar_ratio"] is None


def test_ruin_is_a_loss_of_everything_and_stays_so():
    figures = metrics.performance([100.0, 50.0, 0.0, 0.0], 8760.0)
    assert figures["total_return"] == figures["annual_return"] == figures["max_drawdown"] == -1.0
    assert figures["calmar_ratio"] == -1.0
    assert metrics.bar_returns([100.0, 50.0, 0.0, 0.0]).tolist() == [-0.5, -1.0, 0.0]


@pytest.mark.parametrize("equity", [[], [100.0]])
def test_no_returns_no_figures(equity):
    figures = metrics.performance(equity, 8760.0)
    assert figures["sharpe_ratio"] is figures["sortino_ratio"] is figures["volatility"] is None
    assert figures["annual_return"] is figures["bar_win_rate"] is None


def test_a_year_that_no_float_can_hold_is_undefined():
    assert metrics.annual_return(1.0, 1, 525_600.0) is None


def test_no_trades_no_rates():
    assert metrics.win_rate([]) is None
    assert metrics.profit_factor([]) is None
    assert metrics.profit_factor([1.0]) is None
    assert metrics.turnover([], [], 1.0) is None
    assert metrics.turnover([1.0], [0.0], 1.0) is None
    assert metrics.turnover([1.0], [1.0], 0.0) is None


@given(st.lists(st.just(0.0) | st.floats(1e-6, 1e6), max_size=30))
def test_every_figure_is_a_finite_number_or_none(equity):
    values = [100.0, *equity]
    for figure in metrics.performance(values, 8760.0).values():
        assert figure is None or math.isfinite(figure)


def test_c15_a_day_is_closed_on_the_right_so_midnight_belongs_to_the_day_that_ends():
    # Three days of hourly closes: 01:00 of the first to 00:00 after the third.
    time = np.arange(1, 73) * HOUR + 19_000 * DAY
    days, equity = metrics.daily_equity(time, np.arange(1.0, 73.0))
    assert days.tolist() == [19_000 * DAY, 19_001 * DAY, 19_002 * DAY]
    assert equity.tolist() == [24.0, 48.0, 72.0]


def test_days_without_a_bar_are_left_out():
    days, equity = metrics.daily_equity([HOUR, 5 * DAY + 1], [1.0, 2.0])
    assert days.tolist() == [0, 5 * DAY]
    assert equity.tolist() == [1.0, 2.0]
    assert [len(column) for column in metrics.daily_equity([], [])] == [0, 0]
