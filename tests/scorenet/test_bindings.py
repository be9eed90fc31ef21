"""A model is bound to its user's code: names and source hashes are saved with it, and loading runs no code."""

import json
import pickle

import numpy as np
import pytest

from feeds import simulate, to_arrays
from runs.markets import as_market
from runs.plugins import load_plugin
from scorenet import CheckpointError, ConfigError, ScoreModel, learn
from scorenet.base.sources import source_hash
from scorenet.bindings import bindings, check_names
from scorenet.features import FEATURE_SETS
from scorenet.sampling import SAMPLERS
from scorenet.score import NETWORKS, OBJECTIVES
from scorenet.signals import SIGNALS
from tests.conftest import TINY

REGISTRIES = (FEATURE_SETS, SAMPLERS, NETWORKS, OBJECTIVES, SIGNALS)
OWN = {
    "features": "plain",
    "sampler": "start",
    "signals": ["up"],
    "state.objective": "mine",
    "state.network": "thin",
}
PLUGIN = """
import numpy as np
import torch
from scorenet import *
from scorenet.score import Denoiser
from scorenet.score.networks import NoiseConditionalMlp

@register_feature_set("plain", names=("return_1", "return_9"), lookback=9)
def plain(window):
    close = np.log(window["close"])
    return np.stack([close[:, -1] - close[:, -2], close[:, -1] - close[:, 0]], axis=1)

@register_objective("mine")
def mine(model, batch):
    return (batch.sigma * model.score(batch.noisy, batch.sigma) + batch.noise).square().mean()

@register_network("thin")
def thin(dim, state, noise, base):
    return Denoiser(NoiseConditionalMlp(dim, 8, 1), base)

@register_sampler("start")
def start(model, base, n, seed, *, sigma_min, sigma_max):
    return base.sample(n, seed)

@register_signal("up")
def up(model, x, z):
    return x[:, 1], np.abs(x[:, 0])
"""
BARS = to_arrays(simulate("planted", seed=9, bars=200))


@pytest.fixture(autouse=True)
def _registries():
    before = [set(registry) for registry in REGISTRIES]
    yield
    for registry, names in zip(REGISTRIES, before, strict=True):
        for name in set(registry) - names:
            registry.remove(name)


def forget():
    for registry, name in zip(REGISTRIES, ("plain", "start", "thin", "mine", "up"), strict=True):
        registry.remove(name)


def plugin(folder, text=PLUGIN, name="own.py"):
    file = folder / name
    file.write_text(text)
    load_plugin(file)
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("own")
    plugin(place)
    config = TINY.with_values(**OWN, **{"state.steps": 10, "density.steps": 10, "forward.steps": 10})
    path = learn([as_market(simulate("planted", seed=5, bars=900))], config, progress=False).save(place / "m")
    forget()
    return path


@pytest.fixture
def model(folder, tmp_path):
    plugin(tmp_path)
    return ScoreModel.load(folder)


def test_own_parts_survive_the_folder_with_their_sources(model, tmp_path):
    again = ScoreModel.load(model.save(tmp_path / "m"))
    meta = json.loads((tmp_path / "m" / "model.json").read_text())
    assert {kind: list(names) for kind, names in meta["own"].items()} == {
        "features": ["plain"], "objective": ["mine"], "network": ["thin"], "sampler": ["start"], "signal": ["up"],
    }  # fmt: skip
    assert meta["own"]["objective"]["mine"] == source_hash(OBJECTIVES["mine"])
    for signal in ("forward", "state", "up"):
        for a, b in zip(model.evaluate(BARS, signal), again.evaluate(BARS, signal), strict=True):
            np.testing.assert_array_equal(a, b)
    seen, x = again.evaluate(BARS, "up"), again.features.compute(BARS)
    np.testing.assert_allclose(seen.score[9:], x[9:, 1], atol=1e-9)
    assert set(np.sign(seen.score[9:])) == {-1.0, 1.0}
    np.testing.assert_allclose(np.abs(seen.signal[9:]), seen.confidence[9:])
    # Its |score| is ranked among those of the calibration span: in [0, 1], and not all the same.
    assert 0 <= np.nanmin(seen.confidence) < 0.3 < 0.7 < np.nanmax(seen.confidence) <= 1
    x = model.sample(3_000, seed=1)
    z = model.base.sample(3_000, 1).numpy()
    np.testing.assert_allclose(model.scaler.transform(x), z, atol=1e-6)


def test_what_is_not_registered_is_named_and_nothing_is_imported(model, tmp_path):
    path = model.save(tmp_path / "m")
    forget()
    with pytest.raises(
        CheckpointError, match=r"trained with features 'plain' \(source sha256 [0-9a-f]{12}\)"
    ):
        ScoreModel.load(path)
    with pytest.raises(
        CheckpointError, match=r"register it before loading: --plugin FILE.py, or import your"
    ):
        ScoreModel.load(path)
    assert "plain" not in FEATURE_SETS


def test_every_kind_of_part_is_asked_for(model, tmp_path):
    path = model.save(tmp_path / "m")
    for registry, name in zip(REGISTRIES, ("plain", "start", "thin", "mine", "up"), strict=True):
        entry = registry[name]
        registry.remove(name)
        with pytest.raises(CheckpointError, match=repr(name)):
            ScoreModel.load(path)
        registry.register(name)(entry)
    ScoreModel.load(path)


def test_another_source_is_refused_with_both_hashes(model, tmp_path):
    path, old = model.save(tmp_path / "m"), source_hash(OBJECTIVES["mine"])
    forget()
    plugin(tmp_path, PLUGIN.replace(").square().mean()", ").abs().mean()"), "changed.py")
    new = source_hash(OBJECTIVES["mine"])
    with pytest.raises(
        CheckpointError, match=rf"objective 'mine'.*expected source sha256 {old[:12]}, found {new[:12]}"
    ):
        ScoreModel.load(path)
    forget()
    plugin(tmp_path, PLUGIN, "again.py")  # the same source in another file is the same
    ScoreModel.load(path)


def test_a_worker_without_the_plugin_says_what_it_lacks(model):
    packed = pickle.dumps(model)
    np.testing.assert_array_equal(pickle.loads(packed).sample(3), model.sample(3))  # noqa: S301
    forget()
    with pytest.raises(CheckpointError, match="register it before loading"):
        pickle.loads(packed)  # noqa: S301


def test_a_source_in_no_file_cannot_be_bound():
    space = {}
    exec("def nowhere(model, batch): return batch.x.sum()", space)  # noqa: S102
    from scorenet import register_objective

    register_objective("nowhere")(space["nowhere"])
    with pytest.raises(ConfigError, match=r"objective 'nowhere': its source cannot be read.*in a file"):
        check_names(TINY.with_values(**{"state.objective": "nowhere"}))


def test_names_of_the_package_are_not_bound_and_wrong_ones_have_a_hint():
    assert bindings(TINY) == {}
    for key, value, hint in (
        ("sampler", "heum", "'heun'"),
        ("features", "chaptr", "'chapter'"),
        ("state.network", "multiscale", "'multi_scale'"),
    ):
        with pytest.raises(ConfigError, match=f"did you mean {hint}"):
            check_names(TINY.with_values(**{key: value}))
    with pytest.raises(ConfigError, match="signal: expected one of forward, state; found 'sideways'"):
        check_names(TINY.with_values(signals=["sideways"]))


def test_a_signal_must_be_calibrated(tiny_model, tmp_path):
    plugin(tmp_path)
    with pytest.raises(
        ConfigError, match=r"expected one of forward, state; found 'up'; train the model with"
    ):
        tiny_model.evaluate(BARS, "up")
