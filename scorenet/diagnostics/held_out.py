"""Held-out metrics of a model: the chapter's (DSM loss, score accuracy, density calibration) and further checks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..conformal.adaptive import adaptive_threshold
from ..conformal.calibration import coverage_error, ks_uniform
from ..conformal.dependence import rejected_share
from ..conformal.drift import first_alarm, population_stability
from ..score.noise import geometric_sigmas
from ..score.objectives import FrozenNoise, dsm_residual
from ..score.training import pick_device
from .explained_variance import explained_variance, gaussian_of
from .routes import agreement, density_routes
from .stein import jacobian_asymmetry, stein_identities
from .two_sample import two_sample_auc

if TYPE_CHECKING:
    from ..forward.distribution import ForwardReturn
    from ..model import ScoreModel
    from ..score.score_module import ScoreModule

__all__ = [
    "BRIEF",
    "LEVELS",
    "THOROUGH",
    "Extent",
    "forward_report",
    "gate_report",
    "held_out_metrics",
    "rank_report",
    "score_report",
]

Array = NDArray[np.float64]

LEVELS = (0.01, 0.05, 0.10)
_CURVE = np.linspace(0.0, 1.0, 41)
_PIT_BINS = 20


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How much of a score is checked; the time of a check is proportional to the rows.

    Attributes:
        rows: rows of the Stein identities, whose Jacobian takes d backward passes each.
        skew_rows: rows of the asymmetry of the Jacobian, at every noise level.
        route_rows: rows of the comparison of log-density methods.
        routes: the methods that are compared with the heat equation; None for all.
        auc_rows: rows and samples that the classifier tells apart.
    """

    rows: int
    skew_rows: int
    route_rows: int
    routes: tuple[str, ...] | None
    auc_rows: int


THOROUGH = Extent(rows=1_000, skew_rows=200, route_rows=200, routes=None, auc_rows=3_000)
BRIEF = Extent(rows=400, skew_rows=50, route_rows=48, routes=("flow",), auc_rows=1_000)


def held_out_metrics(model: ScoreModel, x: Array, y: Array) -> dict[str, float]:
    """Measure a model on raw states x [N, F] and forward returns y [N] (NaN allowed) that it has not seen.

    dsm_loss: mean over noise levels of |sigma score + noise|^2 per dimension (always above 0: noise hides the state).
    score_accuracy: correlation of the score with the denoising target -noise/sigma at the state signal's sigma, a
        lower bound of the correlation with the true score.
    density_calibration: largest difference between nominal and actual share of states below a density rank (0 is best).
    forward_*: information coefficient, hit rate, CRPS, CRPS of the unconditional distribution, and PIT distance.
    """
    z = torch.from_numpy(model.scaler.transform(x))
    by_sigma = FrozenNoise(z, model.config.noise).by_sigma(model.denoiser)
    metrics = {
        "dsm_loss": float(np.mean([loss for _, loss in by_sigma])),
        "score_accuracy": _score_accuracy(model, z),
        "density_calibration": coverage_error(model.density_rank(x)),
        "log_density": float(model.log_density(x).mean()),
    }
    finite = np.isfinite(y)
    if finite.sum() >= 2:
        metrics |= _forward_metrics(model.forward(x[finite]), y[finite])
    return {name: round(value, 6) for name, value in metrics.items()}


def score_report(
    model: ScoreModel,
    x: Array,
    *,
    block: int = 1,
    seed: int = 0,
    extent: Extent = THOROUGH,
    device: str = "cpu",
    said: Callable[[str], None] = lambda part: None,
) -> dict[str, Any]:
    """Check the score of a model on raw states x [N, F] in time order; `block` successive rows are near copies.

    `said` is called with the name of each part before it begins. Scores and densities are computed on `device`, in
    float64; noise is drawn on the CPU, and samples are drawn and told apart there.

    by_sigma: DSM loss, explained variance relative to the Gaussian denoiser, score accuracy, Jacobian asymmetry.
    stein: identities that are 0 for the true score, with standard errors.
    routes: differences in nats between log-density methods, and between the per-bar net and the reference method.
    two_sample: AUC of a boosted-tree classifier of data rows against samples of the model.
    """
    target = pick_device(device)
    z = torch.from_numpy(model.scaler.transform(x)).to(target)
    denoiser = copy.deepcopy(model.denoiser).to(target)
    noise, sigma = model.config.noise, model.config.density.sigma
    few = _thin(z, extent.rows)
    said("explained variance")
    levels = geometric_sigmas(noise.sigma_min, min(noise.sigma_max, 10.0), 10)
    explained = explained_variance(denoiser, gaussian_of(model.base), _thin(z, 4_000), levels)
    # The thinned rows are several bars apart, so a block of bars holds fewer of them.
    own_block = max(round(block * len(few) / len(z)), 1)
    checked = (sigma, model.config.state.signal_sigma, 2.0)
    skewed = few[: extent.skew_rows]
    by_sigma = [
        {**item._asdict(), "asymmetry": jacobian_asymmetry(denoiser.score, skewed, item.sigma)}
        for item in explained
    ]
    said("Stein identities")
    stein = [
        item._asdict()
        for level in checked
        for item in stein_identities(denoiser.score, few, level, block=own_block, seed=seed)
    ]
    said("density routes")
    routes = _routes(model, denoiser, _thin(z, extent.route_rows), extent.routes)
    said("samples")
    two_sample = _two_sample(model, _thin(z, extent.auc_rows).cpu().numpy(), seed)
    return {
        "rows": len(x),
        "by_sigma": by_sigma,
        "stein": stein,
        "routes": routes,
        "two_sample": two_sample,
    }


