"""The network of p(y | x): y = scale(x) * (shift(x) + e), where e has a heavy-tailed distribution of mean 0.

The distribution of e is a Gaussian mixture, called the shape. Noise of size sigma on y only widens its components, so
the score of y has a closed form at every sigma.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..base.printable import one_line
from ..score.networks import Mlp

__all__ = ["ForwardNet", "Parts", "mixture_score", "score_at_zero"]

Parts = tuple[Tensor, Tensor, Tensor]

_TAIL = 4.0  # degrees of freedom of the initial Student t shape: daily returns have 3 to 5
_NARROW, _WIDE = -1.1, 1.9  # ln widths of the narrowest and the widest component, in units of the spread of y


class ForwardNet(nn.Module):
    """An ensemble of maps x [N, F] -> Gaussian mixture over y; the first dimension of every output is the member.

    The first weights are drawn from `generator`, or from torch's own. `belief`, its name in model files, is the
    shrinkage factor of the shift, in [0, 1].
    """

    scale_columns: Tensor
    belief: Tensor

    def __init__(
        self,
        dim: int,
        hidden: int,
        members: int,
        components: int,
        scale_hidden: int = 16,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.shift = Mlp(dim, hidden, 1, members=members, layers=2, generator=generator)
        self.scale = Mlp(dim, scale_hidden, 1, members=members, layers=1, generator=generator)
        self.slope = nn.Parameter(torch.zeros(members, dim, 1))
        widths, weights = _student_shape(components)
        self.offset = nn.Parameter(torch.linspace(-0.3, 0.3, components).repeat(members, 1, 1))
        self.log_width = nn.Parameter(widths.repeat(members, 1, 1))
        self.logit = nn.Parameter(weights.log().repeat(members, 1, 1))
        self.register_buffer("scale_columns", torch.ones(dim))
        self.register_buffer("belief", torch.ones(()))

    def __repr__(self) -> str:
        return one_line(self, f"{sum(p.numel() for p in self.parameters()):,} weights")

    def forward(self, x: Tensor, blurred: Tensor | None = None) -> Parts:
        """Return log weights, means and standard deviations, each [M, N, K]; the shift uses `blurred` in place of x."""
        shift = self.belief * self.shift(x if blurred is None else blurred)
        return self.shape(self.log_scale(x).exp(), shift)

    def log_scale(self, x: Tensor) -> Tensor:
        """Return the log of the scale of y, [M, N, 1]."""
        rows = x * self.scale_columns
        batch = rows if rows.dim() == 3 else rows.expand(self.slope.shape[0], *rows.shape)
        return torch.as_tensor((torch.bmm(batch, self.slope) + self.scale(rows)).clamp(-2.0, 2.0))

    def shape(self, scale: Tensor, shift: Tensor) -> Parts:
        """Return the mixture of the shape, moved by shift [M, N, 1] and stretched by scale [M, N, 1]."""
        weights = torch.log_softmax(self.logit, dim=-1)
        # Centred: the mean return of the training years is not a forecast; only the shift may forecast a mean.
        centred = self.offset - (weights.exp() * self.offset).sum(-1, keepdim=True)
        means = scale * (shift + centred)
        return weights.expand_as(means), means, scale * self.log_width.exp()

    def scores(self, x: Tensor, sigma: float) -> Tensor:
        """Return each member's score of y at y = 0 and noise level sigma, [M, N]."""
        return score_at_zero(self(x), sigma)


def score_at_zero(parts: Parts, sigma: float) -> Tensor:
    """Return the score of each mixture at y = 0 after noise of sigma, [M, N]."""
    means = parts[1]
    return mixture_score(parts, means.new_zeros(()), means.new_full((), sigma))


def mixture_score(parts: Parts, y: Tensor, sigma: Tensor) -> Tensor:
    """Return the score of each mixture at y after noise of sigma, [M, N]; y and sigma are [..., 1]."""
    log_weights, means, widths = parts
    variance = widths.square() + sigma.square()
    gap = means - y
    logits = log_weights - 0.5 * gap.square() / variance - 0.5 * variance.log()
    # Transposed: torch's softmax along a short last axis is ten times slower.
    share = torch.softmax(logits.transpose(-1, -2), -2).transpose(-1, -2)
    return (share * gap / variance).sum(-1)


def _student_shape(components: int) -> tuple[Tensor, Tensor]:
    """Return ln widths [K] and weights [K] of Gaussians that approximate a Student t (variance: inverse gamma)."""
    widths = torch.linspace(_NARROW, _WIDE, components)
    edges = ((widths[1:] + widths[:-1]) / 2).double()
    # P(width <= e) = P(gamma(nu/2, 1) >= (nu/2) e^-2).
    below = torch.special.gammaincc(
        torch.tensor(_TAIL / 2, dtype=torch.float64), _TAIL / 2 * (-2 * edges).exp()
    )
    weights = torch.diff(below, prepend=below.new_zeros(1), append=below.new_ones(1))
    return widths, (weights / weights.sum()).float().clamp_min(1e-9)
