"""A model that asks for more memory than there is is refused before any is taken."""

import pytest
import torch

from scorenet import CheckpointError, ConfigError, ModelConfig, parts
from scorenet.checkpoint import dump_model, parse_model
from scorenet.parts import build_nets, check_memory


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"state.hidden": 4096, "state.blocks": 32}, "state.hidden, state.blocks, state.members: expected"),
        ({"state.members": 64, "state.hidden": 1024}, "state.hidden, state.blocks, state.members: expected"),
        (
            {"forward.hidden": 4096, "forward.members": 64},
            "forward.hidden, forward.members, forward.horizons",
        ),
        (
            {"forward.horizons": tuple(range(100, 20_100))},
            "forward.hidden, forward.members, forward.horizons",
        ),
        ({"state.batch_size": 10**9}, "state.batch_size: the model needs about"),
        ({"density.batch_size": 10**10}, "density.batch_size: the model needs about"),
        ({"density.points": 10**11}, "density.points: the model needs about"),
        ({"forward.batch_size": 10**9}, "forward.batch_size, forward.members: the model needs about"),
    ],
)
def test_the_settings_that_ask_for_too_much_are_named(changes, named):
    with pytest.raises(ConfigError, match=f"^{named}"):
        check_memory(40, ModelConfig().with_values(**changes), training=True)


def test_the_default_model_needs_little():
    check_memory(512, ModelConfig(), training=True)


def test_the_memory_of_the_machine_is_the_limit(monkeypatch):
    monkeypatch.setattr(parts, "machine_memory", lambda: 20_000_000)
    check_memory(40, ModelConfig(), training=False)
    with pytest.raises(ConfigError, match=r"needs about 0\.\d GB of memory, there are 0\.0 GB"):
        check_memory(40, ModelConfig(), training=True)


@pytest.mark.parametrize("features", [1, 40])
def test_the_number_of_weights_is_never_estimated_too_high(tiny_model, features):
    config = ModelConfig().with_values(**{"state.members": 2, "forward.horizons": (1, 8)})
    identity = torch.eye(features, dtype=torch.float64)
    base = type(tiny_model.base)(torch.ones(1).double(), torch.zeros(1, features).double(), identity[None])
    for network in ("preconditioned", "energy", "multi_scale"):
        own = config.with_values(**{"state.network": network})
        state, density, forward = build_nets(features, own, base)
        counts = [sum(weight.numel() for weight in net.parameters()) for net in (state, density, forward)]
        counts[2] *= 3
        estimates = list(parts._weights(features, own).values())
        assert all(0.2 * count < estimate <= count for count, estimate in zip(counts, estimates, strict=True))


def test_a_model_file_cannot_ask_for_more(tiny_model):
    meta, weights = dump_model(tiny_model)
    hostile = meta.replace(b'"hidden": 32,', b'"hidden": 4096,', 1).replace(b'"blocks": 1,', b'"blocks": 32,')
    assert hostile != meta
    with pytest.raises(CheckpointError, match="expected a model of at most"):
        parse_model(hostile, weights)
