"""Model folders: exact round trip, atomic writes, and errors for damaged or hostile files."""

import json
import logging
import os
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
from scorenet.fingerprint import earlier_fingerprint

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


def test_a_model_that_a_kill_has_left_between_two_names_is_found_again(tiny_model, folder):
    folder.rename(
        folder.with_name(".model.previous")
    )  # what `replace_folder` does before the new one takes the name
    assert ScoreModel.load(folder).fingerprint == tiny_model.fingerprint
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


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
            "expected format 'scorenet/3', found 'scorenet/1'; train the model again",
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
        # The flipped bit is in white space, or in a digit beyond the precision of a float64: nothing has changed.
        assert loaded.fingerprint == tiny_model.fingerprint
        assert loaded.info == tiny_model.info
    finally:
        path.write_bytes(original)


def numbers(value, path=()):
    if isinstance(value, dict):
        for key, item in value.items():
            yield from numbers(item, (*path, key))
    elif isinstance(value, list):
        if value:
            yield from numbers(value[len(value) // 2], (*path, len(value) // 2))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path


def test_whatever_number_of_the_metadata_is_changed_the_model_is_refused(folder):
    path = folder / "model.json"
    original = path.read_bytes()
    places = list(numbers(json.loads(original)))
    assert {place[0] for place in places} >= {
        "config",
        "scaler",
        "base",
        "calibration",
        "bar_ms",
        "metrics",
        "log",
    }
    assert len(places) > 60
    for place in places:
        meta = json.loads(original)
        *way, last = place
        target = meta
        for key in way:
            target = target[key]
        value = target[last]
        target[last] = value + 1 if isinstance(value, int) else value + abs(value) * 1e-12 + 1e-300
        path.write_text(json.dumps(meta))
        with pytest.raises(CheckpointError):
            ScoreModel.load(folder)
    path.write_bytes(original)
    ScoreModel.load(folder)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda m: m["scaler"]["mean"].__setitem__(3, m["scaler"]["mean"][3] + 1e-9), "training: scaler;"),
        (lambda m: m["calibration"].update(rows=m["calibration"]["rows"] + 1), "training: calibration;"),
        (lambda m: m["config"]["state"].update(signal_sigma=0.6), "training: config;"),
        (lambda m: m.update(bar_ms=60_000), "training: bar_ms;"),
        (lambda m: m["metrics"].update(dsm_loss=0.0), "training: notes;"),
        (lambda m: m.update(author="somebody"), "training: notes;"),
        (lambda m: m["digests"].update(scaler="0" * 64), "training: scaler;"),
        (lambda m: m["digests"].pop("atoms"), "training: atoms;"),
        (lambda m: m.update(digests=None), "training: atoms, bar_ms, base, calibration;"),
        (lambda m: m.update(fingerprint="0" * 64), "training: fingerprint;"),
    ],
)
def test_the_message_names_the_part_that_was_changed(folder, change, named):
    edit(folder, change)
    with pytest.raises(CheckpointError, match=named):
        ScoreModel.load(folder)


def as_earlier_version(folder):
    def change(meta):
        model = ScoreModel.load(folder)
        del meta["digests"], meta["features"]["kinds"], meta["features"]["volatility_window"]
        meta |= {"format": "scorenet/2", "fingerprint": earlier_fingerprint(model.base, model.modules())}

    edit(folder, change)


def test_a_folder_of_the_earlier_version_loads_with_a_warning_and_can_be_written_again(
    folder, tiny_model, caplog
):
    as_earlier_version(folder)
    with caplog.at_level(logging.WARNING, "scorenet"):
        loaded = ScoreModel.load(folder)
    assert "earlier version" in caplog.text
    assert loaded.fingerprint == tiny_model.fingerprint
    loaded.save(folder)
    caplog.clear()
    assert ScoreModel.load(folder).fingerprint == tiny_model.fingerprint
    assert caplog.text == ""


def test_a_new_folder_cannot_pass_as_one_of_the_earlier_version(folder):
    edit(folder, lambda meta: meta.update(format="scorenet/2"))
    with pytest.raises(CheckpointError, match="do not belong together"):
        ScoreModel.load(folder)


WRONG = ["text", -1, 1.5, True, None, [], {}, [1, 2, 3], [0, 10**300], {"a": "b"}, 10**4000, [["x"]]]
NOTES = ["bar_ms", "symbols", "training_span", "test_span", "log", "metrics", "rows", "seen_until", "refit"]


@pytest.mark.parametrize("key", NOTES)
def test_notes_of_another_type_are_refused_in_every_version(folder, key):
    as_earlier_version(folder)
    path = folder / "model.json"
    original = json.loads(path.read_bytes())
    for value in [wrong for wrong in WRONG if not fits(key, wrong)]:
        path.write_text(json.dumps(original | {key: value}))
        with pytest.raises(CheckpointError, match=f"'{key}': expected") as caught:
            ScoreModel.load(folder)
        assert len(str(caught.value)) < 600


def fits(key, value):
    tables = {"log": ({},), "metrics": ({},), "rows": ({},), "symbols": ([],), "refit": (True,)}
    return any(value is good or (value == good and type(value) is type(good)) for good in tables.get(key, ()))


def test_a_missing_note_that_runs_rely_on_is_refused(folder):
    edit(folder, lambda meta: meta.pop("test_span"))
    with pytest.raises(CheckpointError, match="'test_span' is missing, expected two times"):
        ScoreModel.load(folder)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
@pytest.mark.parametrize("kind", ["link", "device", "pipe", "folder"])
def test_a_file_that_is_not_a_regular_file_is_refused(folder, tmp_path, name, kind):
    path = folder / name
    path.rename(tmp_path / "aside")
    if kind == "link":
        path.symlink_to(tmp_path / "aside")
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(CheckpointError, match=f"cannot read .*{name}: .*(regular file|directory)"):
        ScoreModel.load(folder)


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
