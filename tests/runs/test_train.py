"""Training writes a complete model folder or nothing; wrong arguments fail before the training starts."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from feeds import load_bars, simulate, write_bars
from feeds.bars.frame import data_hash
from runs.cli import main
from runs.markets import LoadOptions
from runs.train import train
from scorenet import CheckpointError, ConfigError, DeadMarket, Diverged, ScoreModel, TooFewBars
from tests.conftest import TINY

SOURCE = "simulated:planted?seed=5&bars=900"
QUIET = LoadOptions(progress=False)
BRIEF = TINY.with_values(
    **{"state.steps": 5, "density.steps": 5, "density.points": 64, "forward.steps": 5, "seed": 3}
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("train") / "deep" / "model"
    sources = [SOURCE, "simulated:regimes?seed=2&bars=700"]
    return out, train(sources, out, BRIEF, LoadOptions(until="2020-02-05", progress=False))


def test_the_folder_holds_the_model_and_where_it_came_from(trained):
    out, summary = trained
    assert {path.name for path in out.iterdir()} == {"model.safetensors", "model.json"}
    assert [path.name for path in out.parent.iterdir()] == ["model"]
    model = ScoreModel.load(out)
    assert model.fingerprint == summary["fingerprint"]
    assert model.config == BRIEF
    info = json.loads((out / "model.json").read_text())
    assert info["symbols"] == summary["symbols"] == ["planted-5", "regimes-2"]
    assert info["timeframe"] == "1h"
    assert info["data"][0]["sha256"] == data_hash(load_bars(SOURCE, until="2020-02-05"))
    assert [series["rows"] for series in info["data"]] == [840, 700]
    assert {"python", "torch", "numpy"} <= set(info["versions"])


def test_the_summary_is_plain_and_complete(trained):
    summary = trained[1]
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert set(summary["rows"]) == {"train", "validation", "test"}
    assert summary["training_span"][0] == "2020-01-01T20:00:00Z"
    assert summary["training_span"][1] < summary["test_span"][0] < summary["test_span"][1] < "2020-02-05"
    assert summary["seconds"] > 0


def test_training_again_replaces_the_model(trained):
    out, summary = trained
    again = train([SOURCE], out, BRIEF.with_values(seed=4), QUIET)
    assert again["fingerprint"] != summary["fingerprint"]
    assert ScoreModel.load(out).fingerprint == again["fingerprint"]
    assert [path.name for path in out.parent.iterdir()] == ["model"]


@pytest.fixture(scope="module")
def dead_market(tmp_path_factory):
    """A file of bars whose price and volume stand still."""
    frame = simulate("planted", seed=5, bars=900, symbol="DEAD").assign(
        open=100.0, high=100.0, low=100.0, close=100.0, volume=0.0
    )
    path = tmp_path_factory.mktemp("dead") / "DEAD_1h.parquet"
    frame.attrs = {"symbol": "DEAD", "timeframe": "1h", "source": "test"}
    write_bars(frame, path)
    return str(path)


def test_the_command_refuses_a_dead_market_in_one_line(dead_market, tmp_path):
    args = ["train", "--bars", dead_market, "--features", "chapter", "--out", str(tmp_path / "model")]
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 1
    assert "leave DEAD out, or train on a span in which it trades (--since, --until)" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("sources", "config", "error", "words"),
    [
        (["simulated:planted?bars=100"], BRIEF, TooFewBars, "need .*, have"),
        ([SOURCE], BRIEF.with_values(features="chapters"), ConfigError, "did you mean 'chapter'"),
        ([SOURCE], BRIEF.with_values(**{"state.learning_rate": 1e30}), Diverged, "loss became"),
        (["dead"], BRIEF, DeadMarket, "DEAD: expected a price that moves, found none"),
    ],
)
def test_a_training_that_fails_writes_nothing(tmp_path, dead_market, sources, config, error, words):
    sources = [dead_market if source == "dead" else source for source in sources]
    with pytest.raises(error, match=words):
        train(sources, tmp_path / "models" / "new", config, QUIET)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def no_learning(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("training began")

    monkeypatch.setattr("runs.train.learn", refuse)


def test_device_and_threads_reach_the_training(monkeypatch, tmp_path):
    class Reached(Exception):
        pass

    def learn(markets, config, *, device, threads, **_):
        raise Reached(device, threads)

    monkeypatch.setattr("runs.train.learn", learn)
    with pytest.raises(Reached) as caught:
        train([SOURCE], tmp_path / "model", BRIEF, QUIET, device="cpu", threads=2)
    assert caught.value.args == ("cpu", 2)


@pytest.mark.usefixtures("no_learning")
def test_a_place_that_cannot_be_written_is_found_before_the_training(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CheckpointError, match="expected --out to name a model folder"):
        train([SOURCE], tmp_path / "file", BRIEF, QUIET)
    with pytest.raises(CheckpointError, match="cannot write the model to"):
        train([SOURCE], tmp_path / "file" / "model", BRIEF, QUIET)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.usefixtures("no_learning")
def test_a_folder_of_something_else_is_found_before_the_training(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(CheckpointError, match="is not a model folder; choose another --out"):
        train([SOURCE], tmp_path, BRIEF, QUIET)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_interrupted_training_leaves_the_earlier_model(trained, monkeypatch):
    out, _ = trained
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("scorenet.learning.nets.fit_forward_net", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train([SOURCE], out, BRIEF, QUIET)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert [path.name for path in out.parent.iterdir()] == ["model"]


def test_a_refit_is_an_option_of_the_command_and_says_what_was_measured_where(tmp_path):
    summary = train([SOURCE], tmp_path / "model", BRIEF.with_values(refit=True), QUIET)
    info = json.loads((tmp_path / "model" / "model.json").read_text())
    assert summary["refit"] is info["refit"] is info["config"]["refit"] is True
    assert summary["training_span"] == ["2020-01-01T20:00:00Z", "2020-02-07T11:00:00Z"]
    assert summary["metrics_from"] == summary["test_span"]
    assert summary["test_span"][1] < summary["training_span"][1]
    assert info["seen_until"] == info["training_span"][1]


def test_warm_start_reaches_the_training_as_a_model(monkeypatch, tmp_path, tiny_model, tiny_model_dir):
    class Reached(Exception):
        pass

    def learn(markets, config, *, warm_start, **_):
        raise Reached(warm_start.fingerprint)

    monkeypatch.setattr("runs.train.learn", learn)
    with pytest.raises(Reached) as caught:
        train([SOURCE], tmp_path / "model", BRIEF, QUIET, warm_start=tiny_model_dir)
    assert caught.value.args == (tiny_model.fingerprint,)
    with pytest.raises(CheckpointError, match="is not a model folder"):
        train([SOURCE], tmp_path / "model", BRIEF, QUIET, warm_start=tmp_path)


@pytest.mark.parametrize(
    ("weekdays", "words", "said"),
    [
        (7, (), ["15.6 years of these bars; --features chapter looks back 20 bars instead of 720"]),
        (
            5,
            ("--features", "chapter"),
            ["from bars in a row, without a missing one", "rests at weekends", "have 5"],
        ),
    ],
)
def test_too_few_daily_bars_say_what_helps(tmp_path, weekdays, words, said):
    """Ten years of daily bars: 720 bars of lookback and embargo need 5,707; five bars in a row give no state at all."""
    frame = simulate("planted", seed=1, bars=3_650, timeframe="1d", start="2007-01-01")  # a Monday
    kept = frame[np.arange(len(frame)) % 7 < weekdays].reset_index(drop=True)
    kept.attrs = dict(frame.attrs)
    write_bars(kept, tmp_path / "stock_1d.parquet")
    bars = ("--bars", str(tmp_path / "stock_1d.parquet"), "--gaps", "keep")
    done = CliRunner().invoke(main, ["train", *bars, *words, "--out", str(tmp_path / "model")])
    assert done.exit_code == 1
    assert all(text in done.stderr for text in said), done.stderr
