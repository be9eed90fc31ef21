"""The fitted base mixture: held-out rows choose the number of components, and every table can be fitted."""

import pytest
import torch

from scorenet.score.mixture import Mixture
from scorenet.score.mixture_fit import fit_mixture, refit_mixture


def draw(mixture: Mixture, rows: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    return mixture.sample(rows, seed=seed), mixture.sample(1_000, seed=seed + 1)


def test_it_comes_close_to_the_target():
    target = Mixture.random(4, 3, seed=1)
    fitted = fit_mixture(*draw(target, 6_000, 2))
    y = target.sample(4_000, seed=9, sigma=0.1)
    assert float((target.log_density(y, 0.1) - fitted.log_density(y, 0.1)).mean()) < 0.03
    exact = target.score(y, 0.1)
    assert float((fitted.score(y, 0.1) - exact).square().sum() / exact.square().sum()) < 0.02


def test_one_gaussian_is_fitted_by_one():
    target = Mixture.random(4, 1, seed=1)
    assert len(fit_mixture(*draw(target, 2_000, 2)).weights) == 1


def test_the_same_rows_and_seed_give_the_same_mixture():
    rows = draw(Mixture.random(3, 3, seed=1), 1_500, 2)
    first, again = (fit_mixture(*rows, components=(1, 4)) for _ in range(2))
    assert first.to_dict() == again.to_dict()


def test_more_rows_than_the_search_looks_at_still_fit(monkeypatch):
    monkeypatch.setattr("scorenet.score.mixture_fit._SEARCH_ROWS", 500)
    target = Mixture.random(3, 2, seed=1)
    fitted = fit_mixture(*draw(target, 20_000, 2), components=(1, 2))
    torch.testing.assert_close(
        fitted.means[fitted.weights.argsort()], target.means[target.weights.argsort()], atol=0.1, rtol=0
    )


@pytest.mark.parametrize("rows", [2, 5, 30])
def test_hardly_any_rows_still_give_a_density(rows):
    x = torch.randn(rows, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    fitted = fit_mixture(x, x)
    assert bool(fitted.log_density(torch.randn(50, 6, dtype=torch.float64), 0.05).isfinite().all())


def test_constant_repeated_and_collinear_columns_still_give_a_density():
    x = torch.randn(400, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    table = torch.cat((x, x[:, :1], x[:, 1:].round(), torch.zeros(400, 1)), dim=1)
    fitted = fit_mixture(table[:300], table[300:])
    value = fitted.log_density(table[300:], 0.05)
    assert bool(value.isfinite().all())
    assert (
        float(value.mean())
        > float(Mixture.gaussian(table[:300]).log_density(table[300:], 0.05).mean()) - 1e-3
    )


@pytest.mark.parametrize("components", [1, 3])
def test_a_chosen_mixture_is_fitted_to_other_rows(components):
    target = Mixture.random(3, components, seed=1)
    chosen = fit_mixture(*draw(target, 3_000, 2), components=(components,))
    assert len(chosen.weights) == components
    moved = target.sample(6_000, seed=5) + 0.3
    fitted = refit_mixture(moved, chosen)
    assert len(fitted.weights) == components
    fresh = target.sample(4_000, seed=9)
    gap = target.log_density(fresh, 0.1) - fitted.log_density(fresh + 0.3, 0.1)
    assert abs(float(gap.mean())) < 0.03
    assert refit_mixture(moved, chosen).to_dict() == fitted.to_dict()
