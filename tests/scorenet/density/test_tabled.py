"""The loss on fixed rows equals the loss that autograd computes with the whole net."""

import pytest
import torch

from scorenet.density.net import DensityNet
from scorenet.density.tabled import TabledLoss, label_tolerance, slope_tolerance
from scorenet.score.mixture import Mixture
from tests.scorenet.density.test_net import Exact

MIXTURE = Mixture.random(3, 3, seed=4, spread=1.0)
SIGMA = 0.3


def test_the_tolerance_of_labels_is_one_nat_at_the_median_and_grows():
    assert label_tolerance(torch.tensor([-20.0, 0.0, 4.0])).tolist() == pytest.approx([2.0, 1.0, 1.2])


@pytest.mark.parametrize("base", [MIXTURE, Mixture.gaussian(MIXTURE.sample(500, seed=1))])
def test_the_loss_is_that_of_the_whole_net(base):
    rows = 1.5 * MIXTURE.sample(60, seed=7)
    labels = MIXTURE.log_density(rows, SIGMA)
    torch.manual_seed(0)
    net = DensityNet(base, SIGMA, hidden=6).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    denoiser = Exact(MIXTURE, rows)
    found = TabledLoss(net, denoiser, base, rows, labels, SIGMA, 5.0)(torch.arange(60))

    given = rows.clone().requires_grad_()
    value = net(given)
    (slope,) = torch.autograd.grad(value.sum(), given, create_graph=True)
    score, tolerance = MIXTURE.score(rows, SIGMA), label_tolerance(labels)
    expected = torch.nn.functional.huber_loss(value / tolerance, labels / tolerance, delta=2.0)
    expected = expected + 5.0 * ((slope - score).square() / slope_tolerance(score)).mean()
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    parameters = list(net.parameters())
    for got, other in zip(
        torch.autograd.grad(found, parameters), torch.autograd.grad(expected, parameters), strict=True
    ):
        torch.testing.assert_close(got, other, rtol=1e-8, atol=1e-8)
