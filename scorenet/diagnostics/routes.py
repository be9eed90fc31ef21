"""Compare all methods for the log-density of one model: if they disagree, the score is not a gradient."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ..baselines.chapter_routes import path_integral
from ..density.flow_ode import flow_log_density, vp_flow_log_density
from ..density.heat import heat_log_density
from ..density.immse import immse_log_density
from ..score.divergence import denoiser_field, hutchinson_field
from ..score.mixture import Mixture
from ..score.score_module import ScoreModule

__all__ = ["Agreement", "agreement", "density_routes"]

Route = Callable[[Tensor], Tensor]


class Agreement(NamedTuple):
    """The difference of two methods on the same rows, nats.

    bias: mean of first - second.
    rms: root mean square of first - second, bias included.
    correlation: of the two; if either is constant, 1 where both are equal and 0 otherwise.
    """

    first: str
    second: str
    bias: float
    rms: float
    correlation: float


def density_routes(
    denoiser: ScoreModule, base: Mixture, *, sigma: float, sigma_max: float, nodes: int = 10, steps: int = 24
) -> dict[str, Route]:
    """Return the methods for log p_sigma by name, each a function of scaled rows [N, d] -> [N], nats.

    `heat` is the reference. `energy` is present if the network has a log-density of its own. `path_integral` is the
    chapter's method, which is defined only up to a constant; the constant is set so that it equals `heat` at 0.
    """
    field = denoiser_field(denoiser)

    def integral(x: Tensor) -> Tensor:
        origin = heat_log_density(
            field, base, torch.zeros_like(x[:1]), nodes=nodes, sigma=sigma, sigma_max=sigma_max
        )
        return path_integral(denoiser.score, x, sigma=sigma) + origin

    routes: dict[str, Route] = {
        "heat": lambda x: heat_log_density(field, base, x, nodes=nodes, sigma=sigma, sigma_max=sigma_max),
        "flow": lambda x: flow_log_density(field, base, x, steps=steps, sigma=sigma, sigma_max=sigma_max),
        "flow_vp": lambda x: vp_flow_log_density(
            field, base, x, steps=steps, sigma=sigma, sigma_max=sigma_max
        ),
        "flow_hutchinson": lambda x: vp_flow_log_density(
            hutchinson_field(denoiser.score, probes=2), base, x, steps=steps, sigma=sigma, sigma_max=sigma_max
        ),
        "immse": lambda x: immse_log_density(denoiser.score, base, x, sigma=sigma, sigma_max=sigma_max),
        "path_integral": integral,
    }
    own = getattr(denoiser, "log_density", None)
    if own is not None:
        routes["energy"] = lambda x: own(x, sigma)
    return routes


def agreement(log_densities: Mapping[str, Tensor]) -> list[Agreement]:
    """Return the agreement of every pair of methods, given the log-densities [N] of the same rows by method."""
    found = []
    for (first, a), (second, b) in itertools.combinations(log_densities.items(), 2):
        gap = (a - b).double()
        found.append(
            Agreement(
                first,
                second,
                float(gap.mean()),
                float(gap.square().mean().sqrt()),
                _correlation(a.double(), b.double()),
            )
        )
    return found


def _correlation(a: Tensor, b: Tensor) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = float(torch.linalg.vector_norm(a) * torch.linalg.vector_norm(b))
    return float(a @ b) / scale if scale > 0 else float(torch.allclose(a, b))
