"""The `scorenet` command: output, exit codes, messages, and no partial files after an interruption."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from feeds import simulate, write_bars
from runs.cli import main
from scorenet import ScoreModel
from tests.conftest import TINY

ROOT = Path(__file__).parents[3]
COMMANDS = (
    (),
    ("completion",),
    ("fetch",),
    ("data",),
    ("data", "list"),
    ("data", "check"),
    ("data", "import"),
    ("data", "export"),
    ("train",),
    ("backtest",),
    ("optimize",),
    ("walkforward",),
    ("rerun",),
    ("report",),
    ("live",),
    ("status",),
    ("lookahead",),
    ("check-model",),
    ("demo",),
)
BRIEF = """
features = "chapter"
[state]
hidden = 16
blocks = 1
steps = 10
[density]
points = 64
hidden = 16
steps = 10
[forward]
horizon = 4
hidden = 16
members = 2
components = 2
scale_steps = 20
steps = 10
"""
BARS = "simulated:planted?seed=5&bars=900"
TRADED = "simulated:planted?seed=6&bars=400&start=2021-01-01"


def scorenet(*words):
    """Run a command in this process."""
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="scorenet")


def shell(code, *words, cwd):
    """Start a command in a new process; `code` runs before it."""
    program = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n{code}\n"
    program += "from runs.cli import main\nmain(prog_name='scorenet')"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, words)],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "brief.toml").write_text(BRIEF)
    return tmp_path


@pytest.fixture
def model(work, tiny_model_dir):
    shutil.copytree(tiny_model_dir, work / "model")
    return work / "model"


# Help ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(command):
    result = scorenet(*command, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: {' '.join(('scorenet', *command))} ")
    described = " ".join(result.stdout.partition("\n")[2].partition("Options:")[0].split())
    assert described.endswith("."), described
    assert not result.stderr


def test_the_list_of_commands_is_complete():
    assert set(main.commands) == {command[0] for command in COMMANDS if command}
    assert set(main.commands["data"].commands) == {command[1] for command in COMMANDS if len(command) == 2}


def test_the_version_is_that_of_the_package():
    import scorenet as package

    result = scorenet("--version")
    assert result.exit_code == 0
    assert package.__version__ in result.stdout


# The path from bars to a proof, in processes of their own -------------------------------------------------------


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """Run train, backtest, report and lookahead; return the folder and the output of each."""
    work = tmp_path_factory.mktemp("pipeline")
    (work / "brief.toml").write_text(BRIEF)
    said = {}
    run = (
        "--model",
        "models/brief",
        "--bars",
        TRADED,
        "--set",
        "confidence_threshold=0.1",
        "--set",
        "cooldown=0",
    )
    for name, words in {
        "train": (
            "train",
            "--bars",
            BARS,
            "--config",
            "brief.toml",
            "--out",
            "models/brief",
            "--json",
            "--quiet",
        ),
        "backtest": (
            "backtest",
            *run,
            "--since",
            "2021-01-03",
            "--signal",
            "state",
            "--out",
            "out/run",
            "--json",
        ),
        "report": ("report", "out/run"),
        "lookahead": ("lookahead", *run, "--cuts", "3", "--json"),
    }.items():
        if name == "report":
            (work / "out/run/report.html").unlink()
        said[name] = finish(shell("", *words, cwd=work))
    return work, said


def test_every_step_succeeds_with_nothing_but_warnings_on_stderr(pipeline):
    for name, (code, _, err) in pipeline[1].items():
        assert (name, code) == (name, 0)
        assert all(line.startswith("scorenet: warning: ") for line in err.splitlines()), err


@pytest.mark.parametrize("name", ["train", "backtest", "lookahead"])
def test_json_is_one_object_and_nothing_else(pipeline, name):
    out = pipeline[1][name][1]
    assert out.count("\n") == 1
    assert isinstance(json.loads(out), dict)


def test_what_is_printed_is_what_is_stored(pipeline):
    work, said = pipeline
    printed = json.loads(said["backtest"][1])
    assert printed.pop("report") == "out/run/report.html"
    assert printed.pop("warnings") == json.loads((work / "out/run/manifest.json").read_text())["warnings"]
    assert printed == json.loads((work / "out/run/metrics.json").read_text())
    trained = json.loads(said["train"][1])
    assert ScoreModel.load(work / "models/brief").fingerprint == trained["fingerprint"]


def test_the_manifest_keeps_the_command_as_typed(pipeline):
    manifest = json.loads((pipeline[0] / "out/run/manifest.json").read_text())
    assert manifest["command"].startswith("scorenet backtest --model models/brief --bars 'simulated:planted?")
    assert manifest["config"]["strategy"]["signal"] == "state"
    assert manifest["config"]["since"] == "2021-01-03"


def test_the_report_is_written_again_from_the_files(pipeline):
    work, said = pipeline
    path = said["report"][1].split()[-1]
    assert said["report"][1].startswith("report ")
    assert Path(path).samefile(work / "out/run/report.html")


def test_the_proof_counts_what_it_compared(pipeline):
    found = json.loads(pipeline[1]["lookahead"][1])
    assert (found["clean"], found["cuts"], found["bars"]) == (True, 3, 400)
    assert found["values"] > 1000


def test_only_what_was_asked_for_is_there(pipeline):
    top = {path.name for path in pipeline[0].iterdir()}
    assert top == {"brief.toml", "models", "out"}
    assert [path.name for path in (pipeline[0] / "models").iterdir()] == ["brief"]
    assert [path.name for path in (pipeline[0] / "out").iterdir()] == ["run"]


# In this process: tables, progress, data ------------------------------------------------------------------------


def test_a_backtest_prints_its_figures_beside_buy_and_hold(model, work):
    result = scorenet("backtest", "--model", model, "--bars", TRADED, "--out", work / "run")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split("  ")[-1].strip() == "buy & hold"
    assert any(line.startswith("Sharpe") for line in lines)
    assert lines[-1] == f"report  {work / 'run' / 'report.html'}"


def test_progress_goes_to_stderr_alone(work, monkeypatch):
    monkeypatch.setattr("scorenet.base.terminal.progress.EVERY_SECONDS", 0.0)
    words = ("train", "--bars", BARS, "--config", "brief.toml", "--out", "m", "--json")
    loud, quiet = scorenet(*words), scorenet(*words, "--quiet")
    assert loud.exit_code == quiet.exit_code == 0
    assert "state density: 10 % (1 of 10, " in loud.stderr
    assert "\r" not in loud.stderr
    assert quiet.stderr == ""
    assert isinstance(json.loads(loud.stdout), dict)


def test_data_goes_in_is_listed_checked_and_comes_out(work):
    write_bars(simulate("regimes", bars=50), work / "in.csv")
    symbol = ("--symbol", "BTC/USDT:USDT", "--timeframe", "1h")
    assert "no series in data" in scorenet("data", "list").stdout
    done = scorenet("data", "import", "in.csv", *symbol, "--json")
    assert json.loads(done.stdout)["rows"] == 50
    listed = scorenet("data", "list", "--json")
    assert {row["kind"] for row in json.loads(listed.stdout)["series"]} == {
        "1h",
        "funding",
        "open_interest_1h",
    }
    assert "BTC/USDT:USDT" in scorenet("data", "list").stdout
    source = "bybit:BTC/USDT:USDT@1h"
    checked = scorenet("data", "check", source, "--offline", "--json")
    assert json.loads(checked.stdout)["missing_bars"] == 0
    assert scorenet("data", "export", source, "out.parquet", "--offline").exit_code == 0
    assert (
        json.loads(scorenet("data", "check", "out.parquet", "--json").stdout)["sha256"]
        == (json.loads(checked.stdout)["sha256"])
    )


def test_a_look_ahead_makes_the_proof_fail(model, monkeypatch):
    from strategies import MarketScore, traded_symbol

    class Peek(MarketScore):
        def once(self, start, end):
            super().once(start, end)
            if end == self.data.buflen():
                signal = np.frombuffer(self.lines.signal.array)
                signal[20:-1] = signal[21:]

    monkeypatch.setattr(traded_symbol, "MarketScore", Peek)
    words = ("lookahead", "--model", model, "--bars", TRADED, "--cuts", "2")
    result = scorenet(*words)
    assert result.exit_code == 1
    assert result.stdout.startswith("LOOK-AHEAD in 2 of 2 cuts")
    assert "'column': 'signal'" in result.stdout
    assert json.loads(scorenet(*words, "--json").stdout)["clean"] is False


def test_the_demo_trains_trades_and_reports(work, monkeypatch):
    monkeypatch.setattr("runs.demo.SOURCE", "simulated:planted?seed=1&bars=1500")
    monkeypatch.setattr("runs.demo._TRADED", 300)
    monkeypatch.setattr(
        "runs.demo.ModelConfig", lambda: TINY.with_values(**{"state.steps": 5, "forward.steps": 5})
    )
    result = scorenet("demo")
    assert result.exit_code == 0, result.stderr
    assert "buy & hold" in result.stdout
    assert (work / "out/demo/report.html").is_file()
    assert (work / "models/demo/model.json").is_file()
    metrics = json.loads((work / "out/demo/metrics.json").read_text())
    assert metrics["bars"] == 300
    warnings = json.loads((work / "out/demo/manifest.json").read_text())["warnings"]
    assert not any("overlaps" in warning for warning in warnings)


# Mistakes -----------------------------------------------------------------------------------------------------


def train(*words):
    return ("train", "--config", "brief.toml", "--out", "new/model", *words)


def trade(*words, model="model", out="new/run"):
    return ("backtest", "--model", model, "--out", out, *words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("backtst", "--model", "m"), "No such command 'backtst'; did you mean 'backtest'?"),
        (("data", "lst"), "No such command 'lst'; did you mean 'list'?"),
        (("xyzzy",), "No such command 'xyzzy'"),
    ],
)
def test_an_unknown_command_is_answered_with_the_nearest(words, message):
    done = CliRunner().invoke(main, words)
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (2, f"Error: {message}")


@pytest.mark.parametrize(
    "words",
    [
        ("train", "--out", "m"),
        ("train", "--bars", BARS),
        ("backtest", "--model", "m", "--bars", BARS, "--out", "r", "--gaps", "fill"),
        ("lookahead", "--model", "m", "--bars", BARS, "--cuts", "0"),
        ("trian",),
        ("data", "delete"),
    ],
    ids=" ".join,
)
def test_a_wrong_option_is_usage(work, words):
    result = scorenet(*words)
    assert result.exit_code == 2
    assert "Error: " in result.stderr
    assert result.stdout == ""
    assert tree(work) == ["brief.toml"]


def test_an_unknown_signal_is_usage_and_the_known_ones_are_listed(work):
    result = scorenet("backtest", "--model", "m", "--bars", BARS, "--out", "r", "--signal", "foward")
    assert result.exit_code == 2
    assert result.stderr == (
        "scorenet: signal: expected one of forward, state; found 'foward'; did you mean 'forward'?\n"
    )
    assert tree(work) == ["brief.toml"]


def test_debug_shows_the_traceback(work):
    result = scorenet("--debug", "train", "--bars", "gone.parquet", "--out", "m")
    assert type(result.exception).__name__ == "MissingData"


def test_a_real_process_says_it_the_same_way(tmp_path):
    code, out, err = finish(shell("", "data", "check", "gone.csv", cwd=tmp_path))
    assert (code, out) == (1, "")
    assert err.startswith("scorenet: there is no file gone.csv")
    assert "Traceback" not in err


# Interruptions ------------------------------------------------------------------------------------------------

MARK_TRAINING = """
import pathlib, scorenet.score.fit as learning
fit = learning.fit
def marked(*arguments, **options):
    pathlib.Path("begun").touch()
    return fit(*arguments, **options)
