"""Simulate return paths from a given state for stress tests: alternate draws of the return and of the next state.

One step is one forecast of `horizon` bars. From a state x of volatility v (root mean square log-return per bar):

1. Draw a component of p(y | x), and y from it. The log-return is y v sqrt(horizon). The mixture is read as a mixture
   over volatility, so v times the component's root mean square is the volatility of these bars.
2. Compute the features that are sums over bars of the path: returns and volatilities of `horizon` bars and more.
3. Draw all other features from the state density given those of 2 (`conditional_rows`). This is the next state x.

References:
    A Subordinated Stochastic Process Model with Finite Variance for Speculative Prices (Clark, 1973): step 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from .base.printable import one_line
from .errors import FeatureMismatch
from .features import FeatureSet
from .forward.distribution import ForwardReturn
from .model import ScoreModel
from .sampling.conditional import conditional_rows
from .sampling.known_values import scale_known_values
from .score.training import threads

__all__ = ["Past", "ScenarioPaths", "scenario_paths"]

Array = NDArray[np.float64]

# Windows, in bars, of the features that are a volatility in units of `volatility`.
_RATIOS = {"chapter": {}, "extended": {"volatility_ratio": 24, "volatility_720": 720}}


@dataclass(frozen=True)
class ScenarioPaths:
    """Simulated paths of one market; losses are positive fractions of the value of a long position.

    Attributes:
        bars: [S + 1], bars since the start, beginning with 0.
        log_return: [n, S + 1], log-return since the start.
        volatility: [n, S + 1], root mean square log-return per bar, the model's `volatility` feature.
    """

    bars: NDArray[np.int64]
    log_return: Array
    volatility: Array

    def __repr__(self) -> str:
        return one_line(self, **vars(self))

    def quantile(self, q: float) -> Array:
        """Return the q-quantile of the log-return since the start, [S + 1]."""
        return np.asarray(np.quantile(self.log_return, q, axis=0))

    def value_at_risk(self, alpha: float = 0.05) -> Array:
        """Return the loss exceeded by a share `alpha` of the paths, [S + 1]."""
        return np.asarray(np.quantile(self._loss(), 1 - alpha, axis=0))

    def expected_shortfall(self, alpha: float = 0.05) -> Array:
        """Return the mean loss of the worst share `alpha` of the paths, [S + 1]."""
        worst = max(round(alpha * len(self.log_return)), 1)
        return np.asarray(np.sort(self._loss(), axis=0)[-worst:].mean(axis=0))

    def max_drawdown(self) -> Array:
        """Return each path's largest loss from an earlier peak, [n], measured once per step."""
        peak = np.maximum.accumulate(self.log_return, axis=1)
        return np.asarray(-np.expm1((self.log_return - peak).min(axis=1)))

    def drawdown_quantile(self, q: float) -> float:
        """Return the q-quantile of the paths' maximum drawdown."""
        return float(np.quantile(self.max_drawdown(), q))

    def _loss(self) -> Array:
        return np.asarray(-np.expm1(self.log_return))


def scenario_paths(
    model: ScoreModel, x: Array, n: int, steps: int, *, horizon: int | None = None, seed: int = 0
) -> ScenarioPaths:
    """Draw n paths of `steps` forecasts of `horizon` bars each (default: the main horizon) from a raw state x [F].

    x may also be one state per path, [n, F], e.g. stressed states from
    `model.scenarios(n, {"volatility": 0.02, "return_24": -4.0})`.

    Assumptions:

    - Given the state, returns of successive horizons are independent.
    - Where a feature's window still includes bars before the start, these bars all have the window's mean.
    - Features that are not sums over returns (volume, funding, open interest, range, position, season, windows shorter
      than the horizon) do not depend on their past, only on the features that are.
    - The distribution is that of the training years, crashes included: no larger jumps, no liquidation spirals and no
      effect of the user's own orders.

    Raises:
        ConfigError: if the model was not trained for that horizon.
        FeatureMismatch: for a user-defined feature set, or if x is not finite or its shape is neither [F] nor [n, F].
    """
    if model.features.name not in _RATIOS:
        raise FeatureMismatch(
            f"expected a model with one of the feature sets {', '.join(_RATIOS)}, "
            f"found {model.features.name!r}; train a model with one of these"
        )
    length = model.config.forward.horizon if horizon is None else horizon
    state, width = np.asarray(x, dtype=np.float64), len(model.features.names)
    if state.shape not in ((width,), (n, width)) or not np.isfinite(state).all():
        raise FeatureMismatch(
            f"expected a finite state of shape [{width}] or [{n}, {width}], found {list(state.shape)}"
        )
    state = np.broadcast_to(state, (n, width))
    rng = np.random.default_rng(seed)
    past = Past(model.features, state, length)
    volatility = [past.volatility()]
    for _ in range(steps):
        y, spread = _draw(model.forward(state, length), rng)
        past.add(y * volatility[-1] * math.sqrt(length), (spread * volatility[-1]) ** 2)
        volatility.append(past.volatility())
        state = _next_state(model, past.known(), int(rng.integers(2**31)))
    log_return = np.cumsum([np.zeros(n), *past.moves], axis=0).T
    return ScenarioPaths(length * np.arange(steps + 1), log_return, np.stack(volatility, axis=1))


