"""`scorenet optimize`: the run folder, the held-out part, own strategies, resume, and what is refused."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from runs.backtest import strategy_defaults
from runs.cli import main
from runs.engine import run
from runs.folder import RunDir
from runs.search import GridSampler
from runs.settings import Account
from scorenet import ScoreModel
from strategies import ScoreStrategy

ROOT = Path(__file__).parents[3]
OWN = Path(__file__).parent / "own.py"
BARS = "simulated:planted?seed=6&bars=600"
GRID = ("--grid", "density_quantile=0,0.4", "--grid", "cooldown=0,6")


def scorenet(*words):
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="scorenet")


@pytest.fixture(scope="module", autouse=True)
def _quick_report():
    """Leave out the tearsheet, which has tests of its own and takes longer than all searches here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runs.report.tearsheet.tearsheet", lambda equity: "")
        yield


@pytest.fixture(scope="module")
def work(tmp_path_factory, tiny_model_dir):
    """A folder with a model and the run of a search over four settings in Cerebro."""
    folder = tmp_path_factory.mktemp("optimize")
    shutil.copytree(tiny_model_dir, folder / "model")
    result = search(folder, "run", *GRID, "--evaluator", "cerebro")
    assert result.exit_code == 0, result.output
    return folder, result


def search(folder, out, *words):
    return scorenet("optimize", "--model", folder / "model", "--bars", BARS, *words, "--out", folder / out)


def test_the_run_folder_of_a_search(work):
    folder, result = work
    names = {path.name for path in (folder / "run").iterdir()}
    assert names == {
        *("metrics.json", "manifest.json", "config.toml", "best.toml", "report.html", "trials.journal"),
        *(f"{name}.parquet" for name in ("equity", "orders", "trades", "decisions", "funding")),
        *("trials.parquet", "held_out.parquet"),
    }
    metrics = json.loads((folder / "run" / "metrics.json").read_text())
    assert {"n_trials", "effective_trials", "deflated_sharpe", "pbo", "spa_p_value_cash", "held_out"} <= set(
        metrics
    )
    assert metrics["n_trials"] == 4
    trials = pd.read_parquet(folder / "run" / "trials.parquet")
    assert trials["status"].tolist() == ["complete"] * 4
    best = trials.loc[trials["sharpe_ratio"].idxmax()]
    assert metrics["best_trial"] == best["number"]
    assert metrics["sharpe_ratio"] == pytest.approx(best["sharpe_ratio"], rel=1e-12)
    assert result.stdout.rstrip().endswith(metrics["verdict"])
    assert metrics["verdict"].startswith("The best of 4 trials is")
    page = (folder / "run" / "report.html").read_text()
    for panel in ("search", "importance", "surface", "slices", "held_out", "best_trials"):
        assert f'id="{panel}"' in page or panel == "importance"  # four trials teach no forest


def test_every_trial_is_the_backtest_of_its_settings_on_the_bars_before_the_held_out_part(work):
    folder, _ = work
    from feeds import load_bars

    frame = load_bars(BARS)
    model = ScoreModel.load(folder / "model")
    start = int(frame["timestamp"].iloc[model.lookback]) + 3_600_000
    closes = frame["timestamp"].to_numpy() + 3_600_000
    closes = closes[closes >= start]
    cut = closes[round(len(closes) * 0.75)]
    seen = frame[frame["timestamp"] + 3_600_000 < cut].reset_index(drop=True)
    seen.attrs = frame.attrs
    trial = pd.read_parquet(folder / "run" / "trials.parquet").iloc[3]
    params = {
        **strategy_defaults(),
        "density_quantile": 0.4,
        "cooldown": 6,
        "model": model,
        "trade_from": start,
    }
    wanted = run([seen], Account(), ScoreStrategy, params, since=start).equity["equity"]
    assert trial["total_return"] == pytest.approx(wanted.iloc[-1] / wanted.iloc[0] - 1.0, rel=1e-12)


def test_best_toml_runs_the_best_again(work):
    folder, _ = work
    metrics = json.loads((folder / "run" / "metrics.json").read_text())
    words = shlex.split(metrics["rerun"])[1:]
    words[words.index("--out") + 1] = str(folder / "again")
    result = scorenet(*words)
    assert result.exit_code == 0, result.output
    one, again = (RunDir.open(folder / name).read_frame("equity") for name in ("run", "again"))
    # The last order of the search was decided at its last close and never filled.
    np.testing.assert_array_equal(one["equity"], again["equity"][: len(one)])
    settings = tomllib.loads((folder / "run" / "best.toml").read_text())
    for name, value in metrics["best_settings"].items():
        assert settings["strategy"][name] == value


