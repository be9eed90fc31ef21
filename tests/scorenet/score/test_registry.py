"""Every objective trains every network towards the exact score."""

import itertools

import pytest
import torch

from scorenet import ConfigError, register_network, register_objective
from scorenet.config import NoiseConfig, StateConfig
from scorenet.score import NETWORKS, OBJECTIVES, Mixture, ScoreModule
from scorenet.score.fit import build_denoiser, fit_denoiser
from scorenet.score.networks import Ensemble

NOISE = NoiseConfig()
TARGET = Mixture(
    torch.tensor([0.6, 0.4]).double(),
    torch.tensor([[-1.2, 0.3], [1.0, -0.5]]).double(),
    torch.tensor([[[0.15, 0.05], [0.05, 0.3]], [[0.2, -0.1], [-0.1, 0.25]]]).double(),
)
ROWS, HELD, FRESH = TARGET.sample(2_000, 1).float(), TARGET.sample(600, 2).float(), TARGET.sample(2_000, 3)
BASE = Mixture.gaussian(ROWS.double())
PAIRS = [
    (objective, network)
    for objective, network in itertools.product(
        ("dsm", "denoising", "implicit", "sliced", "sliced_vr", "dual"),
        ("preconditioned", "score_network", "multi_scale", "energy"),
    )
    if objective != "dual" or network == "energy"
]
# Third derivatives of an energy are noisy: in a few steps these may learn nothing, and selection keeps the base.
NOISY = {("implicit", "energy"), ("sliced", "energy"), ("sliced_vr", "energy")}


def settings(**changes) -> StateConfig:
    return StateConfig(
        **{"hidden": 24, "blocks": 1, "steps": 70, "batch_size": 192, "learning_rate": 5e-3, **changes},
        weight_decay=0.0,
        patience=0,
    )


def share_left(model, sigma: float) -> float:
    """Return the squared error of the score relative to that of the base: 0 is exact, 1 has learned nothing."""
    noise = torch.randn(FRESH.shape, generator=torch.Generator().manual_seed(4)).double()
    y = FRESH + sigma * noise
    with torch.no_grad():
        wrong = [
            (score(y, sigma) - TARGET.score(y, sigma)).square().sum() for score in (model.score, BASE.score)
        ]
    return float(wrong[0] / wrong[1])


def trained(**changes) -> ScoreModule:
    state = settings(**changes)
    return fit_denoiser(ROWS, HELD, state, NOISE, base=BASE, seed=0, progress=False)[0].double()


