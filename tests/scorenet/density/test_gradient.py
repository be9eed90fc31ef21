"""The closed-form value and gradient of an MLP, and the derivatives of both, against autograd twice."""

import pytest
import torch

from scorenet.density.gradient import value_and_gradient
from scorenet.score.networks import Mlp


def random_mlp(layers, hidden=7):
    mlp = Mlp(5, hidden, 1, layers=layers).double()
    generator = torch.Generator().manual_seed(layers)
    with torch.no_grad():
        for parameter in mlp.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return mlp


def by_autograd(mlp, rows):
    rows = rows.clone().requires_grad_()
    value = mlp(rows)[0, :, 0]
    (gradient,) = torch.autograd.grad(value.sum(), rows, create_graph=True)
    return value, gradient


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_value_gradient_and_their_derivatives_are_those_of_autograd(layers):
    mlp = random_mlp(layers)
    rows = torch.randn(11, 5, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    by_row, by_cell = torch.arange(11.0), torch.arange(55.0).view(11, 5)
    found = []
    for value, gradient in (by_autograd(mlp, rows), value_and_gradient(mlp, rows)):
        loss = (by_row * value.square()).sum() + (by_cell * gradient.square()).sum()
        found.append([value, gradient, *torch.autograd.grad(loss, list(mlp.parameters()))])
    for expected, got in zip(*found, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


def test_one_unit_by_hand():
    mlp = Mlp(1, 1, 1, layers=1).double()
    with torch.no_grad():
        for parameter, number in zip(mlp.parameters(), (2.0, 3.0, 0.0, 0.5), strict=True):
            parameter.fill_(number)
    value, gradient = value_and_gradient(mlp, torch.zeros(1, 1, dtype=torch.float64))
    # f(0) = 0 and f'(0) = 1/2: 3 * 0 + 0.5, and 2 * 1/2 * 3.
    assert (value.item(), gradient.item()) == (0.5, 3.0)
