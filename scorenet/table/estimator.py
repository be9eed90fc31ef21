"""ScoreDensity: the density of a raw table as a scikit-learn estimator.

References:
    scikit-learn's rules for estimators: https://scikit-learn.org/stable/developers/develop.html
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn import config_context
from sklearn.base import BaseEstimator, DensityMixin, OutlierMixin, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from ..config import NoiseConfig, StateConfig
from ..sampling.registry import SAMPLERS
from ..score.fit import build_denoiser
from ..score.training import seeded, threads
from .column_transforms import Columns
from .recipe import TableRecipe, fit_stack

__all__ = ["ScoreDensity"]

Array = NDArray[np.float64]

_SIGMA_MAX = 20.0
_BLOCK = 65_536  # rows transformed at a time
_BATCH = 512
_OFFSET_ROWS = 2_000  # training rows whose log-densities set the threshold `offset_`


class _Setting:
    """Hide a constructor parameter as an attribute: scikit-learn takes an object with `transform` for a transformer."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type | None = None) -> str:
        raise AttributeError(f"ScoreDensity is no transformer; its setting is get_params()[{self._name!r}]")

    def __set__(self, instance: object, value: str) -> None:
        vars(instance)[self._name] = value


def _judges_its_own_rows(estimator: ScoreDensity) -> bool:
    if estimator.novelty:
        raise AttributeError(
            "fit_predict labels the fitted rows, but novelty=True sets the threshold for new rows; "
            "use ScoreDensity(novelty=False), or fit and predict on other rows"
        )
    return True


