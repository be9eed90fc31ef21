"""Errors of files and of their names are one line; tracebacks are for defects."""

import errno

import pytest
from click.testing import CliRunner

from runs.cli import main

BARS = "simulated:planted?seed=1&bars=300"


def scorenet(*words):
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="scorenet")


def explained(result):
    return isinstance(result.exception, SystemExit) and 1 <= len(result.stderr.splitlines()) <= 2


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied", "/data/x"), "/data/x: Permission denied"),
    ],
)
def test_an_error_of_a_file_is_one_line(monkeypatch, error, message, tmp_path):
    def fail(*_args, **_kwargs):
        raise error

    monkeypatch.setattr("runs.train.learn", fail)
    result = scorenet("train", "--bars", BARS, "--out", tmp_path / "model")
    assert (result.exit_code, result.stderr) == (1, f"scorenet: {message}\n")


@pytest.mark.parametrize(
    "words", [("report",), ("rerun",), ("status",), ("check-model",), ("train", "--plugin")]
)
def test_a_name_that_no_file_can_have_is_one_line(words):
    name = "a" * 300 + (".py" if "--plugin" in words else "")
    result = scorenet(*words, name)
    assert explained(result)
    assert result.exit_code in (1, 2)
    assert "File name too long" in result.stderr


def test_a_folder_whose_name_is_not_utf_8_is_one_line(tiny_model_dir, tmp_path):
    out = tmp_path / "out\udcff"
    result = scorenet("backtest", "--model", tiny_model_dir, "--bars", BARS, "--out", out)
    assert (type(result.exception), result.exit_code) == (SystemExit, 1)
    said = result.stderr.splitlines()[-1]
    assert "out\\udcff" in said
    assert "expected a file name in UTF-8" in said


@pytest.mark.parametrize("key", ["model", "data_dir", "since"])
def test_a_settings_file_with_a_nul_character_is_one_line(tmp_path, key):
    (tmp_path / "config.toml").write_text(f'{key} = "a\\u0000b"\nbars = ["{BARS}"]\n')
    result = scorenet("backtest", "--config", tmp_path / "config.toml", "--out", tmp_path / "run")
    assert explained(result)
    assert result.exit_code == 2
    assert f"{key}: expected a text without NUL" in result.stderr
