"""With a user's own `strategies/`, `feeds.py` or `runs/`, scorenet works and warns once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
USES = """
from scorenet import BarsData, InDistribution, PerpetualBroker, ScoreStrategy, simulate
import backtrader as bt
cerebro = bt.Cerebro(stdstats=False)
cerebro.setbroker(PerpetualBroker(cash=10_000))
cerebro.adddata(BarsData(dataname=simulate("planted", bars=600)), name="BTC")
cerebro.addstrategy(ScoreStrategy, model={model!r})
cerebro.addanalyzer(InDistribution, _name="ratio")
run = cerebro.run()[0]
print(len(run.decisions), type(run).__module__)
"""


@pytest.fixture
def folder(tmp_path):
    """A Backtrader user's folder that contains all three names."""
    (tmp_path / "strategies").mkdir()
    (tmp_path / "strategies" / "__init__.py").write_text("class MyStrategy: ...\n")
    (tmp_path / "feeds.py").write_text("MINE = True\n")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "__init__.py").write_text("")
    return tmp_path


def python(folder, *words):
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_script_takes_everything_from_scorenet_and_keeps_its_own_packages(folder, tiny_model_dir):
    (folder / "run.py").write_text(
        "import strategies, feeds\n"
        + USES.format(model=str(tiny_model_dir))
        + "import strategies, feeds\nprint(strategies.MyStrategy.__name__, feeds.MINE)\n"
    )
    done = python(folder, "run.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["600 scorenet.siblings.strategies.score_strategy", "MyStrategy True"]
    lines = done.stderr.splitlines()
    for name, place in (("strategies", folder / "strategies"), ("feeds", folder / "feeds.py")):
        said = [line for line in lines if line.startswith(f"scorenet: '{name}' is {place} here")]
        assert len(said) == 1, done.stderr
        assert str(ROOT / name) in said[0]
        assert "from scorenet import ScoreStrategy" in said[0]


def test_training_and_reports_work_where_names_are_taken(folder):
    code = """
import backtrader as bt
from scorenet import BarsData, BuyAndHold, PerpetualBroker, add_scorenet_analyzers, report, simulate, train
from scorenet.siblings.runs.report import tearsheet
def left_out(equity):
    raise tearsheet.NoTearsheet("left out here")
tearsheet.tearsheet = left_out
cerebro = bt.Cerebro(stdstats=False)
cerebro.setbroker(PerpetualBroker(cash=10_000))
cerebro.adddata(BarsData(dataname=simulate("planted", bars=100)), name="BTC")
cerebro.addstrategy(BuyAndHold)
add_scorenet_analyzers(cerebro)
cerebro.run()
print(report(cerebro, "mine"), train.__module__)
"""
    done = python(folder, "-c", code)
    assert done.stdout.split() == ["mine/report.html", "scorenet.siblings.runs.api.training"], done.stderr
    assert (folder / "mine" / "metrics.json").is_file()


def test_one_taken_name_leaves_the_other_packages_as_they_are(tmp_path):
    (tmp_path / "feeds.py").write_text("MINE = True\n")
    code = "from scorenet import BarsData, Sharpe; print(BarsData.__module__, Sharpe.__module__)"
    done = python(tmp_path, "-c", code)
    assert done.stdout.split() == ["scorenet.siblings.feeds.btdata", "strategies.analyzers.equity"], (
        done.stderr
    )
    assert len(done.stderr.splitlines()) == 1


def test_the_command_works_where_names_are_taken(folder):
    done = python(folder, "-m", "scorenet", "data", "check", "simulated:planted?bars=500")
    assert done.returncode == 0, done.stderr
    assert "500" in done.stdout
    assert sum("is" in line and "here, not scorenet's own" in line for line in done.stderr.splitlines()) == 3


def test_errors_keep_their_exit_codes_where_names_are_taken(folder):
    done = python(folder, "-m", "scorenet", "data", "check", "simulated:plantd")
    assert done.returncode == 2
    assert "did you mean 'planted'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_where_nothing_is_taken_the_plain_names_are_used_and_nothing_is_said(tmp_path):
    code = "import scorenet; print(scorenet.ScoreStrategy.__module__, scorenet.load_bars.__module__)"
    done = python(tmp_path, "-c", code)
    assert done.stdout.split() == ["strategies.score_strategy", "feeds.sources"]
    assert done.stderr == ""


def test_worker_processes_find_the_class_where_names_are_taken(folder):
    code = (
        "import pickle, subprocess, sys\nfrom scorenet import PerpetualCommission\n"
        "data = pickle.dumps(PerpetualCommission)\n"
        "again = 'import pickle, sys; print(pickle.loads(sys.stdin.buffer.read()).__name__)'\n"
        "print(subprocess.run([sys.executable, '-c', again], input=data, capture_output=True).stdout.decode())"
    )
    assert python(folder, "-c", code).stdout.split() == ["PerpetualCommission"]


def test_a_script_beside_the_clone_finds_the_package_and_not_the_folder(tmp_path):
    """As installed by the Makefile: without PYTHONPATH, a folder `scorenet` without code hides nothing."""
    (tmp_path / "scorenet").mkdir()
    (tmp_path / "mine.py").write_text("from scorenet import BarsData\nprint(BarsData.__name__)\n")
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "mine.py"],
        cwd=tmp_path,
        env=plain,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "BarsData\n", done.stderr