def rank_report(rank: Array, *, block: int, every: int = 24) -> dict[str, Any]:
    """Check density ranks [N] of successive bars: coverage, uniformity and drift; errors account for overlapping rows.

    coverage: share of rows with rank <= level, for levels from 0 to 1.
    drift_alarm: the row at which an alarm that uses one row in `every` goes off, or None.
    """
    alarm = first_alarm(rank, every=every)
    return {
        "density_calibration": coverage_error(rank),
        "kolmogorov_smirnov": ks_uniform(rank),
        "population_stability": population_stability(rank),
        "drift_alarm": alarm,
        "coverage": {"level": _CURVE.tolist(), "share": [float((rank <= a).mean()) for a in _CURVE]},
        "rejected": [rejected_share(rank, level, block)._asdict() for level in LEVELS],
    }


def gate_report(model: ScoreModel, log_density: Array, *, block: int) -> list[dict[str, float]]:
    """Compare the fixed and the adaptive threshold on log-densities [T] of successive bars, at 1, 5 and 10 %."""
    rank = model.calibration.density_rank(log_density)
    rows = []
    for level in LEVELS:
        plain = rejected_share(rank, level, block)
        adaptive = adaptive_threshold(log_density, model.calibration, level=level)
        rows.append(
            {
                "level": level,
                "split": plain.share,
                "split_standard_error": plain.standard_error,
                "adaptive": float(1 - adaptive.in_distribution.mean()),
            }
        )
    return rows


def forward_report(coming: ForwardReturn, y: Array) -> dict[str, Any]:
    """Check p(y | x) of N rows against the outcomes y [N]: log score, CRPS, PIT, quantiles, tail mean."""
    pit, worst = coming.pit(y), coming.quantile(0.05)
    beyond = y <= worst
    counts = np.histogram(pit, bins=_PIT_BINS, range=(0.0, 1.0))[0]
    return {
        "rows": len(y),
        **_forward_metrics(coming, y),
        "forward_log_score": float(coming.log_density(y).mean()),
        "pit": (counts / counts.sum()).tolist(),
        "below_quantile_5": float(beyond.mean()),
        "cvar_5": float(coming.cvar(0.05).mean()),
        "mean_beyond_quantile_5": float(y[beyond].mean()) if beyond.any() else None,
    }


def _routes(
    model: ScoreModel, denoiser: ScoreModule, z: torch.Tensor, names: tuple[str, ...] | None
) -> list[dict[str, Any]]:
    config, noise = model.config.density, model.config.noise
    routes = density_routes(denoiser, model.base, sigma=config.sigma, sigma_max=noise.sigma_max)
    with torch.no_grad():
        wanted = set(routes) - {"path_integral"} if names is None else {"heat", *names}
        found = {name: route(z).double() for name, route in routes.items() if name in wanted}
        found["per_bar"] = copy.deepcopy(model.density_net).to(z.device)(z).double()
    return [item._asdict() for item in agreement(found) if "heat" in (item.first, item.second)]


def _two_sample(model: ScoreModel, z: Array, seed: int) -> dict[str, float]:
    samples = model.scaler.transform(model.sample(len(z), seed=seed))
    return two_sample_auc(z, samples, seed=seed)._asdict()


def _thin(z: torch.Tensor, rows: int) -> torch.Tensor:
    return z if len(z) <= rows else z[torch.linspace(0, len(z) - 1, rows).long()]


def _score_accuracy(model: ScoreModel, z: torch.Tensor) -> float:
    generator = torch.Generator().manual_seed(7)
    noise = torch.randn(z.shape, generator=generator, dtype=z.dtype)
    sigma = torch.full((len(z), 1), model.config.state.signal_sigma, dtype=z.dtype)
    with torch.no_grad():
        predicted = dsm_residual(model.denoiser, z, sigma, noise) - noise
    return _correlation(predicted.numpy().ravel(), -noise.numpy().ravel())


def _forward_metrics(coming: ForwardReturn, y: Array) -> dict[str, float]:
    moved = y != 0
    return {
        "forward_ic": _correlation(coming.mean, y),
        "forward_hit_rate": float((np.sign(coming.score[moved]) == np.sign(y[moved])).mean())
        if moved.any()
        else 0.5,
        "forward_crps": float(coming.crps(y).mean()),
        "forward_crps_unconditional": _sample_crps(y),
        "forward_pit_ks": ks_uniform(coming.pit(y)),
    }


def _sample_crps(y: Array) -> float:
    """Return the CRPS of the empirical distribution of the held-out returns: the best forecast without features."""
    ordered, n = np.sort(y), len(y)
    weights = 2 * np.arange(1, n + 1) - n - 1
    return float((weights * ordered).sum() / n**2)


def _correlation(a: Array, b: Array) -> float:
    if a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])