def test_the_chapters_names_are_there():
    assert {objective for objective, _ in PAIRS} <= set(OBJECTIVES)
    assert {network for _, network in PAIRS} <= set(NETWORKS)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_seed_determines_the_weights_whatever_the_caller_drew_before(network):
    weights = []
    for drawn in (0, 7):
        torch.rand(drawn)  # dropout draws from the same generator as the caller
        weights.append(trained(network=network, steps=4).state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize(("objective", "network"), PAIRS, ids=lambda name: name)
def test_the_learned_score_approaches_the_closed_form(objective, network):
    model = trained(objective=objective, network=network)
    left = [share_left(model, sigma) for sigma in (0.2, 0.5)]
    assert max(left) <= (1.0 if (objective, network) in NOISY else 0.85), left
    x = FRESH[:5]
    score, divergence = model.score_and_divergence(x, 0.4)
    jacobian = torch.stack(
        [torch.autograd.functional.jacobian(lambda r: model.score(r[None], 0.4)[0], row) for row in x]
    )
    torch.testing.assert_close(score, model.score(x, 0.4).detach())
    torch.testing.assert_close(divergence, jacobian.diagonal(dim1=1, dim2=2).sum(1))
    torch.testing.assert_close(model(x, 0.4).detach(), x + 0.4**2 * score)
    torch.testing.assert_close(model.base_score(x, 0.4) + model.correction(x, 0.4), model.score(x, 0.4))


@pytest.mark.parametrize("network", ["preconditioned", "score_network", "multi_scale", "energy"])
@pytest.mark.parametrize("base", [BASE, None], ids=["base", "none"])
def test_before_training_a_network_is_its_base(network, base):
    model = build_denoiser(2, settings(network=network), NOISE, base).double().eval()
    expected = -FRESH / 2 if base is None else base.score(FRESH, 1.0)
    torch.testing.assert_close(model.score(FRESH, 1.0).detach(), expected, rtol=1e-9, atol=1e-9)


def test_between_two_levels_of_the_ladder_the_score_changes_steadily():
    model = build_denoiser(2, settings(network="multi_scale"), NOISE, BASE).double().eval()
    torch.nn.init.normal_(model.network.network.output_proj.weight)
    sigmas = torch.logspace(-1, 1, 400).double().tolist()
    with torch.no_grad():
        out = torch.stack(
            [model.network(FRESH[:4], torch.full((4, 1), s).double().log() / 4) for s in sigmas]
        )
    steps = out.diff(dim=0).abs().amax(dim=(1, 2))
    assert float(steps.max()) < 20 * float(steps.median()) + 1e-9
    # At one of its noise levels it equals the chapter's network with the index of that level.
    network, level = model.network.network, 3
    sigma = float(network.sigmas[level])
    found = model.network(FRESH[:4], torch.full((4, 1), sigma).double().log() / 4)
    torch.testing.assert_close(found, network(FRESH[:4], torch.full((4,), level)), rtol=1e-4, atol=1e-4)


def test_members_are_different_networks_and_their_mean_is_the_score():
    model = trained(members=2)
    assert isinstance(model, Ensemble)
    model.requires_grad_(False)
    scores = model.scores(FRESH[:50], 0.5)
    assert float((scores[0] - scores[1]).abs().max()) > 1e-3
    torch.testing.assert_close(model.score(FRESH[:50], 0.5), scores.mean(0))
    assert share_left(model, 0.5) < 0.75


def test_wrong_names_and_pairs_are_named():
    with pytest.raises(ConfigError, match=r"objective: expected one of .*'slicd'; did you mean 'sliced'"):
        build_denoiser(2, settings(objective="slicd"), NOISE, None)
    with pytest.raises(ConfigError, match=r"network: .*did you mean 'energy'"):
        build_denoiser(2, settings(network="enery"), NOISE, None)
    with pytest.raises(ConfigError, match=r"'dual' needs a network with a log-density.*state.network=energy"):
        build_denoiser(2, settings(objective="dual"), NOISE, None)
    with pytest.raises(ConfigError, match=r"state.objective: expected a name"):
        settings(objective="two words")


def test_own_objective_and_network_need_one_method_and_one_function():
    @register_network("test_affine")
    class Affine(ScoreModule):
        def __init__(self, dim, state, noise, base):
            super().__init__(base)
            self.shift = torch.nn.Parameter(torch.zeros(dim))

        def score(self, x, sigma):
            return self.base_score(x, sigma) + self.shift / (1 + sigma**2)

    @register_objective("test_plain")
    def plain(model, batch):
        return (batch.sigma * model.score(batch.noisy, batch.sigma) + batch.noise).square().mean()

    try:
        # The mean of the base is off by 1 in both coordinates, so the right correction is a shift.
        off = Mixture(BASE.weights, BASE.means + 1.0, BASE.covariances)
        state = settings(objective="test_plain", network="test_affine", learning_rate=0.05)
        model, log = fit_denoiser(ROWS, HELD, state, NOISE, base=off, seed=0, progress=False)
        assert log.best_step > 0
        assert log.validation[-1] < log.validation[0]
        assert bool((model.shift < -0.1).all())
    finally:
        NETWORKS.remove("test_affine")
        OBJECTIVES.remove("test_plain")
