"""Damaged and hostile files end a command with one or two lines and exit code 1 or 2, never with a traceback."""

import copy
import json
import logging
import random
import shutil

import pytest
from click.testing import CliRunner

from feeds import FeedError
from runs.check.model import _origin
from runs.cli import errors, main
from runs.folder.figures import check_figures
from runs.folder.manifest import model_entry
from runs.folder.rundir import RunDir
from runs.report.build import write_report
from runs.report.verdict import verdict
from runs.statistics import format_table
from scorenet import CheckpointError, ScoreModel
from scorenet.fingerprint import earlier_fingerprint

VALUES = [
    "text",
    "\x1b[2J",
    -1,
    0,
    1.5,
    True,
    None,
    [],
    {},
    [1],
    [[[]]],
    {"a": {"b": 1}},
    10**30,
    10**400,
    1e308,
    -1e300,
    "9" * 100,
]
BARS = "simulated:planted?seed=6&bars=60"


def scorenet(*words):
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="scorenet")


def places(value, path=()):
    """Yield the path of every value, of lists the first and the last."""
    if path:
        yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list) and value:
        for index in sorted({0, len(value) - 1}):
            yield from places(value[index], (*path, index))


def mutated(content, draw):
    """Return a copy in which one value is another, or is gone."""
    content = copy.deepcopy(content)
    *way, last = draw.choice(list(places(content)))
    target = content
    for key in way:
        target = target[key]
    if isinstance(target, dict) and draw.random() < 0.2:
        del target[last]
    else:
        target[last] = draw.choice(VALUES)
    return content


def explained(result):
    """Return whether the command succeeded or said in one or two lines why not."""
    if result.exit_code == 0:
        return True
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in (1, 2)
    assert result.stderr.startswith("scorenet: ")
    assert len(result.stderr) < 1_000
    assert "\x1b" not in result.stderr
    return 1 <= len(result.stderr.strip().splitlines()) <= 2