class ScoreDensity(OutlierMixin, DensityMixin, BaseEstimator):  # type: ignore[misc]
    """Learn log p(x), its gradient and a sampler from a raw table [N, D], and detect unusual rows.

    The density is a weighted sum of normalised densities: a full-covariance Gaussian mixture, kernel density estimates
    of several widths, and a score network that corrects the mixture. The weights maximise the likelihood of held-out
    rows. The density is evaluated at a small noise level, `sigma` standard deviations of the columns; it does not
    resolve differences smaller than that.

    Args:
        objective: how the network is trained: "dsm" (multi-scale denoising, the default), "denoising", "implicit",
            "sliced", "sliced_vr", "dual" (with network="energy"), or one of `register_objective`.
        network: "preconditioned" (the default), "score_network", "multi_scale", "energy", or one of `register_network`.
        members: number of networks, trained from different seeds, whose scores are averaged.
        sampler: method for samples from the network: "heun" (the default), "predictor_corrector", "langevin",
            "corrected_langevin", "chapter_langevin", or one of `register_sampler`.
        transform: "auto" applies a sinh-arcsinh transform to skewed and heavy-tailed columns and standardises;
            "standardize" only standardises, and the score at sigma is then that of X plus Gaussian noise of sigma times
            the column's standard deviation.
        sigma: the noise level of densities and scores, in units of the scaled columns.
        max_components: largest number of mixture components to try.
        hidden: width of the network.
        steps: training steps of the network; tables of fewer than 400 rows get no network.
        max_seconds: limit of the training time in wall-clock seconds; the network gets the time left by the mixture.
        contamination: share of ordinary rows that `predict` labels unusual.
        novelty: True sets the threshold on rows that were not fitted, so that the share holds for new rows. False sets
            it on the training rows, whose own kernels raise their density above that of new rows. The meaning is that
            of `LocalOutlierFactor`.
        device: "auto" (the GPU if there is one), "cpu" or "cuda"; for training.
        random_state: seed.
        progress: show a progress bar on stderr.

    Attributes:
        offset_: log-density below which a row is unusual; `decision_function` is `score_samples` minus it.
        columns_: the transform of each column.
        density_: the fitted density of scaled columns.
        n_features_in_: number of columns D.

    References:
        A Connection Between Score Matching and Denoising Autoencoders (Vincent, 2011).
        Linearly Combining Density Estimators via Stacking (Smyth & Wolpert, 1999).
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "objective": [str],
        "network": [str],
        "members": [Interval(Integral, 1, 64, closed="both")],
        "sampler": [str],
        "transform": [StrOptions({"auto", "standardize"})],
        "sigma": [Interval(Real, 0, _SIGMA_MAX / 2, closed="neither")],
        "max_components": [Interval(Integral, 1, 1024, closed="both")],
        "hidden": [Interval(Integral, 1, 4096, closed="both")],
        "steps": [Interval(Integral, 1, None, closed="left")],
        "max_seconds": [Interval(Real, 0, None, closed="neither"), None],
        "contamination": [Interval(Real, 0, 0.5, closed="right")],
        "novelty": ["boolean"],
        "device": [str],
        "random_state": ["random_state"],
        "progress": ["boolean"],
    }

    transform = _Setting()

    def __init__(
        self,
        *,
        objective: str = "dsm",
        network: str = "preconditioned",
        members: int = 1,
        sampler: str = "heun",
        transform: str = "auto",
        sigma: float = 0.05,
        max_components: int = 32,
        hidden: int = 96,
        steps: int = 1200,
        max_seconds: float | None = None,
        contamination: float = 0.05,
        novelty: bool = True,
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        progress: bool = False,
    ) -> None:
        self.objective = objective
        self.network = network
        self.members = members
        self.sampler = sampler
        self.transform = transform
        self.sigma = sigma
        self.max_components = max_components
        self.hidden = hidden
        self.steps = steps
        self.max_seconds = max_seconds
        self.contamination = contamination
        self.novelty = novelty
        self.device = device
        self.random_state = random_state
        self.progress = progress

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's parameters by name."""
        return {name: vars(self)[name] for name in self._get_param_names()}

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        return " ".join(super().__repr__(N_CHAR_MAX).split())

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Fit the density of the rows of X [N, D] on one torch thread; the same seed gives the same density.

        Raises:
            ValueError: for fewer than two rows, a missing or infinite value, or a table whose columns are all constant.
            ConfigError: a ValueError, for an unknown or incompatible objective, network or sampler.
            Diverged: when the training loss becomes non-finite.
        """
        x = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        random = check_random_state(self.random_state)
        self.columns_ = Columns.fit(x, bend=vars(self)["transform"] == "auto")
        if not self.columns_.moving.any():
            raise ValueError(
                f"expected at least one column that varies, found {x.shape[1]} constant ones in {len(x)} rows; "
                "a density needs two different values"
            )
        z = torch.empty(len(x), int(self.columns_.moving.sum()))
        for begin in range(0, len(x), _BLOCK):
            z[begin : begin + _BLOCK] = torch.from_numpy(self.columns_.scale(x[begin : begin + _BLOCK]))
        recipe = TableRecipe(
            state=StateConfig(
                objective=self.objective,
                network=self.network,
                members=int(self.members),
                max_components=self.max_components,
                hidden=self.hidden,
                steps=self.steps,
                # Its measured settings: the defaults of market states have a smaller batch and end early.
                batch_size=_BATCH,
                patience=0,
            ),
            noise=NoiseConfig(sigma_min=float(self.sigma), sigma_max=_SIGMA_MAX),
            sampler=self.sampler,
            seed=int(random.randint(2**31 - 1)),
            device=self.device,
            max_seconds=self.max_seconds,
            progress=self.progress,
        )
        # Names are checked even for tables too small to train a network.
        SAMPLERS[self.sampler]
        with seeded(0):
            build_denoiser(z.shape[1], recipe.state, recipe.noise, None)
        # The mixture is scikit-learn's, whose k-means initialisation works with NumPy only.
        with threads(1), config_context(array_api_dispatch=False):
            fitted = fit_stack(z, torch.from_numpy(self.columns_.resolution), recipe)
            self.density_ = fitted.stack
            if self.novelty:
                slope = self.columns_.log_slope(x[fitted.judges.numpy()])
                known = fitted.log_densities.numpy() + slope
            else:
                some = x if len(x) <= _OFFSET_ROWS else x[random.choice(len(x), _OFFSET_ROWS, replace=False)]
                known = self._log_density(some)
            self.offset_ = float(np.percentile(known, 100 * self.contamination))
        return self

    @available_if(_judges_its_own_rows)  # type: ignore[untyped-decorator]
    def fit_predict(self, X: ArrayLike, y: object = None, **kwargs: object) -> NDArray[np.int64]:
        """Fit the rows of X [N, D] and return +1 or -1 for each of them, [N]; for `novelty=False` only."""
        return np.asarray(self.fit(X).predict(X))

    def score_samples(self, X: ArrayLike) -> Array:
        """Return the log-density of each row of X [N, D], [N]: nats, in the units of X, Jacobians included.

        Constant columns have no density. For a row that differs in one, the log-probability of a new value by the rule
        of succession is added.
        """
        return self._log_density(self._checked(X))

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Return the mean log-density of the rows of X, like `GaussianMixture.score` (`KernelDensity` sums)."""
        return float(self.score_samples(X).mean())

    def score_function(self, X: ArrayLike, sigma: float | None = None) -> Array:
        """Return the score, the gradient of the log-density of each row in the units of X, [N, D].

        `sigma` is the noise level (default: the estimator's). Constant columns have score 0.
        """
        x = self._checked(X)
        z = torch.from_numpy(self.columns_.scale(x))
        gradient = self.density_.score(z, self.sigma if sigma is None else sigma).numpy()
        out = np.zeros_like(x)
        out[:, self.columns_.moving] = gradient * self.columns_.slope(x) + self.columns_.log_slope_gradient(x)
        return out

    def denoise(self, X: ArrayLike, sigma: float | None = None) -> Array:
        """Return the expected clean rows [N, D] of noisy rows X [N, D]; `sigma` defaults to the estimator's.

        This is Tweedie's formula on the scaled columns: x + sigma^2 score.
        """
        z = torch.from_numpy(self.columns_.scale(self._checked(X)))
        level = self.sigma if sigma is None else sigma
        return self.columns_.raw((z + level**2 * self.density_.score(z, level)).numpy(), on_lattice=False)

    def sample(self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None) -> Array:
        """Draw rows [n_samples, D] in the units of X; integer and other lattice columns stay on their lattice."""
        check_is_fitted(self)
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        rows = self.density_.sample(n_samples, torch.Generator().manual_seed(seed))
        return self.columns_.raw(rows.numpy(), on_lattice=True)

    def decision_function(self, X: ArrayLike) -> Array:
        """Return `score_samples(X) - offset_`, [N]: negative where a row is unusual."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return +1 for each usual row of X [N, D] and -1 for each unusual one, [N]."""
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def _checked(self, X: ArrayLike) -> Array:
        check_is_fitted(self)
        return np.asarray(validate_data(self, X, dtype=np.float64, reset=False))

    def _log_density(self, x: Array) -> Array:
        z = torch.from_numpy(self.columns_.scale(x))
        log_p = self.density_.log_density(z, self.sigma).numpy()
        return np.asarray(log_p + self.columns_.log_slope(x) + self.columns_.constant_log_probability(x))