learning.fit = marked
"""
MARK_TRADING = """
import pathlib
from strategies import ScoreStrategy
step = ScoreStrategy.next
def marked(self):
    if len(self) == 2000:
        pathlib.Path("begun").touch()
    step(self)
ScoreStrategy.next = marked
"""


def interrupt(process, begun):
    while not begun.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    return finish(process)


def test_an_interrupted_training_leaves_nothing(work):
    long = ("--set", "state.steps=100000000")
    process = shell(MARK_TRAINING, *train("--bars", BARS, *long), cwd=work)
    code, out, err = interrupt(process, work / "begun")
    assert (code, out) == (130, "")
    assert err == "scorenet: interrupted; finished files are kept, partial files are removed\n"
    assert tree(work) == ["begun", "brief.toml"]


def test_an_interrupted_backtest_leaves_the_earlier_run_and_nothing_else(model, work):
    assert scorenet(*trade("--bars", TRADED, out="run")).exit_code == 0
    before = {path.name: path.read_bytes() for path in (work / "run").iterdir()}
    names = tree(work)
    process = shell(MARK_TRADING, *trade("--bars", "simulated:planted?bars=100000", out="run"), cwd=work)
    code, out, err = interrupt(process, work / "begun")
    assert (code, out) == (130, "")
    assert err.splitlines()[-1] == "scorenet: interrupted; finished files are kept, partial files are removed"
    assert all(line.startswith("scorenet: warning: ") for line in err.splitlines()[:-1])
    assert tree(work) == sorted([*names, "begun"])
    assert {path.name: path.read_bytes() for path in (work / "run").iterdir()} == before