@pytest.fixture
def earlier(tiny_model_dir, tmp_path):
    """A folder of the earlier version, in which most changes are not noticed by a checksum."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_model_dir, folder)
    meta, model = json.loads((folder / "model.json").read_text()), ScoreModel.load(folder)
    del meta["digests"]
    meta |= {"format": "scorenet/2", "fingerprint": earlier_fingerprint(model.base, model.modules())}
    (folder / "model.json").write_text(json.dumps(meta))
    return folder


@pytest.fixture(scope="module")
def run_folder(tiny_model_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("hostile") / "run"
    done = scorenet(
        "backtest",
        "--model",
        tiny_model_dir,
        "--bars",
        BARS,
        "--set",
        "confidence_threshold=0.1",
        "--out",
        out,
    )
    assert done.exit_code == 0, done.output
    return out


@pytest.mark.parametrize("seed", range(5))
def test_a_model_folder_with_any_value_changed(earlier, tmp_path, seed):
    draw = random.Random(seed)
    meta = json.loads((earlier / "model.json").read_text())
    (earlier / "model.json").write_text(json.dumps(mutated(meta, draw)))
    assert explained(
        scorenet("backtest", "--model", earlier, "--bars", BARS, "--out", tmp_path / "run", "--json")
    )


def test_a_model_that_loads_can_be_described(earlier):
    original = json.loads((earlier / "model.json").read_text())
    draw = random.Random(0)
    said, loaded = [], 0
    for _ in range(40):
        (earlier / "model.json").write_text(json.dumps(mutated(original, draw)))
        try:
            model = ScoreModel.load(earlier)
        except CheckpointError as error:
            said.append(str(error))
        else:
            loaded += 1
            json.dumps([model_entry(model, earlier), _origin(model)], allow_nan=False)
    assert all(len(text.splitlines()) <= 2 and len(text) < 600 for text in said)
    assert 5 < loaded < 35


def test_figures_that_are_accepted_can_be_shown(run_folder):
    metrics = json.loads((run_folder / "metrics.json").read_text())
    draw = random.Random(0)
    said, shown = [], 0
    for _ in range(300):
        changed = mutated(metrics, draw)
        try:
            check_figures(changed)
        except ValueError as error:
            said.append(str(error))
        else:
            shown += 1
            assert verdict(changed, {"hold": 3})
            assert format_table({"run": changed})
    assert all("expected" in text and len(text) < 200 for text in said)
    assert 50 < shown < 290


@pytest.mark.parametrize("name", ["metrics.json", "manifest.json"])
def test_a_run_folder_with_any_value_changed(run_folder, tmp_path, name):
    draw = random.Random(name)
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(mutated(content, draw)))
    assert explained(scorenet("report", folder))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("metrics.json", '{"total_return": "much"}', "total_return: expected a number or null, found 'much'"),
        ("metrics.json", '{"fees": [1]}', "fees: expected a number or null, found [1]"),
        ("metrics.json", '{"benchmark": 3}', "benchmark: expected a table, found 3"),
        ("metrics.json", '{"benchmark": {"fees": "x"}}', "benchmark.fees: expected a number or null"),
        ("metrics.json", '{"sharpe_ratio": ' + "9" * 400 + "}", "sharpe_ratio: expected a number or null"),
        ("metrics.json", "[" * 100_000, "cannot read"),
        ("manifest.json", "9" * 5_000, "cannot read"),
        ("config.toml", "a = " + "[" * 5_000, "more than 20 levels"),
    ],
)
def test_a_file_of_a_run_that_is_not_what_it_should_be(run_folder, tmp_path, name, text, message):
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    (folder / name).write_text(text)
    result = scorenet("report", folder)
    assert explained(result)
    assert result.exit_code == 1
    assert message in result.stderr


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")],
)
def test_too_little_memory_is_one_line(monkeypatch, error, tmp_path):
    def fail(*_args, **_kwargs):
        raise error

    monkeypatch.setattr("runs.train.learn", fail)
    result = scorenet("train", "--bars", BARS, "--out", tmp_path / "model")
    assert explained(result)
    assert result.exit_code == 1
    assert result.stderr == ("scorenet: out of memory; use fewer bars, a smaller batch or a smaller model\n")


def test_other_errors_are_not_hidden(monkeypatch, tmp_path):
    def fail(*_args, **_kwargs):
        raise RuntimeError("a defect")

    monkeypatch.setattr("runs.train.learn", fail)
    result = scorenet("train", "--bars", BARS, "--out", tmp_path / "model")
    assert isinstance(result.exception, RuntimeError)
    assert not isinstance(result.exception, SystemExit)


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("state.members=64", None),
        ("state.batch_size=1000000000000", "state.batch_size: the model needs about"),
        ("density.points=1000000000000", "density.points: the model needs about"),
    ],
)
def test_a_model_too_large_for_this_machine_is_refused_before_it_is_made(tmp_path, setting, named):
    words = (
        ["--set", setting, "--set", "state.hidden=4096", "--set", "state.blocks=32"] if named is None else []
    )
    result = scorenet(
        "train",
        "--bars",
        BARS,
        "--features",
        "chapter",
        "--set",
        setting,
        *words,
        "--out",
        tmp_path / "model",
    )
    assert explained(result)
    assert result.exit_code == 2
    assert (
        named or "state.hidden, state.blocks, state.members: expected a model of at most"
    ) in result.stderr
    assert not (tmp_path / "model").exists()


def test_escape_sequences_of_an_error_are_shown_and_not_obeyed(monkeypatch, tmp_path):
    def refuse(*_args, **_kwargs):
        raise FeedError("the exchange says: \x1b[2J\x1b]0;owned\x07 bad\rsymbol \u202e")

    monkeypatch.setattr("runs.train.load_markets", refuse)
    result = scorenet("train", "--bars", BARS, "--out", tmp_path / "model")
    assert result.stderr == ("scorenet: the exchange says: \\x1b[2J\\x1b]0;owned\\x07 bad\\rsymbol \\u202e\n")


def test_escape_sequences_of_a_warning_are_shown_and_not_obeyed(capsys):
    errors.show_warnings_safely()
    record = logging.LogRecord("feeds", logging.WARNING, "", 0, "late: %s", ("\x1b[31mred",), None)
    assert logging.lastResort.format(record) == "late: \\x1b[31mred"


def test_text_of_a_page_holds_no_control_characters(run_folder, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["warnings"] = ["the exchange says \x1b[2J \u202e"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    page = write_report(RunDir.open(folder)).read_text("utf-8")
    assert "the exchange says" in page
    assert not {"\x1b", "\u202e"} & set(page)
