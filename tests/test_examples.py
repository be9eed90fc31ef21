"""The examples run as their docstrings say; the sweep evaluates the nets once, not once per trial."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bybit import LoopbackBybit
from tests.bybit.fixtures import NOW

ROOT = Path(__file__).resolve().parent.parent
SOURCE = "simulated:planted?seed=4&bars=700&edge=0.15"


UNSEEN = "simulated:planted?seed=4&bars=3600&edge=0.15"  # the model has seen the first 3,000 hours


def run_example(name: str, model: Path, *, wrapper: str | None = None, source: str = SOURCE) -> str:
    script = ROOT / "examples" / name
    command = [sys.executable, *(["-c", wrapper] if wrapper else [str(script)]), str(model), source]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=240,
        cwd=model if model.is_dir() else model.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_backtest_prints_its_figures(tiny_model_dir: Path) -> None:
    lines = dict(line.split() for line in run_example("backtest.py", tiny_model_dir).splitlines())
    assert float(lines["equity"].replace(",", "")) > 0
    assert -20 < float(lines["sharpe_ratio"]) < 20
    assert 0 <= float(lines["in_distribution_ratio"]) <= 1


def test_paper_run_ends_where_the_backtest_ends(tiny_model_dir: Path) -> None:
    paper = run_example("paper.py", tiny_model_dir)
    assert "density_rank" in paper
    equity = paper.splitlines()[-1].rsplit(" ", 1)[-1]
    assert f"equity                {equity}\n" in run_example("backtest.py", tiny_model_dir)


def test_density_tells_foreign_rows_from_known_ones(tmp_path: Path) -> None:
    lines = run_example("density.py", tmp_path).splitlines()
    share = {line[:10]: int(line.rsplit(" ", 1)[1].rstrip("%")) for line in lines[:2]}
    assert share["known kind"] < 40
    assert share["the third "] > 90


def test_live_bars_come_after_history_with_the_feeds_notifications(
    tiny_model_dir: Path, tmp_path: Path
) -> None:
    with LoopbackBybit(clock=NOW, speed=7200.0, limit=(100_000, 5.0)) as exchange:
        done = subprocess.run(
            [sys.executable, ROOT / "examples" / "live.py", tiny_model_dir, exchange.url, "7200", "3"],
            capture_output=True,
            text=True,
            timeout=240,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.isupper()][:2] == ["DELAYED", "LIVE"]
    assert len([line for line in lines if "  close " in line]) == 3
    assert lines[-1].startswith("equity ")


def test_a_veterans_script_with_a_filter_a_subclass_and_two_listings(tiny_model_dir: Path) -> None:
    lines = run_example("veteran.py", tiny_model_dir, source=UNSEEN).splitlines()
    assert lines[0].startswith("ModelSchedule(ScoreModel(planted-5, ")
    counts = [int(number) for number in re.findall(r"\d+", " ".join(lines[1:3]))]
    assert all(count > 0 for count in counts[:2])


def test_own_feeds_give_the_equity_of_ours(tiny_model_dir: Path) -> None:
    first, second = run_example("own_data.py", tiny_model_dir).splitlines()
    backtest = run_example("backtest.py", tiny_model_dir).splitlines()[0].split()[-1]
    assert {first.split()[-1], second.split()[-1]} == {backtest}


def test_frames_become_a_model_a_run_and_a_page(tmp_path: Path) -> None:
    out = tmp_path / "run"
    lines = run_example(
        "own_run.py", tmp_path / "model", source=str(out), wrapper=WITHOUT_TEARSHEET
    ).splitlines()
    assert lines[0].startswith("ScoreModel(COIN1/USDT:USDT+COIN2/USDT:USDT, 1h, 10 chapter features")
    assert lines[1:] == [str(out / "report.html"), f"{out}-trend/report.html"]
    for page in lines[1:]:
        assert "<h1>Run of COIN1/USDT:USDT</h1>" in Path(page).read_text()


# QuantStats takes most of the time of a page, and has tests of its own.
WITHOUT_TEARSHEET = f"""
import runpy, sys
from runs.report import tearsheet as module
def left_out(equity):
    raise module.NoTearsheet("left out here")
module.tearsheet = left_out
sys.argv[0] = "own_run.py"
runpy.run_path({str(ROOT / "examples" / "own_run.py")!r}, run_name="__main__")
"""

COUNTING = """
import os, runpy, sys
from scorenet import ScoreModel
evaluate = ScoreModel._evaluate
def counted(*args):
    with open("evaluations.txt", "a") as log:
        log.write(f"{os.getpid()}\\n")
    return evaluate(*args)
ScoreModel._evaluate = counted
runpy.run_path(%r, run_name="__main__")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="workers inherit memory only where they are forked")
def test_sweep_evaluates_the_nets_once_and_ranks_the_trials(tiny_model_dir: Path) -> None:
    out = run_example("sweep.py", tiny_model_dir, wrapper=COUNTING % str(ROOT / "examples" / "sweep.py"))
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["confidence_threshold", "density_quantile", "sharpe_ratio", "in_distribution_ratio"]
    assert len(rows) == 6
    sharpes = [float(row[2]) for row in rows[1:]]
    assert sharpes == sorted(sharpes, reverse=True)
    log = tiny_model_dir / "evaluations.txt"
    assert len(log.read_text().splitlines()) == 1
    log.unlink()


def test_every_example_is_tested() -> None:
    assert sorted(path.name for path in (ROOT / "examples").glob("*.py")) == [
        "backtest.py",
        "density.py",
        "live.py",
        "own_data.py",
        "own_run.py",
        "paper.py",
        "plugin.py",
        "sweep.py",
        "veteran.py",
    ]


def test_every_benchmark_explains_itself() -> None:
    for path in sorted((ROOT / "benchmarks").glob("[a-z]*.py")):
        assert ast.get_docstring(ast.parse(path.read_text())), path.name
