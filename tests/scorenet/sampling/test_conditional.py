"""Conditional sampling against the exact conditional distribution of a mixture."""

import itertools
import math

import pytest
import torch

from scorenet.sampling.conditional import conditional, conditional_mixture, conditional_rows
from scorenet.score.mixture import Mixture
from scorenet.score.noise import karras_sigmas


def standardised(dim, components, seed, spread):
    target = Mixture.random(dim, components, seed, spread)
    scale = 1 / target.covariance.diagonal().sqrt()
    means = (target.means - target.mean) * scale
    return Mixture(target.weights, means, target.covariances * scale[:, None] * scale)


def gaussian_of(target):
    return Mixture(torch.ones(1, dtype=torch.float64), target.mean[None], target.covariance[None])


def check(x, target, columns, value, *, atol):
    """Compare rows with the exact conditional distribution: known values, weights, means, covariances."""
    free = [column for column in range(target.dim) if column not in columns]
    exact = conditional_mixture(target, columns, value)
    torch.testing.assert_close(x[:, columns], value.expand(len(x), -1), atol=0, rtol=0)
    rows = x[:, free]
    torch.testing.assert_close(exact.responsibilities(rows).mean(0), exact.weights, atol=0.03, rtol=0)
    torch.testing.assert_close(rows.mean(0), exact.mean, atol=atol, rtol=0)
    torch.testing.assert_close(torch.cov(rows.T), exact.covariance, atol=atol, rtol=0)


def test_the_closed_form_is_the_joint_over_the_marginal():
    target, columns, value = (
        standardised(4, 3, 5, 1.5),
        [3, 1],
        torch.tensor([0.4, -0.6], dtype=torch.float64),
    )
    rows = torch.randn(20, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows[:, columns] = value
    marginal = Mixture(
        target.weights, target.means[:, columns], target.covariances[:, columns][:, :, columns]
    )
    for sigma in (0.0, 0.7):
        found = conditional_mixture(target, columns, value, sigma).log_density(rows[:, [0, 2]])
        joint = target.log_density(rows, sigma) - marginal.log_density(value[None], sigma)
        torch.testing.assert_close(found, joint)


@pytest.mark.parametrize(
    ("target", "known"),
    [
        (standardised(5, 1, 3, 2.0), {1: 2.0, 2: 2.0}),
        (standardised(3, 2, 2, 3.0), {0: 0.3}),
        (standardised(8, 6, 3, 1.5), {2: 0.5, 0: 1.0, 5: -1.0}),
    ],
    ids=["gaussian", "two clusters", "six clusters"],
)
def test_given_some_coordinates_the_others_follow_the_conditional_distribution(target, known):
    # The start has the right mean and covariance only: the clusters and their shares come from the score.
    x = conditional(target, gaussian_of(target), 3_000, seed=1, known=known)
    check(x, target, list(known), torch.tensor(list(known.values()), dtype=torch.float64), atol=0.09)
    assert len(torch.unique(x, dim=0)) == 3_000


def test_few_rows_are_drawn_from_many():
    target = standardised(3, 2, 2, 3.0)
    found = torch.cat(
        [conditional(target, target, 4, seed=seed, known={0: 0.3}, steps=12) for seed in range(30)]
    )
    exact = conditional_mixture(target, [0], torch.tensor([0.3], dtype=torch.float64))
    torch.testing.assert_close(found[:, 1:].mean(0), exact.mean, atol=0.25, rtol=0)


def test_a_seed_names_the_sample():
    target = standardised(3, 2, 2, 3.0)
    first, again, other = (conditional(target, target, 5, seed=s, known={1: 0.0}, steps=6) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_rows_with_values_of_their_own_follow_the_base_where_it_is_right():
    target, columns = standardised(4, 3, 5, 1.5), [1, 3]
    values = torch.tensor([[0.5, -0.5], [-1.0, 0.3]], dtype=torch.float64)
    x = conditional_rows(target, target, 2, columns=columns, values=values.repeat(3_000, 1))
    for number in range(2):
        check(x[number::2], target, columns, values[number], atol=0.07)


def test_the_score_has_the_last_word_on_what_is_thin():
    # Rows on the plane x_2 = x_1; the base has variance across the plane.
    factor = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.6, 0.8]], dtype=torch.float64)
    zero = torch.zeros(1, 3, dtype=torch.float64)
    plane = Mixture(torch.ones(1, dtype=torch.float64), zero, (factor @ factor.T)[None])
    eye = torch.eye(3, dtype=torch.float64)
    thick = Mixture(plane.weights, zero, plane.covariances + 0.05**2 * eye)
    values = torch.full((2_000, 1), 0.5, dtype=torch.float64)
    x = conditional_rows(plane, thick, 1, columns=[0], values=values, steps=60)
    assert float((x[:, 2] - x[:, 1]).abs().max()) < 1e-6
    assert float(x[:, 1].mean()) == pytest.approx(0.3, abs=0.06)


def test_corrections_take_no_width_away():
    target, known = standardised(16, 4, 7, 0.7), {6: 1.5, 2: -0.5}
    x = torch.cat(
        [conditional(target, gaussian_of(target), 1_024, seed=seed, known=known) for seed in range(4)]
    )
    exact = conditional_mixture(target, list(known), torch.tensor(list(known.values()), dtype=torch.float64))
    free = [column for column in range(16) if column not in known]
    ratio = x[:, free].std(0) / exact.covariance.diagonal().sqrt()
    assert float(ratio.mean()) == pytest.approx(1.0, abs=0.015)


def test_overwriting_known_coordinates_with_noised_values_is_no_substitute():
    target, columns, value = standardised(5, 1, 3, 2.0), [1, 2], torch.full((2,), 2.0, dtype=torch.float64)
    g = torch.Generator().manual_seed(0)
    x = 20.0 * torch.randn(2_000, 5, generator=g, dtype=torch.float64)
    for here, there in itertools.pairwise(karras_sigmas(0.05, 20.0, 80).tolist()):
        x[:, columns] = value + here * torch.randn(2_000, 2, generator=g, dtype=torch.float64)
        lost, noise = here**2 - there**2, torch.randn(x.shape, generator=g, dtype=torch.float64)
        x = x + lost * target.score(x, here) + math.sqrt(lost) * there / here * noise
    exact = conditional_mixture(target, columns, value)
    assert float((x[:, [0, 3, 4]].mean(0) - exact.mean).abs().max()) > 0.4
    found = conditional(target, target, 2_000, seed=1, known={1: 2.0, 2: 2.0})
    assert float((found[:, [0, 3, 4]].mean(0) - exact.mean).abs().max()) < 0.1
