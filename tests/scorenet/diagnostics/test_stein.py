"""Stein identities hold for the exact score and fail for a distorted one; a gradient has a symmetric Jacobian."""

import pytest
import torch

from scorenet.diagnostics.stein import jacobian_asymmetry, stein_identities
from scorenet.score.mixture import Mixture

TARGET = Mixture.random(4, 3, seed=1)
SPOILED = {
    "shifted": lambda x, sigma: TARGET.score(x, sigma) + 0.3,
    "too strong": lambda x, sigma: 1.3 * TARGET.score(x, sigma),
    "of another level": lambda x, sigma: TARGET.score(x, 2 * sigma),
}


@pytest.fixture(scope="module")
def rows():
    return TARGET.sample(4_000, seed=2)


def test_the_exact_score_passes_within_its_standard_errors(rows):
    for sigma in (0.2, 1.0):
        for identity in stein_identities(TARGET.score, rows, sigma):
            assert identity.z < 3.0, identity
            assert identity.gap < 0.1 * max(1.0, 1 / sigma**2), identity


@pytest.mark.parametrize(
    ("how", "name"),
    [("shifted", "mean"), ("too strong", "cross"), ("too strong", "energy"), ("of another level", "cross")],
)
def test_a_spoiled_score_fails(rows, how, name):
    found = {item.name: item for item in stein_identities(SPOILED[how], rows, 0.5)}
    assert found[name].z > 4.0
    assert found[name].gap > 3 * found[name].standard_error


def test_copies_of_rows_are_no_more_evidence(rows):
    copies = rows[:500].repeat_interleave(20, dim=0)
    naive, honest = (
        {item.name: item for item in stein_identities(TARGET.score, copies, 0.2, block=block)}
        for block in (1, 20)
    )
    assert honest["mean"].standard_error > 1.3 * naive["mean"].standard_error


def test_a_gradient_is_symmetric_and_a_swirl_is_not(rows):
    swirl = torch.tensor([[0.0, 0.5], [-0.5, 0.0]], dtype=torch.float64)

    def turned(x, sigma):
        return torch.cat(
            (TARGET.score(x, sigma)[:, :2] + x[:, :2] @ swirl, TARGET.score(x, sigma)[:, 2:]), dim=1
        )

    assert jacobian_asymmetry(TARGET.score, rows[:200], 0.5) < 1e-10
    assert jacobian_asymmetry(turned, rows[:200], 0.5) > 0.05
