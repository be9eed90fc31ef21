"""Held-out quality of a model, by the chapter's names (DSM loss, score accuracy, density calibration) and some more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from scorenet.calibration import coverage_error, ks_uniform
from scorenet.objectives import FrozenNoise, dsm_residual

if TYPE_CHECKING:
    from scorenet.model import ScoreModel

__all__ = ["held_out_metrics"]

Array = NDArray[np.float64]


def held_out_metrics(model: ScoreModel, x: Array, y: Array) -> dict[str, float]:
    """Measure a model on raw states x [N, F] and forward returns y [N] (NaN allowed) that it has not seen.

    dsm_loss: mean over noise levels of |sigma score + noise|^2 per dimension (0 is impossible: noise hides the state).
    score_accuracy: correlation of the score with the denoising target -noise/sigma at the state signal's
        sigma; a lower bound of the correlation with the true score.
    density_calibration: largest gap between nominal and actual share of states below a density rank (0 is best).
    forward_*: information coefficient, hit rate, CRPS beside that of the unconditional law, and PIT distance.
    """
    z = torch.from_numpy(model.scaler.transform(x))
    by_sigma = FrozenNoise(z, model.config.noise).by_sigma(model.denoiser)
    metrics = {
        "dsm_loss": float(np.mean([loss for _, loss in by_sigma])),
        "score_accuracy": _score_accuracy(model, z),
        "density_calibration": coverage_error(model.density_rank(x)),
        "log_density": float(model.log_density(x).mean()),
    }
    known = np.isfinite(y)
    if known.sum() >= 2:
        metrics |= _forward_metrics(model, x[known], y[known])
    return {name: round(value, 6) for name, value in metrics.items()}


def _score_accuracy(model: ScoreModel, z: torch.Tensor) -> float:
    generator = torch.Generator().manual_seed(7)
    noise = torch.randn(z.shape, generator=generator, dtype=z.dtype)
    sigma = torch.full((len(z), 1), model.config.state.signal_sigma, dtype=z.dtype)
    with torch.no_grad():
        predicted = dsm_residual(model.denoiser, z, sigma, noise) - noise
    return _correlation(predicted.numpy().ravel(), -noise.numpy().ravel())


def _forward_metrics(model: ScoreModel, x: Array, y: Array) -> dict[str, float]:
    coming = model.forward(x)
    pit = coming.cdf(y)
    moved = y != 0
    return {
        "forward_ic": _correlation(coming.mean, y),
        "forward_hit_rate": float((np.sign(coming.score[moved]) == np.sign(y[moved])).mean())
        if moved.any()
        else 0.5,
        "forward_crps": float(coming.crps(y).mean()),
        "forward_crps_unconditional": _sample_crps(y),
        "forward_pit_ks": ks_uniform(pit),
    }


def _sample_crps(y: Array) -> float:
    """CRPS of the held-out returns' own unconditional law: what a forecast without features could reach at best."""
    ordered, n = np.sort(y), len(y)
    weights = 2 * np.arange(1, n + 1) - n - 1
    return float((weights * ordered).sum() / n**2)


def _correlation(a: Array, b: Array) -> float:
    if a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])
