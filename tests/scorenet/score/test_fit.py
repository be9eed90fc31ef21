"""Mixture and network: never worse than the mixture alone, better where the data are not a mixture."""

from dataclasses import replace

import pytest
import torch

from scorenet.config import NoiseConfig, StateConfig
from scorenet.score.fit import build_denoiser, fit_base, fit_denoiser, refit_base, refit_denoiser
from scorenet.score.mixture import Mixture
from scorenet.score.objectives import FrozenNoise

NOISE = NoiseConfig()
CONFIG = StateConfig(hidden=32, blocks=1, steps=150, batch_size=256, max_components=4)


def bent(rows: int, seed: int) -> torch.Tensor:
    """A parabola with noise across it, which no mixture of four Gaussians equals."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 2, generator=g)
    return torch.stack((x[:, 0], (x[:, 0].square() - 1) / 1.5 + 0.2 * x[:, 1]), dim=1)


def held_out_losses(x, held, **options):
    base = fit_base(x, held, CONFIG, NOISE, seed=0)
    denoiser, log = fit_denoiser(x, held, CONFIG, NOISE, base=base, seed=0, progress=False, **options)
    test = FrozenNoise(bent(4_000, 9), NOISE, seed=5, rows=4_000)
    return test(build_denoiser(2, CONFIG, NOISE, base)), test(denoiser), denoiser, log


def test_the_network_learns_what_the_mixture_gets_wrong():
    mixture, both, _, log = held_out_losses(bent(4_000, 1), bent(1_000, 2))
    assert both < mixture
    assert log.best_step > 0


def test_no_mixture_is_a_standard_normal():
    x = bent(500, 1)
    plain = StateConfig(max_components=0)
    assert fit_base(x, x, plain, NOISE, seed=0) is None
    assert len(fit_base(x, x, StateConfig(max_components=1), NOISE, seed=0).weights) == 1


def test_rows_that_the_mixture_has_right_leave_the_network_out():
    target = Mixture.random(3, 1, seed=1)
    x, held = target.sample(60, seed=2).float(), target.sample(2_000, seed=3).float()
    base = fit_base(held, held, CONFIG, NOISE, seed=0)
    denoiser, log = fit_denoiser(x, held, CONFIG, NOISE, base=base, seed=0, progress=False)
    assert log.best_step == 0
    assert torch.equal(denoiser.score(held, 0.3), base.score(held, 0.3))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_denoiser_up_to_rounding():
    x, held = bent(2_000, 1), bent(500, 2)
    one, other = (held_out_losses(x, held, device=device)[2] for device in ("cpu", "cuda"))
    a, b = one.score(held, 0.3), other.score(held, 0.3)
    assert float((a - b).norm() / a.norm()) < 0.02


def test_the_kept_steps_repeat_the_denoiser_on_the_same_rows():
    members = 2
    x, held = bent(3_000, 1), bent(1_000, 2)
    config = replace(CONFIG, members=members)
    base = fit_base(x, held, config, NOISE, seed=3)
    denoiser, log = fit_denoiser(x, held, config, NOISE, base=base, seed=3, progress=False)
    assert len(log.kept_steps) == members
    assert log.kept_steps[0] == log.best_step > 0
    again = refit_denoiser(
        x, config, NOISE, base=base, seed=3, steps=log.kept_steps, device="cpu", progress=False
    )
    assert torch.equal(again.score(held, 0.3), denoiser.score(held, 0.3))
    none = refit_denoiser(
        x, config, NOISE, base=base, seed=3, steps=[0] * members, device="cpu", progress=False
    )
    assert torch.allclose(none.score(held, 0.3), base.score(held, 0.3), atol=1e-5), "the mixture alone"


def test_no_mixture_stays_none():
    assert refit_base(bent(50, 1), None, seed=0) is None
    assert len(refit_base(bent(50, 1), Mixture.random(2, 1, seed=1), seed=0).weights) == 1
