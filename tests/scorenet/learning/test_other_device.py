"""A training on a device that is not the CPU: everything goes there, comes back, and draws its noise here."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from scorenet.diagnostics.held_out import BRIEF, score_report
from scorenet.learning.nets import Setting, fit_nets
from tests.scorenet.learning.other_device import OTHER, Elsewhere, other_device
from tests.scorenet.learning.watched_learning import QUICK

CONFIG = QUICK.with_values(
    **{"density.check_rows": 20, "forward.horizons": [], "forward.half_life_days": 1.0}
)
TRAIN, HELD = np.arange(200), np.arange(220, 300)


def trained(device):
    drawn = torch.Generator().manual_seed(0)
    setting = Setting(
        z=torch.randn(300, 3, generator=drawn),
        y=torch.randn(300, 1, generator=drawn),
        time=3_600_000 * np.arange(300),
        magnitudes=torch.tensor([1.0, 0.0, 1.0]),
        markets=1,
        config=CONFIG,
        device=device,
        progress=False,
    )
    return fit_nets(setting, TRAIN, HELD)


def weights(nets):
    parts = (nets.denoiser, nets.density_net, *nets.forward.values())
    return [tensor for part in parts for tensor in part.state_dict().values()]


def test_all_nets_and_labels_are_computed_there_and_are_those_of_the_cpu_to_the_last_bit():
    with other_device() as asked:
        there = trained("cuda")
    here = trained("cpu")
    assert asked.trained == {"state density", "density net", "forward scale", "forward shift"}
    assert not any(isinstance(part, Elsewhere) for part in weights(there)), "the nets come back"
    assert all(torch.equal(a, b) for a, b in zip(weights(there), weights(here), strict=True))
    assert there.density_error == here.density_error
    for found, expected in ((there.state_log, here.state_log), (there.density_log, here.density_log)):
        assert found == expected
    assert there.forward_logs == here.forward_logs


def test_the_checks_of_a_score_are_computed_there(tiny_model):
    x = tiny_model.sample(120, seed=3)
    few = replace(BRIEF, rows=10, skew_rows=5, route_rows=5, routes=(), auc_rows=10)
    with other_device():
        there = score_report(tiny_model, x, extent=few, device="cuda")
    assert there == score_report(tiny_model, x, extent=few)


def test_what_is_not_moved_or_drawn_there_would_be_noticed():
    with other_device():
        there = torch.ones(3).to(OTHER)
        assert isinstance(there, Elsewhere)
        assert float((there * 2).sum()) == 6.0
        np.testing.assert_array_equal((there + there).cpu().numpy(), [2, 2, 2])
        with pytest.raises(AssertionError, match="not on the device"):
            there + torch.ones(3)
        with pytest.raises(AssertionError, match="draws on the device"):
            torch.randn(3, device=OTHER)
        with pytest.raises(AssertionError, match="draws on the device"):
            torch.randn_like(there)
