"""A stored backtest is run again from its own config.toml, and `rerun` says whether everything is the same."""

import json
import shutil

import pandas as pd
import pytest
from click.testing import CliRunner

from feeds import simulate, write_bars
from runs.cli import main
from runs.folder.rundir import RunDir
from tests.runs.cli.test_hostile_files import explained

TRADED = "simulated:planted?seed=6&bars=300"


def scorenet(*words):
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="scorenet")


@pytest.fixture(scope="module", autouse=True)
def no_page():
    """The page is tested elsewhere, and takes longer than all the rest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runs.folder.write.write_report", lambda run: None)
        yield


@pytest.fixture(scope="module")
def made(tiny_model_dir, tmp_path_factory):
    """A run of a file with a hole, with settings of its own."""
    work = tmp_path_factory.mktemp("rerun")
    frame = simulate("planted", seed=6, bars=300)
    holed = frame.drop(index=[200]).reset_index(drop=True)
    holed.attrs = dict(frame.attrs)
    write_bars(holed, work / "bars_1h.parquet")
    words = (
        "--gaps",
        "ffill",
        "--set",
        "confidence_threshold=0.1",
        "--set",
        "taker=0.001",
        "--signal",
        "state",
    )
    since = ("--since", str(pd.Timestamp(int(frame["timestamp"].iloc[150]), unit="ms", tz="UTC").date()))
    bars = ("--bars", work / "bars_1h.parquet", "--out", work / "run")
    done = scorenet("backtest", "--model", tiny_model_dir, *bars, *words, *since, "--json")
    assert done.exit_code == 0, done.output
    return work, json.loads(done.stdout), done.stderr


def test_warnings_are_on_stderr_in_json_and_in_the_manifest(made):
    work, printed, stderr = made
    told = json.loads((work / "run/manifest.json").read_text())["warnings"]
    assert printed["warnings"] == told
    assert [line.removeprefix("scorenet: warning: ") for line in stderr.splitlines()] == told
    assert "1 bars of planted-6 are forward-filled." in told
    assert any(
        text.startswith("The model has never seen planted-6. It was trained on planted-5") for text in told
    )


def test_the_config_of_a_run_runs_again_and_gives_the_same(made):
    work, printed, _ = made
    done = scorenet("backtest", "--config", work / "run/config.toml", "--out", work / "again", "--json")
    assert done.exit_code == 0, done.output
    again = json.loads(done.stdout)
    assert again | {"report": ""} == printed | {"report": ""}
    assert (work / "again/config.toml").read_text() == (work / "run/config.toml").read_text()


def test_the_command_line_comes_before_the_config(made):
    work, printed, _ = made
    words = ("--config", work / "run/config.toml", "--gaps", "keep", "--set", "taker=0.002")
    done = scorenet("backtest", *words, "--out", work / "other", "--json")
    assert json.loads(done.stdout)["fees"] > printed["fees"]
    assert not any("forward-filled" in text for text in json.loads(done.stdout)["warnings"])


def test_a_rerun_proves_equality_and_names_what_differs(made, tmp_path):
    work, _, _ = made
    done = scorenet("rerun", work / "run")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("equal: ")
    shutil.copytree(work / "run", tmp_path / "run")
    run = RunDir.open(tmp_path / "run")
    equity = run.read_frame("equity")
    equity.loc[7, "equity"] += 1e-9
    run.write_frame("equity", equity)
    metrics, manifest = run.read_metrics(), run.read_manifest()
    metrics["fees"] += 1.0
    run.write_metrics(metrics)
    manifest["versions"]["numpy"] = "0.1"
    manifest["data"][0]["sha256"] = "0"
    run.write_manifest(manifest)
    done = scorenet("rerun", tmp_path / "run")
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith("NOT EQUAL: 2 differences")
    assert lines[1].startswith("  equity.equity: 1 rows, first row 7: ")
    assert lines[2].startswith("  metrics.json fees: ")
    assert any(line.startswith("made otherwise: the bars of planted-6 are others") for line in lines)
    assert any(line.startswith("made otherwise: numpy is ") for line in lines)
    assert json.loads(scorenet("rerun", tmp_path / "run", "--json").stdout)["equal"] is False


def test_a_folder_cannot_make_the_command_run_a_file(made, tmp_path):
    work, _, _ = made
    shutil.copytree(work / "run", tmp_path / "run")
    run = RunDir.open(tmp_path / "run")
    run.write_manifest(run.read_manifest() | {"plugins": [{"path": "/tmp/evil.py", "sha256": "ab" * 32}]})
    done = scorenet("rerun", tmp_path / "run")
    assert (done.exit_code, explained(done)) == (2, True)
    assert "look at it, then add --plugin with it" in done.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('command = "live"\n', "expected the config.toml of a backtest, found that of 'live'"),
        ("bars = 3\n", "bars: expected a list of sources, found 3"),
        ("model = 3\n", "model: expected a text, found 3"),
        ('command = "backtest"\n', "expected model and bars, found nothing"),
    ],
)
def test_a_config_that_cannot_be_run(made, tmp_path, text, says):
    work, _, _ = made
    shutil.copytree(work / "run", tmp_path / "run")
    (tmp_path / "run/config.toml").write_text(text)
    done = scorenet("rerun", tmp_path / "run")
    assert (done.exit_code, explained(done)) == (2, True)
    assert says in done.stderr
    for missing in ("model", "bars"):
        if f"expected {missing}" in says or "model and bars" in says:
            done = scorenet("backtest", "--config", tmp_path / "run/config.toml")
            assert done.exit_code == 2
            assert "Missing option '--model'" in done.stderr


def test_an_earlier_run_is_kept_unless_force_is_given(made, monkeypatch, tmp_path):
    work, _, _ = made
    monkeypatch.chdir(tmp_path)
    words = ("backtest", "--config", work / "run/config.toml")
    assert scorenet(*words, "--out", "run").exit_code == 0
    first = (tmp_path / "run/manifest.json").read_text()
    second = scorenet(*words, "--out", "run")
    assert second.exit_code == 0
    kept = next(path for path in tmp_path.iterdir() if path.name.startswith("run-2"))
    assert (kept / "manifest.json").read_text() == first
    assert f"the earlier run is kept in {kept}; --force replaces it" in second.stderr
    assert scorenet(*words, "--out", "run", "--force").exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", kept.name]


def test_a_run_without_a_name_is_dated(made, monkeypatch, tmp_path):
    work, _, _ = made
    monkeypatch.chdir(tmp_path)
    done = scorenet("backtest", "--config", work / "run/config.toml", "--json")
    assert done.exit_code == 0, done.output
    assert [path.name[:11] for path in (tmp_path / "out").iterdir()] == ["backtest-20"]
    assert json.loads(done.stdout)["report"].startswith("out/backtest-20")
