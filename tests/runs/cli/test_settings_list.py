"""Lists of settings, completion, colour and progress: what a person sees before a run and during it."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from runs.cli import main
from runs.cli.setting_rows import BACKTEST_UNITS, TRAIN_ROWS
from runs.cli.settings_list import backtest_settings, train_settings
from scorenet.base.terminal import progress
from scorenet.base.terminal.colour import coloured

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("command", "rows", "shown"),
    [
        ("train", train_settings, "forward.horizon           72              bars"),
        ("backtest", backtest_settings, "taker                   0.00055"),
    ],
)
def test_every_setting_has_default_unit_and_meaning(command, rows, shown):
    done = CliRunner().invoke(main, [command, "--list-settings"])
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert len(lines) == len(rows()) + 1
    assert any(line.startswith(shown.split("  ")[0]) for line in lines)
    for row in rows():
        assert all(isinstance(value, str) for value in row.values())
        assert len(row["meaning"]) > 10


def test_the_tables_name_no_setting_that_is_gone():
    assert set(TRAIN_ROWS) == {row["setting"] for row in train_settings()}
    assert set(BACKTEST_UNITS) == {row["setting"] for row in backtest_settings()}
    defaults = {row["setting"]: row["default"] for row in [*train_settings(), *backtest_settings()]}
    assert (defaults["forward.horizon"], defaults["refit"], defaults["regimes"]) == ("72", "false", "[]")
    assert (defaults["taker"], defaults["forecast_window"], defaults["cash"]) == ("0.00055", "none", "10000")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell_calls_the_command(shell):
    done = CliRunner().invoke(main, ["completion", shell], prog_name="scorenet")
    assert done.exit_code == 0
    assert f"_SCORENET_COMPLETE={shell}_complete" in done.stdout


@pytest.mark.parametrize(
    ("words", "typed", "offered"),
    [
        ([], "ba", {"backtest"}),
        (["data"], "", {"list", "check", "import", "export"}),
        (["backtest"], "--sign", {"--signal"}),
        (["backtest", "--set"], "coo", {"cooldown="}),
        (["train", "--set"], "forward.hor", {"forward.horizon=", "forward.horizons="}),
        (["completion"], "z", {"zsh"}),
    ],
)
def test_commands_options_and_settings_are_completed(words, typed, offered):
    found = ShellComplete(main, {}, "scorenet", "_SCORENET_COMPLETE").get_completions(words, typed)
    assert {item.value for item in found} == offered


def test_the_package_is_a_command():
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "_SCORENET_COMPLETE": "bash_complete"}
    environment |= {"COMP_WORDS": "scorenet ba", "COMP_CWORD": "1"}
    told = subprocess.run(
        [sys.executable, "-m", "scorenet"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=True,
    )
    assert told.stdout == "plain,backtest\n"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_colour_is_for_terminals_that_want_it(monkeypatch):
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    assert coloured("x", "red") == "x"
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert coloured("x", "red") == "\x1b[31mx\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert coloured("x", "red") == "x"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert coloured("x", "yellow") == "x"


def test_progress_is_lines_in_a_pipe_and_a_bar_in_a_terminal(monkeypatch):
    pipe, terminal = io.StringIO(), Terminal()
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.0)
    for stream in (pipe, terminal):
        monkeypatch.setattr(sys, "stderr", stream)
        assert list(progress.progress_bar(range(3), name="work", unit="step", shown=True)) == [0, 1, 2]
        assert list(progress.progress_bar(range(3), name="quiet", unit="step", shown=False)) == [0, 1, 2]
    lines = pipe.getvalue().splitlines()
    assert lines[-1].startswith("work: 100 % (3 of 3, 00:00, ")
    assert not any(mark in pipe.getvalue() for mark in ("\r", "quiet", "\x1b"))
    assert terminal.getvalue().startswith("\rwork: ")
    assert "quiet" not in terminal.getvalue()


def test_short_work_prints_no_line(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    list(progress.progress_bar(range(3), name="work", unit="step", shown=True))
    assert stream.getvalue() == ""
