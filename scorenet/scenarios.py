"""Paths of returns from a given state, for stress tests: p(y | x) draws the move, p(x | what moved) the next state.

One step is one forecast of `horizon` bars. From a state x of volatility v (root mean square log-return per bar):

1. A component of p(y | x) is drawn, and y from it: the log-return is y v sqrt(horizon). How far the component reaches
   is taken for how much the market moved meanwhile (a mixture of normals is one over volatility): v times its root
   mean square is the volatility of these bars.
2. Features that are sums over the path's own bars follow from 1: returns and volatilities of `horizon` bars and more.
3. All others are drawn from the state density, given those of 2 (`conditional_rows`): a new state, and again 1.

References:
    A Subordinated Stochastic Process Model with Finite Variance for Speculative Prices (Clark, 1973): step 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from .errors import FeatureMismatch
from .features import FeatureSet
from .forward.distribution import ForwardReturn
from .model import ScoreModel
from .sampling.conditional import conditional_rows
from .sampling.known_values import scale_known
from .score.training import threads

__all__ = ["ScenarioPaths", "scenario_paths"]

Array = NDArray[np.float64]

# Bars behind features that are a volatility in units of `volatility`.
_RATIOS = {"chapter": {}, "extended": {"volatility_ratio": 24, "volatility_720": 720}}


@dataclass(frozen=True)
class ScenarioPaths:
    """Paths of one market from one instant; losses are those of a long position, positive, a fraction of its value.

    Attributes:
        bars: [S + 1], bars since the start, 0 first.
        log_return: [n, S + 1], log-return since the start.
        volatility: [n, S + 1], root mean square log-return per bar, as the model's state has it.
    """

    bars: NDArray[np.int64]
    log_return: Array
    volatility: Array

    def quantile(self, q: float) -> Array:
        """Return the q-quantile of the log-return since the start, [S + 1]."""
        return np.asarray(np.quantile(self.log_return, q, axis=0))

    def value_at_risk(self, alpha: float = 0.05) -> Array:
        """Return the loss that a share `alpha` of the paths exceeds, [S + 1]."""
        return np.asarray(np.quantile(self._loss(), 1 - alpha, axis=0))

    def expected_shortfall(self, alpha: float = 0.05) -> Array:
        """Return the mean loss of the worst share `alpha` of the paths, [S + 1]."""
        worst = max(round(alpha * len(self.log_return)), 1)
        return np.asarray(np.sort(self._loss(), axis=0)[-worst:].mean(axis=0))

    def max_drawdown(self) -> Array:
        """Return each path's largest loss from a peak before it, [n], seen once a step."""
        peak = np.maximum.accumulate(self.log_return, axis=1)
        return np.asarray(-np.expm1((self.log_return - peak).min(axis=1)))

    def drawdown_quantile(self, q: float) -> float:
        """Return the largest loss from a peak that a share q of the paths stays below."""
        return float(np.quantile(self.max_drawdown(), q))

    def _loss(self) -> Array:
        return np.asarray(-np.expm1(self.log_return))


def scenario_paths(
    model: ScoreModel, x: Array, n: int, steps: int, *, horizon: int | None = None, seed: int = 0
) -> ScenarioPaths:
    """Draw n paths of `steps` forecasts of `horizon` bars each (default: the main horizon) from a raw state x [F].

    A stress test starts where the market is not: x may also be a start per path, [n, F], such as
    `model.scenarios(n, {"volatility": 0.02, "return_24": -4.0})`.

    What is assumed: given the state, returns of successive horizons are independent; bars before the start, where a
    window still reaches back to them, are all at that window's mean; features that are no sums over returns (volume,
    funding, open interest, range, position, season, windows shorter than the horizon) forget their past and follow from
    those that are; and the years that trained the model, also its crashes, are what may happen. No jump beyond them,
    no liquidation spiral, no feedback of one's own orders.

    Raises:
        ConfigError: if the model was not trained for that horizon.
        FeatureMismatch: for a feature set that is not the package's, or if x is not finite or has another shape than
            [F] or [n, F].
    """
    if model.features.name not in _RATIOS:
        raise FeatureMismatch(
            f"paths know the feature sets {', '.join(_RATIOS)} and what a path does to them; "
            f"found {model.features.name!r}"
        )
    length = model.config.forward.horizon if horizon is None else horizon
    state, width = np.asarray(x, dtype=np.float64), len(model.features.names)
    if state.shape not in ((width,), (n, width)) or not np.isfinite(state).all():
        raise FeatureMismatch(
            f"expected a finite state of shape [{width}] or [{n}, {width}], found {list(state.shape)}"
        )
    state = np.broadcast_to(state, (n, width))
    rng = np.random.default_rng(seed)
    past = _Past(model.features, state, length)
    volatility = [past.volatility()]
    for _ in range(steps):
        y, spread = _draw(model.forward(state, length), rng)
        past.add(y * volatility[-1] * math.sqrt(length), (spread * volatility[-1]) ** 2)
        volatility.append(past.volatility())
        state = _next_state(model, past.known(), int(rng.integers(2**31)))
    log_return = np.cumsum([np.zeros(n), *past.moves], axis=0).T
    return ScenarioPaths(length * np.arange(steps + 1), log_return, np.stack(volatility, axis=1))


class _Past:
    """What a path's windows hold: the steps so far, and the bars before the start at the mean of their window."""

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
        """Return the raw values [n] of the features that the path determines, by name."""
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
        """Return the mean per bar of what the steps add up to, in the window of the last `bars`."""
        total = max(bars - self.horizon * len(steps), 0) * self.before[name]
        for age, values in enumerate(reversed(steps)):
            total = total + min(max(bars / self.horizon - age, 0.0), 1.0) * values
        return np.asarray(total / bars)


def _draw(law: ForwardReturn, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw y [n], and the root mean square distance from E[y | x] of the component that it came from, [n]."""
    rows = np.arange(len(law.weights))
    share = law.weights.cumsum(axis=1)
    pick = (rng.random((len(rows), 1)) * share[:, -1:] > share[:, :-1]).sum(axis=1)
    mean, width = law.means[rows, pick], law.widths[rows, pick]
    return mean + width * rng.standard_normal(len(rows)), np.hypot(width, mean - law.mean)


def _next_state(model: ScoreModel, known: dict[str, Array], seed: int) -> Array:
    names = model.features.names
    scaled = scale_known(names, model.scaler, known)
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
