"""Explained variance is 0 for the Gaussian denoiser, and positive for the exact score of a mixture."""

import pytest
import torch

from scorenet.diagnostics.explained_variance import explained_variance, gaussian_of
from scorenet.score.mixture import Mixture

TARGET = Mixture.random(3, 4, seed=3, spread=3.0)
SIGMAS = torch.tensor([0.1, 0.5, 2.0, 10.0])


def test_the_gaussian_of_a_mixture_has_its_moments():
    gaussian, rows = gaussian_of(TARGET), TARGET.sample(200_000, seed=4)
    torch.testing.assert_close(gaussian.means[0], rows.mean(0), atol=0.05, rtol=0)
    torch.testing.assert_close(gaussian.covariances[0], torch.cov(rows.T), atol=0.2, rtol=0)


def test_on_a_gaussian_the_wiener_denoiser_explains_all_there_is():
    gaussian = gaussian_of(TARGET)
    for found in explained_variance(gaussian, gaussian, gaussian.sample(3_000, seed=5), SIGMAS):
        assert found.explained_variance == pytest.approx(0.0, abs=1e-12)
        assert found.dsm_loss == found.gaussian_loss


def test_the_exact_score_explains_more_than_a_spoiled_one_and_the_gap_closes_at_large_noise():
    rows, gaussian = TARGET.sample(4_000, seed=6), gaussian_of(TARGET)

    class Spoiled:
        def score(self, x, sigma):
            return 0.7 * TARGET.score(x, sigma)

    exact = explained_variance(TARGET, gaussian, rows, SIGMAS)
    spoiled = explained_variance(Spoiled(), gaussian, rows, SIGMAS)
    assert exact[1].explained_variance > 0.1
    assert exact[3].explained_variance == pytest.approx(0.0, abs=0.01)
    for good, bad in zip(exact, spoiled, strict=True):
        assert good.explained_variance > bad.explained_variance
        assert good.dsm_loss < bad.dsm_loss
        assert 0 <= good.dsm_loss <= 1.05
    assert exact[2].score_accuracy > exact[0].score_accuracy > 0
