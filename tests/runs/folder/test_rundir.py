"""Run folders: atomic, never over other files, with errors that say what to do."""

import errno
import json
import os
import tomllib

import numpy as np
import pandas as pd
import pytest

from runs.folder.frames import SCHEMAS, empty_frame
from runs.folder.rundir import (
    CorruptRun,
    NotARunDir,
    RunDir,
    RunDirError,
    RunDirMissing,
    UnwritableRun,
    manifest,
)
from tests.runs.synthetic_run import make_run

MADE = manifest(["scorenet", "backtest", "--out", "a b"], {"seed": 1}, [], None, 1)


def fill(run, total=0.5):
    run.write_metrics({"total_return": total})
    run.write_manifest(MADE)


def write(path, total=0.5, failure=None):
    with RunDir.create(path) as run:
        fill(run, total)
        if failure is not None:
            raise failure


def left(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_a_run_reads_back_as_it_was_written(tmp_path):
    made = make_run(bars=60)
    run = RunDir.open(made.write(tmp_path / "run"))
    for name, table in made.tables.items():
        pd.testing.assert_frame_equal(run.read_frame(name), table)
        assert list(table.columns) == list(SCHEMAS[name])
    assert run.read_metrics() == made.metrics
    assert run.read_manifest() == made.manifest
    assert run.read_config() == made.config
    assert left(tmp_path) == ["run"]


def test_empty_tables_keep_their_types(tmp_path):
    with RunDir.create(tmp_path / "run") as run:
        fill(run)
        for name in SCHEMAS:
            run.write_frame(name, empty_frame(name))
    for name in SCHEMAS:
        table = RunDir.open(tmp_path / "run").read_frame(name)
        assert len(table) == 0
        assert dict(table.dtypes) == dict(empty_frame(name).dtypes)


@pytest.mark.parametrize("failure", [ValueError("broken"), KeyboardInterrupt()])
def test_a_failed_run_leaves_nothing(tmp_path, failure):
    with pytest.raises(type(failure)):
        write(tmp_path / "deep" / "run", failure=failure)
    assert left(tmp_path / "deep") == []


def test_a_failed_run_leaves_the_earlier_one(tmp_path):
    write(tmp_path / "run", 0.5)
    with pytest.raises(ValueError, match="broken"):
        write(tmp_path / "run", 0.9, failure=ValueError("broken"))
    assert RunDir.open(tmp_path / "run").read_metrics() == {"total_return": 0.5}
    assert left(tmp_path) == ["run"]


def test_an_incomplete_run_is_not_published(tmp_path):
    with pytest.raises(RunDirMissing, match=r"no manifest\.json"), RunDir.create(tmp_path / "run") as run:
        run.write_metrics({})
    assert left(tmp_path) == []


def test_an_earlier_run_is_replaced_in_whole(tmp_path):
    with RunDir.create(tmp_path / "run") as run:
        fill(run)
        run.write_frame("trials", pd.DataFrame({"trial": [1]}))
    write(tmp_path / "run", 0.9)
    assert left(tmp_path / "run") == ["manifest.json", "metrics.json"]
    assert RunDir.open(tmp_path / "run").read_metrics() == {"total_return": 0.9}
    assert left(tmp_path) == ["run"]


def test_an_empty_folder_may_be_filled(tmp_path):
    (tmp_path / "run").mkdir()
    write(tmp_path / "run")
    assert left(tmp_path / "run") == ["manifest.json", "metrics.json"]


def test_a_rename_that_fails_brings_the_earlier_run_back(tmp_path, monkeypatch):
    write(tmp_path / "run", 0.5)
    rename = type(tmp_path).rename

    def refuse(self, target):
        if self.name.endswith(".partial"):
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(type(tmp_path), "rename", refuse)
    with pytest.raises(UnwritableRun, match="Input/output error"):
        write(tmp_path / "run", 0.9)
    assert RunDir.open(tmp_path / "run").read_metrics() == {"total_return": 0.5}
    assert left(tmp_path) == ["run"]


def test_a_process_killed_between_the_renames_loses_nothing(tmp_path):
    write(tmp_path / "run", 0.5)
    (tmp_path / "run").rename(tmp_path / ".run.previous")
    assert RunDir.open(tmp_path / "run").read_metrics() == {"total_return": 0.5}


@pytest.mark.parametrize("name", ["notes.txt", "metrics.json"])
def test_a_folder_that_no_run_wrote_is_left_alone(tmp_path, name):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text("mine")
    with pytest.raises(NotARunDir, match="not a run folder"):
        write(tmp_path / "mine")
    assert left(tmp_path / "mine") == [name]


def test_notes_in_a_run_folder_are_not_deleted(tmp_path):
    write(tmp_path / "run")
    (tmp_path / "run" / "notes.txt").write_text("keep me")
    with pytest.raises(NotARunDir, match=r"notes\.txt"):
        write(tmp_path / "run")
    assert (tmp_path / "run" / "notes.txt").read_text() == "keep me"


def test_a_file_is_not_replaced_by_a_folder(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(NotARunDir, match="is a file"):
        write(tmp_path / "run")
    with pytest.raises(NotARunDir, match="is a file"):
        RunDir.open(tmp_path / "run")


def test_an_unwritable_place_is_named_before_any_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnwritableRun, match="choose another --out"), RunDir.create(tmp_path / "file" / "run"):
        pytest.fail("the block must not be entered")


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    write(tmp_path / "run", 0.5)
    run = RunDir.open(tmp_path / "run")

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    for attempt in (
        lambda: run.write_metrics({"total_return": 0.9}),
        lambda: run.write_report("<html>"),
        lambda: run.write_frame("equity", empty_frame("equity")),
    ):
        with pytest.raises(UnwritableRun, match="No space left"):
            attempt()
    assert run.read_metrics() == {"total_return": 0.5}
    assert left(tmp_path / "run") == ["manifest.json", "metrics.json"]


def test_missing_folders_and_files_are_named(tmp_path):
    with pytest.raises(RunDirMissing, match="no run folder at"):
        RunDir.open(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotARunDir, match=r"no manifest\.json and no metrics\.json"):
        RunDir.open(tmp_path / "empty")
    write(tmp_path / "run")
    with pytest.raises(RunDirMissing, match=r"no equity\.parquet"):
        RunDir.open(tmp_path / "run").read_frame("equity")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1, 2]", b'{"a": NaN}', b"\xff\xfe", b"[" * 100_000, b'"text"'], ids=range(7)
)
def test_corrupt_json_is_one_line(tmp_path, content):
    write(tmp_path / "run")
    (tmp_path / "run" / "metrics.json").write_bytes(content)
    with pytest.raises(CorruptRun) as caught:
        RunDir.open(tmp_path / "run").read_metrics()
    assert "metrics.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_corrupt_tables_are_one_line(tmp_path):
    path = make_run(bars=40).write(tmp_path / "run")
    whole = (path / "equity.parquet").read_bytes()
    foreign = tmp_path / "foreign.parquet"
    pd.DataFrame({"time": [1], "equity": [2.0]}).to_parquet(foreign)
    for content in (b"", b"PAR1", whole[: len(whole) // 2], b"\0" * 200, foreign.read_bytes()):
        (path / "equity.parquet").write_bytes(content)
        with pytest.raises(CorruptRun) as caught:
            RunDir.open(path).read_frame("equity")
        assert "equity.parquet" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_undefined_figures_become_null(tmp_path):
    with RunDir.create(tmp_path / "run") as run:
        fill(run)
        run.write_metrics(
            {"a": np.nan, "b": [np.inf, np.float64(1.5)], "c": {"d": np.int64(2), "e": tmp_path}}
        )
    content = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert content == {"a": None, "b": [None, 1.5], "c": {"d": 2, "e": str(tmp_path)}}


def test_bare_integers_are_not_taken_for_times(tmp_path):
    frame = pd.DataFrame({column: [1.0] for column in SCHEMAS["equity"]})
    with RunDir.create(tmp_path / "run") as run:
        fill(run)
        with pytest.raises(ValueError, match="expected datetimes"):
            run.write_frame("equity", frame)
        with pytest.raises(ValueError, match="lacks the column"):
            run.write_frame("equity", frame.drop(columns="cash"))


def test_the_manifest_names_what_made_the_run():
    assert MADE["command"] == "scorenet backtest --out 'a b'"
    keys = ["command", "created", "seed", "versions", "data", "model", "plugins", "config", "warnings"]
    assert list(MADE) == keys
    assert set(MADE["versions"]) == {"python", "scorenet", "torch", "numpy", "pandas", "backtrader"}
    assert MADE["versions"]["numpy"] == np.__version__
    assert pd.Timestamp(MADE["created"]).tzinfo is not None


def test_config_is_toml(tmp_path):
    with RunDir.create(tmp_path / "run") as run:
        fill(run)
        run.write_config({"signal": "forward", "sizing": {"max_exposure": 1.0}})
    with (tmp_path / "run" / "config.toml").open("rb") as file:
        assert tomllib.load(file) == {"signal": "forward", "sizing": {"max_exposure": 1.0}}


def test_one_family_of_errors():
    for error in (RunDirMissing, NotARunDir, CorruptRun, UnwritableRun):
        assert issubclass(error, RunDirError)