def test_the_held_out_figures_are_those_of_a_backtest_from_there(work):
    folder, _ = work
    metrics = json.loads((folder / "run" / "metrics.json").read_text())
    since = pd.Timestamp(metrics["held_out"]["start"]) - pd.Timedelta(hours=1)
    words = ("--since", since.strftime("%Y-%m-%dT%H:%M"), "--config", folder / "run" / "best.toml", "--json")
    result = scorenet(
        "backtest", "--model", folder / "model", "--bars", BARS, *words, "--out", folder / "later"
    )
    assert result.exit_code == 0, result.output
    later = json.loads(result.stdout)
    for name in ("total_return", "sharpe_ratio", "n_orders", "bars"):
        assert metrics["held_out"][name] == later[name], name


def test_a_search_is_resumed_to_the_same_table(work):
    folder, _ = work
    lines = (folder / "run" / "trials.journal").read_bytes().splitlines(keepends=True)
    (folder / "killed").mkdir()
    (folder / "killed" / "trials.journal").write_bytes(b"".join(lines[:4])[:-9])
    words = (*GRID, "--evaluator", "cerebro")
    refused = search(folder, "killed", *words)
    assert refused.exit_code == 1
    assert "holds a study already; go on with --resume" in refused.stderr
    other = search(folder, "killed", *words, "--resume", "--set", "taker=0.001")
    assert other.exit_code == 2
    assert "has account = " in other.stderr
    result = search(folder, "killed", *words, "--resume")
    assert result.exit_code == 0, result.output
    one, again = (pd.read_parquet(folder / name / "trials.parquet") for name in ("run", "killed"))
    pd.testing.assert_frame_equal(one, again)


def test_a_search_is_not_resumed_with_another_version_of_a_plug_in(work, monkeypatch):
    folder, _ = work
    before = (folder / "run" / "trials.journal").read_bytes()
    monkeypatch.setattr("runs.plugins._loaded", {Path("rules.py"): "abc123"})
    result = search(folder, "run", *GRID, "--evaluator", "cerebro", "--resume")
    assert result.exit_code == 2
    assert "has plugins = " in result.stderr
    assert "this command has ['abc123']" in result.stderr
    assert (folder / "run" / "trials.journal").read_bytes() == before


def test_a_users_strategy_needs_no_model_and_its_failures_are_rows(work):
    folder, _ = work
    words = (
        "--strategy",
        f"{OWN}:Crossing",
        "--grid",
        "period=5,20",
        "--grid",
        "broken=false,true",
        "--json",
    )
    result = scorenet("optimize", "--bars", BARS, *words, "--out", folder / "own")
    assert result.exit_code == 0, result.output
    assert "not compiled: the strategy Crossing is your own" in result.stderr
    metrics = json.loads(result.stdout)
    trials = pd.read_parquet(folder / "own" / "trials.parquet")
    assert trials["status"].tolist() == ["complete", "failed", "complete", "failed"]
    assert set(trials["reason"]) == {"", "RuntimeError: broken on purpose"}
    assert metrics["n_failed"] == 2
    assert "rerun" in metrics
    assert "broken on purpose" in (folder / "own" / "report.html").read_text()


def test_all_trials_failed(work):
    folder, _ = work
    words = ("--strategy", f"{OWN}:Crossing", "--grid", "period=5,20", "--set", "broken=true")
    result = scorenet("optimize", "--bars", BARS, *words, "--out", folder / "none")
    assert result.exit_code == 1
    assert (
        "none of the 2 trials ran to its end; most often (2): RuntimeError: broken on purpose"
        in result.stderr
    )


# Bad inputs -----------------------------------------------------------------------------------------------------

