"""Moments, quantiles and tail means of a mixture agree with sampling-free references."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from scorenet.forward.moments import lower_tail_mean, mixture_quantile, moments, pooled, tail_means

NUMBERS = st.floats(-3.0, 3.0)
WIDTHS = st.floats(0.05, 5.0)


def mixture(*components):
    """Return weights, means and widths [1, C] of (weight, mean, width) components."""
    table = torch.tensor(components, dtype=torch.float64)
    return table[None, :, 0] / table[:, 0].sum(), table[None, :, 1], table[None, :, 2]


def of_members(weights, means, widths):
    """Return the parts [M, N, K] of an ensemble in which every component is its own member."""
    members = weights.shape[1]
    return tuple(
        part.transpose(0, 1)[:, :, None]
        for part in (torch.log(weights * members), means, widths)  # a member has the share 1 / M
    )


@pytest.mark.parametrize("q", [0.01, 0.05, 0.5, 0.95])
def test_a_single_gaussian_has_its_known_quantile_and_tail_means(q):
    parts = mixture((1.0, 0.3, 2.0))
    assert mixture_quantile(*parts, q).item() == pytest.approx(stats.norm(0.3, 2.0).ppf(q), abs=1e-12)
    worst = 0.3 - 2.0 * stats.norm.pdf(stats.norm.ppf(q)) / q
    assert lower_tail_mean(*parts, q).item() == pytest.approx(worst, abs=1e-12)


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.floats(0.05, 1.0), NUMBERS, WIDTHS), min_size=1, max_size=6), st.floats(0.01, 0.99)
)
def test_quantiles_invert_the_distribution_and_tail_means_are_below_them(components, q):
    weights, means, widths = mixture(*components)
    cut = mixture_quantile(weights, means, widths, q)
    below = (weights * torch.special.ndtr((cut[:, None] - means) / widths)).sum()
    assert below.item() == pytest.approx(q, abs=1e-9)
    exact = lower_tail_mean(weights, means, widths, q, cut)
    assert exact.item() < cut.item()
    # The mean below the cut, component by component: a truncated normal has mean m - s phi(z) / Phi(z).
    z = ((cut[:, None] - means) / widths).numpy()
    parts = weights.numpy() * (means.numpy() * stats.norm.cdf(z) - widths.numpy() * stats.norm.pdf(z))
    assert exact.item() == pytest.approx(parts.sum() / q, abs=1e-8)


def test_few_newton_steps_are_enough_for_the_tail_means_of_a_forward_density():
    grid = torch.linspace(-1.1, 1.9, 8, dtype=torch.float64).exp()
    weights = torch.softmax(torch.tensor([0.0, 2.0, 3.0, 2.5, 1.0, 0.0, -1.0, -2.0], dtype=torch.float64), 0)
    shifts = torch.linspace(-0.2, 0.2, 5, dtype=torch.float64)
    parts = mixture(*[(w, shift, s) for shift in shifts for w, s in zip(weights, grid, strict=True)])
    low, high = tail_means(of_members(*parts))
    cut = mixture_quantile(*parts, 0.05)
    assert low.item() == pytest.approx(lower_tail_mean(*parts, 0.05, cut).item(), abs=1e-12)
    assert high.item() == pytest.approx(-low.item(), abs=1e-9), "this mixture is symmetric"


def test_moments_of_an_ensemble_are_those_of_the_pooled_mixture():
    parts = mixture((0.2, -1.0, 0.5), (0.5, 0.1, 1.0), (0.3, 2.0, 3.0))
    weights, means, widths = (part[0].numpy() for part in parts)
    mean = (weights * means).sum()
    variance = (weights * (widths**2 + (means - mean) ** 2)).sum()
    ensemble = of_members(*parts)
    found = moments(ensemble)
    assert [value.item() for value in found] == pytest.approx([mean, math.sqrt(variance)], abs=1e-12)
    for part, other in zip(pooled(ensemble), parts, strict=True):
        np.testing.assert_allclose(part, other, atol=1e-15)
