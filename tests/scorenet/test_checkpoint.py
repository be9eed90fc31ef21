"""Model folders: exact round trip, atomic writes, and errors for damaged or hostile files."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from feeds import simulate, to_arrays
from scorenet import CheckpointError, ScoreModel

ONE_FEATURE = {"weights": [1.0], "means": [[0.0]], "covariances": [[[1.0]]]}


@pytest.fixture
def folder(tiny_model_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model_dir, tmp_path / "model"))


def edit(folder: Path, change) -> None:
    path = folder / "model.json"
    meta = json.loads(path.read_text())
    change(meta)
    path.write_text(json.dumps(meta))


def test_a_loaded_model_says_the_same_bit_for_bit(tiny_model, folder):
    again = ScoreModel.load(folder)
    bars = to_arrays(simulate("regimes", seed=2, bars=400))
    for signal in ("forward", "state"):
        for a, b in zip(tiny_model.evaluate(bars, signal), again.evaluate(bars, signal), strict=True):
            assert np.array_equal(a, b, equal_nan=True)
    assert again.fingerprint == tiny_model.fingerprint
    assert again.config == tiny_model.config
    assert again.info == tiny_model.info


def test_saving_replaces_a_model_and_leaves_nothing_else(tiny_model, folder):
    tiny_model.save(folder)
    assert sorted(p.name for p in folder.iterdir()) == ["model.json", "model.safetensors"]
    assert [p.name for p in folder.parent.iterdir()] == ["model"]


def test_saving_refuses_a_folder_of_something_else(tiny_model, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(CheckpointError, match="not a model folder"):
        tiny_model.save(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_missing_folder_says_what_to_do(tmp_path):
    with pytest.raises(CheckpointError, match="scorenet train"):
        ScoreModel.load(tmp_path / "nothing")


class Payload:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return (Path.touch, (self.canary,))


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_pickle_in_disguise_is_not_run(folder, tmp_path, name):
    canary = tmp_path / "canary"
    (folder / name).write_bytes(pickle.dumps(Payload(canary)))
    with pytest.raises(CheckpointError):
        ScoreModel.load(folder)
    assert not canary.exists()


def test_a_pickled_checkpoint_is_refused_by_name(tmp_path):
    with pytest.raises(CheckpointError, match="can run code"):
        ScoreModel.load(tmp_path / "model.pt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda m: m.update(format="scorenet/1"),
            "expected format 'scorenet/2', found 'scorenet/1'; train the model again",
        ),
        (lambda m: m.pop("scaler"), "damaged"),
        (lambda m: m["regimes"].pop("modes"), "damaged"),
        (lambda m: m["regimes"].__setitem__("states", [[0.0]]), "regimes do not have 10 features"),
        (lambda m: m["config"]["state"].update(hidden=10**9), "state.hidden"),
        (lambda m: m["config"]["state"].update(blocks=2), "tensors do not fit"),
        (lambda m: m["config"]["density"].update(hidden="wide"), "expected int"),
        (lambda m: m["features"]["names"].append("alpha"), "alpha"),
        (lambda m: m["features"]["names"].append("rsi"), "do not fit"),
        (lambda m: m["features"].update(lookback=5), "do not fit"),
        (lambda m: m["features"].update(set="best"), "expected one of chapter, extended"),
        (lambda m: m["scaler"]["std"].__setitem__(0, 0.0), "non-finite"),
        (lambda m: m["scaler"]["mean"].pop(), "do not have 10 features"),
        (lambda m: m["base"]["means"].__setitem__(0, None), "damaged"),
        (lambda m: m["base"]["weights"].append(0.5), "weights"),
        (lambda m: m["base"]["weights"].__setitem__(0, -1.0), "positive weights"),
        (lambda m: m["base"]["covariances"][0][0].__setitem__(0, -1.0), "negative eigenvalues"),
        (lambda m: m["base"].pop("covariances"), "damaged"),
        (lambda m: [row.pop() for row in m["base"]["means"]], r"covariances \[K, d, d\]"),
        (lambda m: m.update(base=m["base"] | ONE_FEATURE), "do not have 10 features"),
        (lambda m: m["base"]["means"][0].__setitem__(0, 7.0), "do not belong together"),
        (lambda m: m["calibration"].update(log_density=[]), "empty"),
        (lambda m: m["calibration"]["magnitude"].pop("state"), "incomplete"),
        (lambda m: m.update(fingerprint="0" * 64), "do not belong together"),
    ],
)
def test_an_edited_model_is_refused_with_the_reason(folder, change, message):
    edit(folder, change)
    with pytest.raises(CheckpointError, match=message):
        ScoreModel.load(folder)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_weights_are_refused(folder, value):
    tensors = load((folder / "model.safetensors").read_bytes())
    name = sorted(tensors)[0]
    tensors[name] = np.full_like(tensors[name], value)
    (folder / "model.safetensors").write_bytes(save(tensors))
    with pytest.raises(CheckpointError, match="finite"):
        ScoreModel.load(folder)


def test_changed_weights_are_noticed(folder):
    tensors = load((folder / "model.safetensors").read_bytes())
    tensors["state.network.leave.bias"] = tensors["state.network.leave.bias"] + 1
    (folder / "model.safetensors").write_bytes(save(tensors))
    with pytest.raises(CheckpointError, match="do not belong together"):
        ScoreModel.load(folder)


def test_an_oversized_file_is_not_read(folder):
    with (folder / "model.json").open("ab") as handle:
        handle.truncate((16 << 20) + 1)
    with pytest.raises(CheckpointError, match="more than a model of this version can have"):
        ScoreModel.load(folder)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["model.json", "model.safetensors"]), st.floats(0, 1), st.integers(1, 255), st.booleans()
)
def test_a_flipped_byte_or_a_cut_never_gets_past_unnoticed(folder, tiny_model, name, where, mask, cut):
    path = folder / name
    original = path.read_bytes()
    at = min(int(where * len(original)), len(original) - 1)
    data = bytearray(original)
    data[at] ^= mask
    path.write_bytes(bytes(original[:at]) if cut else bytes(data))
    try:
        loaded = ScoreModel.load(folder)
    except CheckpointError:
        pass
    else:
        # A bit flip inside a number of the log or a table still gives a readable model; its weights must be unchanged.
        assert name == "model.json"
        assert loaded.fingerprint == tiny_model.fingerprint
    finally:
        path.write_bytes(original)


def test_an_unwritable_folder_is_one_clear_error(tiny_model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot write the model"):
        tiny_model.save(tmp_path / "file" / "model")


def test_a_model_travels_to_another_process_as_its_files(tiny_model):
    again = pickle.loads(pickle.dumps(tiny_model))  # noqa: S301 - what multiprocessing does
    assert again.fingerprint == tiny_model.fingerprint
    assert again.info == tiny_model.info
    states = np.abs(np.random.default_rng(0).normal(size=(5, 10))) * 0.01
    assert np.array_equal(again.log_density(states), tiny_model.log_density(states))