BAD = {
    "nothing to search": ((), 2, "--grid key=v1,v2,... for every combination"),
    "an unknown key": (("--grid", "cooldwn=1,2"), 2, "did you mean 'cooldown'"),
    "an empty grid": (("--grid", "cooldown="), 2, "expected key=v1,v2,..."),
    "a value out of range": (("--grid", "density_quantile=0,5"), 2, "between 0 and 1"),
    "a constraint that excludes all": (
        (*GRID, "--constraint", "cooldown > 99"),
        2,
        "none of the 4 combinations",
    ),
    "an unknown name in a constraint": ((*GRID, "--constraint", "cooldwn > 1"), 2, "did you mean 'cooldown'"),
    "a sampler": ((*GRID, "--sampler", "tpe"), 2, "grid, random, optuna"),
    "a range in a grid": (("--space", "density_quantile=0..1"), 2, "a grid needs a list of values"),
    "an objective": ((*GRID, "--objective", "sharp_ratio"), 2, "did you mean 'sharpe_ratio'"),
    "an executor": ((*GRID, "--executor", "thread"), 2, "serial, process, ray"),
    "workers": ((*GRID, "--executor", "process", "--workers", "0"), 2, "at least 1"),
    "a holdout": ((*GRID, "--holdout", "1.5"), 2, "a share from 0 to below 1"),
    "a holdout that leaves nothing": ((*GRID, "--holdout", "0.001"), 1, "too few bars"),
    "a strategy file": ((*GRID, "--strategy", "nowhere.py:Name"), 2, "expected a Python file"),
    "a strategy name": ((*GRID, "--strategy", f"{OWN}:Crosing"), 2, "did you mean 'Crossing'"),
    "a strategy that is none": ((*GRID, "--strategy", f"{OWN}:helper"), 2, "it has"),
    "the replay of one's own": (
        ("--strategy", f"{OWN}:Louder", "--grid", "loudness=1,2", "--evaluator", "replay"),
        2,
        "is your own",
    ),
    "nothing to resume": ((*GRID, "--resume"), 1, "holds no study to resume"),
    "model settings of a model without bars": (("--grid", "seed=1,2"), 2, "does not name them"),
    "bars of two sizes": (
        (*GRID, "--bars", "simulated:planted?timeframe=4h"),
        2,
        "expected bars of one size",
    ),
}


@pytest.mark.parametrize("case", BAD, ids=list(BAD))
def test_impossible_options_end_with_one_line(work, case):
    folder, _ = work
    words, code, message = BAD[case]
    result = search(folder, "bad", *words)
    assert result.exit_code == code, result.output
    assert message in result.stderr, result.stderr
    assert len(result.stderr.splitlines()) <= 3
    assert not (folder / "bad").exists()  # nothing is left that would stand in the way of the right command


def test_a_missing_model_and_a_folder_that_is_taken(work):
    folder, _ = work
    missing = scorenet(
        "optimize", "--model", folder / "nowhere", "--bars", BARS, *GRID, "--out", folder / "x"
    )
    assert missing.exit_code == 1
    assert "nowhere" in missing.stderr
    assert not (folder / "x").exists()
    (folder / "full").mkdir()
    (folder / "full" / "notes.txt").touch()
    taken = search(folder, "full", *GRID)
    assert taken.exit_code == 1
    assert "is not empty" in taken.stderr
    (folder / "file").touch()
    assert "is a file" in search(folder, "file", *GRID).stderr


# Ctrl-C ---------------------------------------------------------------------------------------------------------


def test_after_ctrl_c_the_rows_are_kept(work, monkeypatch):
    folder, _ = work
    real, asked = GridSampler.ask, []

    def ask(self):
        asked.append(1)
        if len(asked) > 3:
            raise KeyboardInterrupt
        return real(self)

    monkeypatch.setattr(GridSampler, "ask", ask)
    monkeypatch.setattr("runs.study.study._OPEN_CHUNKS", 1)
    result = search(folder, "stopped", *GRID, "--evaluator", "cerebro")
    assert result.exit_code == 130
    assert len((folder / "stopped" / "trials.journal").read_bytes().splitlines()) == 4


@pytest.mark.acceptance
@pytest.mark.enable_socket
@pytest.mark.parametrize("executor", ["process", "ray"])
def test_ctrl_c_leaves_no_process(work, executor):
    import psutil

    folder, _ = work
    out = folder / f"ctrl-c-{executor}"
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\nfrom runs.cli import main\nmain()"
    words = ["optimize", "--model", folder / "model", "--bars", "simulated:planted?seed=6&bars=3000"]
    words += [
        "--trials",
        "500",
        "--evaluator",
        "cerebro",
        "--executor",
        executor,
        "--workers",
        "2",
        "--out",
        out,
    ]
    started = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    journal, deadline = out / "trials.journal", time.monotonic() + 120
    while time.monotonic() < deadline and (
        not journal.exists() or len(journal.read_bytes().splitlines()) < 4
    ):
        time.sleep(0.2)
    children = psutil.Process(started.pid).children(recursive=True)
    assert children
    os.killpg(started.pid, signal.SIGINT)
    _, said = started.communicate(timeout=60)
    assert started.returncode == 130, said
    assert "interrupted" in said
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    assert len(journal.read_bytes().splitlines()) >= 4
