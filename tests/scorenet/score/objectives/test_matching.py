"""Implicit, sliced and denoising score matching agree with each other, and with the exact score of Gaussians."""

import torch

from scorenet.score.mixture import Mixture
from scorenet.score.objectives.matching import implicit_terms, sliced_terms

GAUSSIAN = Mixture.random(3, 1, seed=1)


def linear(matrix, shift):
    return lambda x: x @ matrix.T + shift


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def implicit_loss(score, x):
    return implicit_terms(score, x).mean()


def sliced_loss(score, x, draws, slices=1, *, reduced=False):
    rows = x.repeat(slices, 1)
    directions = torch.randn(rows.shape, generator=draws).to(x)
    return sliced_terms(score, rows, directions, reduced=reduced).mean()


def reduced_sliced_loss(score, x, draws, slices=1):
    return sliced_loss(score, x, draws, slices, reduced=True)


def denoising_loss(score, x, sigma, draws):
    """Vincent's loss at one level, on pairs of opposite noise: 1/2 E|s(x + sigma e) + e / sigma|^2."""
    noise = torch.randn(x.shape, generator=draws).to(x)
    both = torch.cat((noise, -noise))
    residual = score(torch.cat((x, x)) + sigma * both) + both / sigma
    return 0.5 * residual.square().sum(1).mean()


def minimise(loss, dim=3):
    matrix = torch.zeros(dim, dim, dtype=torch.float64, requires_grad=True)
    shift = torch.zeros(dim, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([matrix, shift], max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        value = loss(linear(matrix, shift))
        value.backward()
        return value

    optimiser.step(closure)
    return matrix.detach(), shift.detach()


def test_implicit_matching_finds_a_gaussians_score_exactly():
    x = GAUSSIAN.sample(500, seed=2)
    matrix, shift = minimise(lambda score: implicit_loss(score, x))
    # The minimiser over affine scores is the Gaussian fit of the sample itself.
    precision = torch.linalg.inv(torch.cov(x.T, correction=0))
    torch.testing.assert_close(matrix, -precision, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(shift, precision @ x.mean(0), atol=1e-5, rtol=1e-5)


def test_denoising_finds_the_score_of_the_noised_gaussian():
    x, sigma = GAUSSIAN.sample(20_000, seed=2), 0.5
    matrix, _ = minimise(lambda score: denoising_loss(score, x, sigma, generator()))
    precision = torch.linalg.inv(GAUSSIAN.covariances[0] + sigma**2 * torch.eye(3).double())
    torch.testing.assert_close(matrix, -precision, atol=0.06, rtol=0)


def test_slices_average_to_the_exact_trace():
    x, target = GAUSSIAN.sample(40, seed=2), Mixture.random(3, 2, seed=5)
    exact = float(implicit_loss(target.score, x).detach())
    for loss in (sliced_loss, reduced_sliced_loss):
        draws = torch.tensor(
            [float(loss(target.score, x, generator(seed), 25).detach()) for seed in range(80)]
        )
        assert abs(float(draws.mean()) - exact) < 4 * float(draws.std()) / 80**0.5


def test_the_reduced_form_is_steadier_where_the_score_is_large():
    # At the exact score, the noise of the two terms of the plain form partly cancels; early in training it does not.
    x = GAUSSIAN.sample(40, seed=2)

    def steep(rows):
        return 5 * GAUSSIAN.score(rows)

    spread = [
        torch.tensor([float(loss(steep, x, generator(seed)).detach()) for seed in range(100)]).std()
        for loss in (sliced_loss, reduced_sliced_loss)
    ]
    assert spread[1] < 0.8 * spread[0]


def test_denoising_and_implicit_differ_by_a_constant():
    # Vincent (2011): at the same noised target, for any two scores, the differences agree.
    target, sigma = Mixture.random(3, 2, seed=5), 0.5
    x = target.sample(40_000, seed=2)
    first, second = target.score, Mixture.gaussian(x).score
    noise = sigma * torch.randn(x.shape, generator=generator()).double()
    noised = torch.cat((x + noise, x - noise))
    denoising = [float(denoising_loss(score, x, sigma, generator())) for score in (first, second)]
    implicit = [float(implicit_loss(score, noised).detach()) for score in (first, second)]
    assert abs((denoising[0] - denoising[1]) - (implicit[0] - implicit[1])) < 0.05
    assert abs(denoising[0] - denoising[1]) > 0.2


def test_every_loss_can_be_trained_through():
    x = GAUSSIAN.sample(30, seed=2)
    net = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3)).double()
    losses = (
        lambda: implicit_loss(net, x),
        lambda: sliced_loss(net, x, generator()),
        lambda: reduced_sliced_loss(net, x, generator(), 2),
        lambda: denoising_loss(net, x, 0.3, generator()),
    )
    for loss in losses:
        net.zero_grad()
        loss().backward()
        assert float(net[0].weight.grad.abs().sum()) > 0
