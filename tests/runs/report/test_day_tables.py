"""Months and years of the tearsheet carry their own dates; what is undefined is a dash, never a number."""

import re

import pandas as pd
import pytest

from runs.report.day_tables import months_table, without_undefined


def cells(table, first):
    row = next(row for row in re.findall(r"<tr>(.*?)</tr>", table) if row.startswith(f"<td>{first}</td>"))
    return re.findall(r"<td[^>]*>(.*?)</td>", row)


def test_months_stand_under_their_own_names_and_others_are_dashes():
    """November: two days of +10 % are +21 %; December: one day of -5 %; nothing else was traded."""
    days = pd.DatetimeIndex(["2021-11-29", "2021-11-30", "2021-12-31", "2022-01-01"])
    table = months_table(pd.Series([0.1, 0.1, -0.05, 0.0], index=days))
    assert cells(table, 2021)[1:] == ["–"] * 10 + ["21.0", "-5.0"]
    assert cells(table, 2022)[1:] == ["0.0"] + ["–"] * 11
    assert '<td class="up">21.0</td><td class="down">-5.0</td>' in table


@pytest.mark.parametrize(
    ("days", "kept"),
    [
        (40, set()),
        (365, {"1Y", "6M", "3M", "Win Month"}),
        (1_094, {"1Y", "6M", "3M", "Win Month", "Win Year"}),
        (1_095, {"1Y", "6M", "3M", "Win Month", "Win Year", "3Y (ann.)"}),
        (4_000, {"1Y", "6M", "3M", "Win Month", "Win Year", "3Y (ann.)", "5Y (ann.)", "10Y (ann.)"}),
    ],
)
def test_a_row_needs_the_days_that_it_is_about(days, kept):
    names = (
        "1Y",
        "6M",
        "3M",
        "Win Month",
        "Win Year",
        "3Y (ann.)",
        "5Y (ann.)",
        "10Y (ann.)",
        "Treynor Ratio",
    )
    page = "".join(f"<tr>\n<td>{name} </td><td>1.0%</td></tr>" for name in (*names, "MTD"))
    left = re.findall(r"<td>([^<]+?)\s*</td><td>", without_undefined(page, days))
    assert set(left) == kept | {"MTD"}


@pytest.mark.parametrize("cell", ["nan", "nan%", "-inf", "inf%", "-"])
def test_undefined_cells_are_dashes(cell):
    assert without_undefined(f"<tr><td>Beta</td><td>{cell}</td></tr>", 400).endswith("<td>–</td></tr>")
    assert "<td>-0.5</td>" in without_undefined("<tr><td>Beta</td><td>-0.5</td></tr>", 400)


@pytest.mark.parametrize(
    ("benchmark", "strategy", "shown"),
    [("10.0", "20.0", "2.0"), ("-10.0", "20.0", "–"), ("-10.0", "-20.0", "–"), ("0.0", "1.0", "–")],
)
def test_times_the_benchmark_says_something_of_two_gains_only(benchmark, strategy, shown):
    row = f"<tr><td>2021</td><td>{benchmark}</td><td>{strategy}</td><td>2.0</td><td>+</td></tr>"
    assert cells(without_undefined(row, 400), 2021) == ["2021", benchmark, strategy, shown, "+"]
