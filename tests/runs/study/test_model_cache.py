"""Models of a search are trained once for each configuration, data and start, and found again."""

import shutil
from collections import OrderedDict
from dataclasses import replace

import pytest

from feeds import simulate
from runs.markets import as_market, describe
from runs.study import model_cache
from runs.study.model_cache import ModelCache
from scorenet import CheckpointError, ConfigError
from tests.conftest import TINY


@pytest.fixture
def learned(monkeypatch, tiny_model):
    calls = []

    def learn(markets, config, **options):
        calls.append((config, options))
        return replace(tiny_model, info=tiny_model.info | options["info"])

    monkeypatch.setattr(model_cache, "learn", learn)
    monkeypatch.setattr(model_cache, "_loaded", OrderedDict())
    return calls


def cache(folder, *, seed=1, **options):
    frame = simulate("planted", seed=seed, bars=300)
    return ModelCache(folder, TINY, (as_market(frame),), (describe(frame, "simulated"),), **options)


def test_a_model_is_trained_once_and_found_by_another_process(learned, tmp_path, monkeypatch):
    first = cache(tmp_path)
    assert not first.has({"seed": 3})
    model = first.get({"seed": 3})
    assert first.has({"seed": 3})
    monkeypatch.setattr(model_cache, "_loaded", OrderedDict())  # another process has none in memory
    assert cache(tmp_path).get({"seed": 3}).fingerprint == model.fingerprint
    assert [config.seed for config, _ in learned] == [3]


def _flip(path):
    content = bytearray((path / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (path / "model.safetensors").write_bytes(content)


def _foreign(path):
    other = path.with_name("0" * 24)
    shutil.rmtree(path)
    shutil.copytree(other, path)


def _file(path):
    shutil.rmtree(path)
    path.write_text("notes")


@pytest.mark.parametrize(
    "damage",
    [_flip, _foreign, _file, lambda path: (path / "model.json").unlink()],
    ids=["bit", "foreign", "file", "part"],
)
def test_a_folder_that_is_damaged_or_of_another_model_is_trained_again(
    learned, tmp_path, tiny_model, monkeypatch, caplog, damage
):
    wanted = cache(tmp_path).get({"seed": 3}).fingerprint
    other = replace(tiny_model, info=tiny_model.info | {"cached_as": "0" * 24})
    other.save(tmp_path / ("0" * 24))
    damage(cache(tmp_path).path({"seed": 3}))
    monkeypatch.setattr(model_cache, "_loaded", OrderedDict())
    assert cache(tmp_path).get({"seed": 3}).fingerprint == wanted
    assert len(learned) == 2
    assert "is trained again" in caplog.text
    monkeypatch.setattr(model_cache, "_loaded", OrderedDict())
    cache(tmp_path).get({"seed": 3})
    assert len(learned) == 2


def test_a_folder_that_cannot_be_written_is_one_line(learned, tmp_path):
    (tmp_path / "models").write_text("a file")
    with pytest.raises(CheckpointError, match=r"cannot keep models in .*; free the disk"):
        cache(tmp_path / "models").get({})
    assert not learned


def test_settings_bars_and_start_name_different_models(tmp_path, tiny_model):
    plain, other = cache(tmp_path), replace(tiny_model, config=TINY.with_values(seed=9))
    places = [
        plain.path({}),
        plain.path({"seed": 3}),
        plain.path({"forward.steps": 61}),
        cache(tmp_path, seed=2).path({}),
        cache(tmp_path, warm_start=tiny_model).path({}),
        cache(tmp_path, warm_start=other).path({}),
    ]
    assert len(set(places)) == len(places)
    assert cache(tmp_path).path({}) == places[0]
    # They change a model by rounding only.
    assert cache(tmp_path, device="cpu", threads=2).path({}) == places[0]


def test_device_threads_and_start_reach_the_training(learned, tmp_path, tiny_model):
    cache(tmp_path, device="cpu", threads=2, warm_start=tiny_model).get({})
    _, options = learned[0]
    assert (options["device"], options["threads"], options["warm_start"]) == ("cpu", 2, tiny_model)


def test_impossible_settings_are_refused_before_training(learned, tmp_path):
    with pytest.raises(ConfigError, match=r"state\.steps"):
        cache(tmp_path).get({"state.steps": 0})
    assert not learned
