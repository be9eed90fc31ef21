"""The fingerprint: it changes with every part of a model that decides an output, and with nothing else."""

import copy
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from feeds import simulate, to_arrays
from scorenet import ScoreModel
from scorenet.fingerprint import SECTIONS
from scorenet.parts import ModelParts
from scorenet.sampling.atoms import Atom
from scorenet.score.mixture import Mixture


def moved(module):
    other = copy.deepcopy(module)
    with torch.no_grad():
        next(other.parameters()).view(-1)[0] += 0.01
    return other


def shifted(scaler):
    return replace(scaler, mean=scaler.mean + np.eye(len(scaler.mean))[0] * 1e-12)


def heavier(base):
    return Mixture(base.weights, base.means + 1e-12, base.covariances)


# For each part of a model, a change that can change an output.
CHANGES = {
    "features": lambda m: replace(m.features, volatility_window=m.features.volatility_window + 1),
    "config": lambda m: m.config.with_values(**{"state.signal_sigma": 0.51}),
    "scaler": lambda m: shifted(m.scaler),
    "base": lambda m: heavier(m.base),
    "denoiser": lambda m: moved(m.denoiser),
    "density_net": lambda m: moved(m.density_net),
    "forward_net": lambda m: moved(m.forward_net),
    "calibration": lambda m: replace(m.calibration, rows=m.calibration.rows + 1),
    "info": lambda m: m.info | {"bar_ms": m.info["bar_ms"] + 1},
    "further": lambda m: {8: copy.deepcopy(m.forward_net)},
    "regime_map": lambda m: replace(m.regime_map, sigma=m.regime_map.sigma + 0.001),
    "atoms": lambda m: (Atom(column=0, value=0.0, place=0.0, reach=0.1),),
}


def test_every_part_of_a_model_is_in_the_list_of_changes():
    parts = {field.name for field in fields(ModelParts)}
    assert parts == set(CHANGES), "a new part that decides an output belongs in scorenet.fingerprint.SECTIONS"


@pytest.mark.parametrize("part", CHANGES)
def test_the_fingerprint_changes_with_every_part(tiny_model, part):
    changed = replace(tiny_model, **{part: CHANGES[part](tiny_model)})
    assert changed.fingerprint != tiny_model.fingerprint
    assert replace(changed, **{part: getattr(tiny_model, part)}).fingerprint == tiny_model.fingerprint


@pytest.mark.parametrize("part", sorted(set(CHANGES) - {"features", "further"}))
def test_a_saved_model_keeps_its_fingerprint(tiny_model, tmp_path, part):
    changed = replace(tiny_model, **{part: CHANGES[part](tiny_model)})
    assert ScoreModel.load(changed.save(tmp_path / "model")).fingerprint == changed.fingerprint


def test_notes_do_not_change_it(tiny_model):
    assert replace(tiny_model, info=tiny_model.info | {"metrics": {}}).fingerprint == tiny_model.fingerprint


def test_models_with_the_same_weights_do_not_share_cached_outputs(tiny_model):
    bars = to_arrays(simulate("regimes", seed=3, bars=300))
    magnitude = {name: table * 2 for name, table in tiny_model.calibration.magnitude.items()}
    others = {
        "calibration": replace(tiny_model.calibration, magnitude=magnitude),
        "scaler": replace(tiny_model.scaler, std=tiny_model.scaler.std * 1.5),
        "config": tiny_model.config.with_values(**{"forward.signal_sigma": 2.0}),
    }
    before = tiny_model.evaluate(bars)
    for part, value in others.items():
        other = replace(tiny_model, **{part: value})
        found, expected = other.evaluate(bars), other._evaluate(bars, "forward", None, False)
        assert np.array_equal(found.signal, expected.signal, equal_nan=True), part
        assert not np.array_equal(found.signal, before.signal, equal_nan=True), part


def test_sections_are_the_keys_of_the_file(tiny_model_dir):
    assert set(SECTIONS) - {"own", "calendar"} <= set(ScoreModel.load(tiny_model_dir).info) | {
        "features",
        "config",
        "scaler",
        "base",
        "calibration",
        "atoms",
        "regimes",
    }
