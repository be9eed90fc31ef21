"""Charts: decimation keeps every spike, ticks lie inside the span, labels do not overlap."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.report.axes import time_ticks, value_ticks
from runs.report.charts import WITH_ZERO, Band, Curve, time_chart
from runs.report.decimate import keep_extremes

MINUTE, DAY = 60_000, 86_400_000
START = int(pd.Timestamp("2024-07-01").timestamp() * 1000)


@given(st.lists(st.floats(-1e9, 1e9) | st.just(float("nan")), min_size=1, max_size=400), st.integers(1, 30))
def test_decimation_keeps_ends_and_extremes(values, buckets):
    values = np.array(values)
    kept = keep_extremes(values, buckets)
    assert (np.diff(kept) > 0).all()
    assert len(kept) <= max(4 * buckets, 1)
    assert kept[0] == 0
    assert kept[-1] == len(values) - 1
    if np.isfinite(values).any():
        assert np.nanmin(values[kept]) == np.nanmin(values)
        assert np.nanmax(values[kept]) == np.nanmax(values)


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9), st.integers(2, 8))
def test_value_ticks_are_few_and_inside(low, span, count):
    ticks = value_ticks(low, low + span, count)
    slack = 1e-6 * max(abs(low), span)
    assert len(ticks) <= count + 1
    assert all(low - slack <= tick <= low + span + slack for tick in ticks)


@pytest.mark.parametrize(
    "span", [10 * MINUTE, 600 * MINUTE, DAY, 3 * DAY, 20 * DAY, 90 * DAY, 365 * DAY, 1500 * DAY, 9000 * DAY]
)
@pytest.mark.parametrize("pixels", [350, 880])
def test_time_ticks_are_inside_and_some(span, pixels):
    ticks = time_ticks(START + 12_345, START + span, pixels)
    assert 1 <= len(ticks) <= pixels / 40
    assert all(START + 12_345 <= tick.at <= START + span for tick in ticks)
    assert "20" in ticks[0].text


def test_time_ticks_fall_on_the_first_of_the_month():
    ticks = time_ticks(START, START + 364 * DAY, 880)
    assert [tick.text for tick in ticks[:7]] == ["Jul 2024", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan 2025"]
    assert ticks[1].at == pd.Timestamp("2024-08-01").timestamp() * 1000


@pytest.mark.parametrize("values", [[5.0, 5.0], [0.0, 0.0], [np.nan, np.nan], [1e-9, 2e-9], [-3.0, 4e12]])
def test_a_chart_has_finite_coordinates(values):
    curve = Curve("a & b", np.array([START, START + DAY]), np.array(values), "strategy", area=True)
    chart = time_chart([curve], str, title="<t>", axis=WITH_ZERO, bands=[Band(START, START + DAY, "rank0")])
    assert "nan" not in re.sub(r">[^<]*<", "><", chart)
    assert "inf" not in re.sub(r">[^<]*<", "><", chart)
    assert 'aria-label="&lt;t&gt;"' in chart


def test_one_bar_draws():
    assert "<svg" in time_chart([Curve("x", np.array([START]), np.array([1.0]), "strategy")], str, title="t")


def test_names_that_end_together_are_pushed_apart():
    times = np.array([START, START + DAY])
    curves = [Curve(name, times, np.array([1.0, 2.0]), "strategy") for name in "abcd"]
    chart = time_chart(curves, str, title="t")
    places = [float(y) for y in re.findall(r'class="name" x="[\d.]+" y="([\d.]+)"', chart)]
    assert len(places) == 4
    assert min(np.diff(sorted(places))) >= 14.9
