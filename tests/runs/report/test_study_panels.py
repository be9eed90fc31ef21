"""The panels of a search: what they say, and that nothing of a setting or a reason gets into the page unescaped."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from runs.folder import LoadedRun
from runs.folder.frames import empty_frame
from runs.metric_rows import show
from runs.report.study import best_trials, failures, held_out, importance_panel, outcome, slices, surfaces
from runs.surface import summary


@pytest.fixture(scope="module")
def run():
    rng = np.random.default_rng(2)
    n = 80
    a, b, kind = rng.random(n), rng.integers(0, 3, n) * 6, rng.choice(["<b>", "equal"], n)
    trials = pd.DataFrame(
        {
            "number": range(n),
            "params_a": a,
            "params_b": pd.array(b, dtype="Int64"),
            "params_<kind>": kind,
            "sharpe_ratio": 1.0 - (a - 0.4) ** 2 - b / 100,
            **dict.fromkeys(("total_return", "max_drawdown", "turnover", "n_trades", "exposure"), 0.1),
            "status": "complete",
            "reason": "",
        }
    )
    failed = {"status": "failed", "reason": "ValueError: <script>", "sharpe_ratio": np.nan}
    trials.loc[[3, 9], list(failed)] = list(failed.values())
    trials.loc[5, ["status", "reason"]] = ["pruned", "below"]
    best = int(trials.loc[trials["status"] == "complete", "sharpe_ratio"].idxmax())
    held = trials[trials["status"] == "complete"][["number", "sharpe_ratio"]].head(30)
    held = pd.concat([held, trials.loc[[best], ["number", "sharpe_ratio"]]]).drop_duplicates("number")
    metrics = {
        "n_trials": n,
        "n_failed": 2,
        "n_pruned": 1,
        "best_trial": best,
        "objectives": ["sharpe_ratio"],
        "selection": {
            "spa_p_value_cash": 0.031,
            "deflated_sharpe": 0.91,
            "pbo": 0.25,
            "effective_trials": 12.3,
        },
        "held_out": {"sharpe_ratio": 0.7, "benchmark": {"sharpe_ratio": 0.2}},
        "surface": summary(trials, "sharpe_ratio", best),
    }
    tables = {name: empty_frame(name) for name in ("equity", "orders", "trades", "decisions", "funding")}
    return LoadedRun(
        metrics,
        {},
        {},
        **tables,
        trials=trials,
        held_out=held.assign(held_out_sharpe_ratio=held["sharpe_ratio"] - 1),
    )


PANELS = (outcome, importance_panel, held_out, surfaces, slices, best_trials, failures)


@pytest.mark.parametrize("panel", PANELS)
def test_texts_of_others_are_escaped_and_numbers_are_numbers(run, panel):
    page = panel(run)
    assert page
    assert "<script>" not in page
    assert "<b>equal" not in page
    assert "<kind>" not in page
    assert not re.search(r'="[^"]*\bnan\b', page)


@pytest.mark.parametrize("panel", PANELS)
def test_another_run_has_no_such_panel(run, panel):
    assert panel(replace(run, metrics={}, trials=None, held_out=None)) == ""


def test_the_cards_say_what_metrics_json_says(run):
    page = outcome(run)
    for text in ("80", "0.031", "0.91", "0.25", "2 failed, 1 stopped early", "0.70", "buy-and-hold 0.20"):
        assert text in page


def test_a_heat_map_shows_the_mean_of_each_cell(run):
    trials = run.trials[run.trials["status"] == "complete"]
    page = surfaces(run)
    means = trials.groupby(["params_b", "params_<kind>"])["sharpe_ratio"].agg(["mean", "size"])
    for mean, size in means.itertuples(index=False):
        assert f"{mean:.2f}, mean of {size} trials" in page
    assert page.count('class="best"') >= 3


def test_the_table_is_sorted_and_shows_the_held_out_figure(run):
    page = best_trials(run)
    numbers = [int(n) for n in re.findall(r"<th scope=row>(\d+)</th>", page)]
    complete = run.trials[run.trials["status"] == "complete"]
    assert numbers == complete.nlargest(20, "sharpe_ratio")["number"].tolist()
    third = complete[complete["number"].isin(run.held_out["number"])].nlargest(3, "sharpe_ratio").iloc[2]
    assert show("ratio", third["sharpe_ratio"] - 1) in page


def test_reasons_are_counted(run):
    page = failures(run)
    assert "ValueError: &lt;script&gt;" in page
    assert "<td>2</td><td>3</td>" in page
    assert "stopped early, below the median of earlier trials" in page


def test_held_out_trials_all_shifted_by_one_keep_their_order(run):
    assert "rank correlation +1.00" in held_out(run)
