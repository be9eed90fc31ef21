"""Fit a full-covariance Gaussian mixture; held-out rows choose the number of components.

References:
    Maximum Likelihood from Incomplete Data via the EM Algorithm (Dempster, Laird & Rubin, 1977).
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .mixture import Mixture

__all__ = ["fit_mixture", "refit_mixture"]

_SEARCH_ROWS = 10_000  # rows for the choice of the number of components
_FIT_ROWS = 200_000  # rows for the fit of the chosen mixture
_PATIENCE = 2  # the search stops after this many sizes in a row without a gain
_RIDGE = 1e-5  # added to every variance: otherwise a column with one frequent value stops the fit


def fit_mixture(
    x: Tensor,
    held_out: Tensor,
    *,
    components: Sequence[int] = (1, 2, 4, 8, 16, 32),
    sigma: float = 0.05,
    seed: int = 0,
    seconds: float | None = None,
) -> Mixture:
    """Return the mixture of scaled rows x [N, d] with the highest likelihood of `held_out` [M, d] at level sigma.

    sigma is the smallest noise level at which the mixture is used. The search uses at most 10,000 rows and the
    final fit at most 200,000, which bounds time and memory. The same rows and seed give the same mixture, float64,
    on the CPU. `seconds` limits the wall-clock time of the search; the mixture then depends on the speed of the
    machine too.
    """
    rows, held = x.detach().double().cpu(), _thin(held_out.detach().double().cpu(), _SEARCH_ROWS)
    generator = torch.Generator().manual_seed(seed)
    noise = sigma * torch.randn(held.shape, generator=generator, dtype=torch.float64)
    noisy = torch.cat((held + noise, held - noise))
    search = _draw(rows, _SEARCH_ROWS, generator)
    # A component with fewer rows than dimensions would fit only these rows.
    most = max(len(rows) // (rows.shape[1] + 2), 1)
    best = Mixture.gaussian(rows)
    value, worse = best.log_density(noisy, sigma), 0
    began, previous = time.monotonic(), 0.0
    for count in sorted({min(int(k), most) for k in components} - {1}):
        started = time.monotonic()
        # The next size takes more than twice the time of the last, and the final fit comes after it.
        if seconds is not None and started - began + 4 * previous > seconds:
            break
        found = _em(search, count, seed, tolerance=1e-3)
        previous = time.monotonic() - started
        gain = found.log_density(noisy, sigma) - value
        # A pair of noised rows counts as one row. A gain within its standard error keeps the smaller mixture.
        steady = gain.view(2, -1).mean(0)
        if float(steady.mean()) > float(steady.std(correction=0)) / math.sqrt(len(held)):
            best, value, worse = found, value + gain, 0
        elif (worse := worse + 1) == _PATIENCE:
            break
    if len(best.weights) == 1:
        return best
    return _em(_draw(rows, _FIT_ROWS, generator), len(best.weights), seed, tolerance=1e-4, start=best)


def refit_mixture(x: Tensor, chosen: Mixture, *, seed: int = 0) -> Mixture:
    """Return a mixture of rows x [N, d] with as many components as `chosen`, where the search for it starts."""
    rows = x.detach().double().cpu()
    if len(chosen.weights) == 1:
        return Mixture.gaussian(rows)
    few = _draw(rows, _FIT_ROWS, torch.Generator().manual_seed(seed))
    return _em(few, len(chosen.weights), seed, tolerance=1e-4, start=chosen)


def _em(rows: Tensor, count: int, seed: int, *, tolerance: float, start: Mixture | None = None) -> Mixture:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    options: dict[str, Any] = {}
    if start is not None:
        ridge = _RIDGE * torch.eye(start.dim, dtype=torch.float64)
        options = {
            "weights_init": (start.weights / start.weights.sum()).numpy(),
            "means_init": start.means.numpy(),
            "precisions_init": torch.linalg.inv(start.covariances + ridge).numpy(),
        }
    estimator = GaussianMixture(
        count, reg_covar=_RIDGE, max_iter=100, tol=tolerance, random_state=seed, **options
    )
    # One thread: the order of sums, and so the mixture, would depend on the number of threads.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(rows.numpy())
    weights = torch.from_numpy(estimator.weights_)
    return Mixture(
        weights / weights.sum(),
        torch.from_numpy(estimator.means_),
        torch.from_numpy(estimator.covariances_),
    )


def _draw(rows: Tensor, n: int, generator: torch.Generator) -> Tensor:
    return rows if len(rows) <= n else rows[torch.randperm(len(rows), generator=generator)[:n]]


def _thin(rows: Tensor, n: int) -> Tensor:
    return rows if len(rows) <= n else rows[torch.linspace(0, len(rows) - 1, n).long()]
