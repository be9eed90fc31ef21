"""`scorenet.train` takes frames, and gives the model of the command."""

import numpy as np
import pandas as pd
import pytest

import scorenet
from feeds import BadBars, load_bars, simulate
from runs.markets import as_market
from scorenet import CheckpointError, ConfigError, ScoreModel, learn

SMALL = {
    "features": "chapter",
    "state": {"hidden": 8, "blocks": 1, "steps": 4, "batch_size": 64, "max_components": 2},
    "density": {"points": 64, "steps": 4, "hidden": 8, "batch_size": 32},
    "forward": {
        "horizon": 2, "hidden": 4, "members": 1, "components": 2, "scale_steps": 4, "steps": 4, "batch_size": 64,
    },
}  # fmt: skip


def bars(seed=1, count=900, symbol=None):
    return simulate("planted", seed=seed, bars=count, symbol=symbol or f"S{seed}/USDT:USDT")


def plain(seed=1):
    """Return a frame as a user has it: an index of times, no attributes, capitalised nothing."""
    frame = bars(seed)
    index = pd.to_datetime(frame["timestamp"], unit="ms", utc=True)
    found = frame[["open", "high", "low", "close", "volume"]].set_index(index)
    found.attrs = {}
    return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("train") / "model"
    return scorenet.train({"BTC": plain(1), "ETH": plain(2)}, SMALL, out=out, progress=False), out


def test_frames_by_symbol_give_the_model_that_arrays_give(trained):
    model, _ = trained
    frames = [bars(1, symbol="BTC"), bars(2, symbol="ETH")]
    frames = [frame.drop(columns=["funding_rate", "open_interest"], errors="ignore") for frame in frames]
    expected = learn([as_market(frame) for frame in frames], model.config, progress=False)
    assert model.fingerprint == expected.fingerprint
    assert model.info["symbols"] == ["BTC", "ETH"]
    assert [series["symbol"] for series in model.info["data"]] == ["BTC", "ETH"]
    assert model.info["timeframe"] == "1h"


def test_the_folder_holds_the_model(trained):
    model, out = trained
    assert ScoreModel.load(out).fingerprint == model.fingerprint


def test_one_frame_of_ours_knows_its_symbol_and_its_gaps():
    frame = load_bars("simulated:planted?seed=1&bars=900")
    cut = frame.drop(index=[400]).reset_index(drop=True)
    cut.attrs = dict(frame.attrs)
    model = scorenet.train(cut, SMALL, progress=False)
    assert model.info["symbols"] == [frame.attrs["symbol"]]
    assert np.isfinite(model.log_density(model.sample(3))).all()


def test_a_frame_without_a_symbol_is_answered_with_the_line(tmp_path):
    with pytest.raises(ConfigError, match=r'name it: scorenet.train\(\{"BTC/USDT:USDT": frame\}\)'):
        scorenet.train(plain(), SMALL, progress=False)


def test_faults_are_found_before_the_training(tmp_path):
    with pytest.raises(BadBars, match="expected a pandas DataFrame of bars, found str"):
        scorenet.train(["bars.csv"], SMALL, progress=False)
    with pytest.raises(ConfigError, match="horizn"):
        scorenet.train(plain(), {"forward": {"horizn": 2}}, progress=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="found the file"):
        scorenet.train(plain(), SMALL, out=tmp_path / "file", progress=False)