class Past:
    """The bars in each feature's window: the steps so far; bars before the start have the mean of the window."""

    def __init__(self, features: FeatureSet, state: Array, horizon: int) -> None:
        column = {name: state[:, index] for index, name in enumerate(features.names)}
        self.horizon, self.window = horizon, features.volatility_window
        self.simple = features.name == "chapter"  # its returns are sums of simple ones
        self.moves: list[Array] = []
        self.squares: list[Array] = []
        square = column["volatility"] ** 2
        self.ratios = {name: bars for name, bars in _RATIOS[features.name].items() if bars >= horizon}
        self.returns = {
            name: bars
            for name in features.names
            if name.startswith("return_") and (bars := int(name.removeprefix("return_"))) >= horizon
        }
        self.before = {name: column[name] ** 2 * square for name in self.ratios} | {"volatility": square}
        for name, bars in self.returns.items():
            log_return = (
                column[name] - 0.5 * bars * square if self.simple else column[name] * np.sqrt(bars * square)
            )
            self.before[name] = log_return / bars

    def add(self, move: Array, square: Array) -> None:
        """Add a step: its log-return [n] and its mean square log-return per bar [n]."""
        self.moves.append(move)
        self.squares.append(square)

    def volatility(self) -> Array:
        return np.sqrt(self._mean([self.horizon * s for s in self.squares], "volatility", self.window))

    def known(self) -> dict[str, Array]:
        """Return the raw values [n], by name, of the features that the path determines."""
        volatility = self.volatility()
        out = {"volatility": volatility}
        for name, bars in self.ratios.items():
            out[name] = np.sqrt(self._mean([self.horizon * s for s in self.squares], name, bars)) / volatility
        for name, bars in self.returns.items():
            moved = bars * self._mean(self.moves, name, bars)
            drag = 0.5 * bars * volatility**2
            out[name] = moved + drag if self.simple else moved / (volatility * math.sqrt(bars))
        return out

    def _mean(self, steps: list[Array], name: str, bars: int) -> Array:
        """Return the mean per bar of per-step sums over the window of the last `bars` bars."""
        total = max(bars - self.horizon * len(steps), 0) * self.before[name]
        for age, values in enumerate(reversed(steps)):
            total = total + min(max(bars / self.horizon - age, 0.0), 1.0) * values
        return np.asarray(total / bars)


def _draw(forecast: ForwardReturn, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw y [n]; also return the root mean square deviation of its component from E[y | x], [n]."""
    rows = np.arange(len(forecast.weights))
    share = forecast.weights.cumsum(axis=1)
    pick = (rng.random((len(rows), 1)) * share[:, -1:] > share[:, :-1]).sum(axis=1)
    mean, width = forecast.means[rows, pick], forecast.widths[rows, pick]
    return mean + width * rng.standard_normal(len(rows)), np.hypot(width, mean - forecast.mean)


def _next_state(model: ScoreModel, known: dict[str, Array], seed: int) -> Array:
    names = model.features.names
    scaled = scale_known_values(names, model.scaler, known)
    with threads(1):
        z = conditional_rows(
            model.denoiser,
            model.base,
            seed,
            columns=list(scaled),
            values=torch.from_numpy(np.stack(list(scaled.values()), axis=1)),
            sigma_min=model.config.noise.sigma_min,
        )
    x = model.scaler.inverse(z.numpy())
    for name, values in known.items():
        x[:, names.index(name)] = values
    return x
