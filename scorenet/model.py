"""ScoreModel: a trained model for strategies, with raw features or bars as input."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .calendars import Clock, clock_of
from .checkpoint import dump_model, load_model, parse_model, save_model
from .config import RegimeConfig
from .density.heat import heat_log_density
from .errors import ConfigError
from .evaluation import BLOCK, Evaluation, evaluate_bars, output_key, remembered
from .features import Bars
from .forward.distribution import ForwardReturn
from .forward.net import ForwardNet
from .parts import ModelParts
from .regimes.coordinates import coordinates
from .regimes.fit import fit_regimes
from .regimes.labels import state_regimes
from .sampling.atoms import onto_atoms
from .sampling.conditional import conditional
from .sampling.known_values import check_known_values, scale_known_values
from .sampling.registry import SAMPLERS
from .score.divergence import denoiser_field
from .score.signal_score import SignalScore
from .score.training import limit_worker_threads, threads
from .signals import SIGNALS, check_calibrated, signal_scores

__all__ = ["SIGNALS", "Evaluation", "ScoreModel"]

Array = NDArray[np.float64]

_FEW = 64  # evaluations of fewer decided rows are not cached


@dataclass(frozen=True, eq=False, repr=False)
class ScoreModel(ModelParts):
    """A trained density of market states and of forward returns.

    `score`, `log_density`, `denoise` and `forward` take raw features x [N, F], in the order of `features.names`;
    sigma is in units of the scaled features. Inference is in float64 and row by row: an output does not depend on
    the other rows.

    Attributes:
        features: the feature set of the training.
        config: the settings of the training.
        further: nets of p(y | x) for horizons other than the main one.
        atoms: values that many training rows share exactly; samples take them too.
        regime_map: the market regimes of the training span; None in a folder written before there were any.
        info: training span, symbols, timeframe, hashes, versions, log and held-out metrics.
    """

    _signal_score: SignalScore = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("denoiser", "density_net", "forward_net"):
            double = copy.deepcopy(getattr(self, name)).double().eval().requires_grad_(False)
            object.__setattr__(self, name, double)
        sigma, column = self.config.state.signal_sigma, self.features.return_index
        object.__setattr__(self, "_signal_score", SignalScore(self.denoiser, sigma, column))
        further = {
            h: copy.deepcopy(net).double().eval().requires_grad_(False) for h, net in self.further.items()
        }
        object.__setattr__(self, "further", further)

    def __reduce__(self) -> tuple[Any, ...]:
        # Workers receive the bytes of the model folder; torch would pass tensors through shared-memory files.
        return _unpack, dump_model(self)

    @classmethod
    def load(cls, path: str | Path) -> ScoreModel:
        """Load a model folder (safetensors and JSON; nothing is unpickled).

        Raises:
            CheckpointError: the folder is missing, damaged, invalid or of another version.
        """
        return _assemble(load_model(Path(path)))

    def save(self, path: str | Path) -> Path:
        """Write the model folder atomically.

        Raises:
            CheckpointError: the folder cannot be written, or `path` is another kind of folder.
        """
        return save_model(self, Path(path))

    @property
    def lookback(self) -> int:
        """Bars before the current one that a state needs."""
        return self.features.lookback

    @property
    def calendar(self) -> str | None:
        """Name of the trading calendar of the model's markets; None if they never close."""
        return self.info.get("calendar")

    @property
    def clock(self) -> Clock:
        """The clock of the model's markets at its bar size.

        Raises:
            ConfigError: exchange_calendars is not installed.
        """
        return clock_of(self.calendar, int(self.info.get("bar_ms") or 1))

    def score(self, x: Array, sigma: float | None = None) -> Array:
        """Return the score of the scaled states, [N, F], at noise level sigma (default: that of the state signal)."""
        level = self.config.state.signal_sigma if sigma is None else sigma
        return self._rows(x, lambda z: self.denoiser.score(z, level))

    def log_density(self, x: Array) -> Array:
        """Return log p of scaled states at the density sigma, [N], nats, by the per-bar net."""
        return self._rows(x, self.density_net)

    def reference_log_density(self, x: Array, sigma: float | None = None) -> Array:
        """Return log p of scaled states, [N], nats, by the heat equation: the slow reference of `log_density`."""
        config, noise = self.config.density, self.config.noise
        level = config.sigma if sigma is None else sigma
        field = denoiser_field(self.denoiser)

        def route(z: Tensor) -> Tensor:
            return heat_log_density(
                field, self.base, z, sigma=level, sigma_max=noise.sigma_max, nodes=config.nodes
            )

        return self._rows(x, route)

    def density_rank(self, x: Array) -> Array:
        """Return the conformal p-value of each state, [N]: 0.05 means rarer than 95 % of the calibration span."""
        return self.calibration.density_rank(self.log_density(x))

    def in_distribution(self, x: Array, density_quantile: float = 0.05) -> NDArray[np.bool_]:
        """Return [N] whether each state's density rank is at least `density_quantile`."""
        return self.density_rank(x) >= density_quantile

    def denoise(self, x: Array, sigma: float) -> Array:
        """Return E[clean state | x observed with noise sigma] as raw features, [N, F] (Tweedie)."""
        return self.scaler.inverse(self._rows(x, lambda z: self.denoiser(z, sigma)))

    def sample(self, n: int, seed: int = 0) -> Array:
        """Draw n market states as raw features [n, F], with the sampler in the settings."""
        noise, sampler = self.config.noise, SAMPLERS[self.config.sampler]
        z = sampler(self.denoiser, self.base, n, seed, sigma_min=noise.sigma_min, sigma_max=noise.sigma_max)
        return self._raw(z)

    def scenarios(self, n: int, known: Mapping[str, float], seed: int = 0) -> Array:
        """Draw n market states [n, F] given the raw values of some features, by name: p(the others | known).

        A known value is fixed up to noise of sigma_min in scaled units.

        Raises:
            FeatureMismatch: the model has no such feature, or the feature cannot have the value.
        """
        if not known:
            return self.sample(n, seed)
        names, noise = self.features.names, self.config.noise
        check_known_values(names, self.scaler, known)
        scaled = scale_known_values(names, self.scaler, {name: np.array([known[name]]) for name in known})
        with threads(1):
            z = conditional(
                self.denoiser,
                self.base,
                n,
                seed,
                known={column: float(values[0]) for column, values in scaled.items()},
                sigma_min=noise.sigma_min,
                sigma_max=noise.sigma_max,
            )
        x = self._raw(z)
        for name, value in known.items():
            x[:, names.index(name)] = value
        return x

    def forward(self, x: Array, horizon: int | None = None) -> ForwardReturn:
        """Return p(y | x) of the volatility-scaled return over `horizon` bars (default: the main horizon).

        Raises:
            ConfigError: the model was not trained for that horizon.
        """
        net = self._forward_net(horizon)
        with torch.inference_mode(), threads(1):
            z = torch.from_numpy(self.scaler.transform(x))
            return ForwardReturn.from_net(net, z, self.config.forward.signal_sigma)

    def regimes(self, x: Array, time: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Return the number of the regime of each state, [N], as in `regime_map.names`; -1 where it is not finite.

        Without `time`: the regime in whose mode the flow of the state ends, each state alone. With `time` [N] (UTC
        ms, increasing): the likeliest regime given the last 168 bars, a label that lasts and uses no later bar.

        Raises:
            ConfigError: the model has no regimes, or the times do not increase by whole bars.
        """
        position = coordinates(self.features.names, x, self.lookback)
        when = None if time is None else self.clock.trading_ms(time)
        return state_regimes(self.regime_map, position, when, self.info.get("bar_ms"))

    def with_regimes(
        self, x: Array, time: NDArray[np.int64], settings: RegimeConfig | None = None
    ) -> ScoreModel:
        """Return this model with the regimes of raw states x [N, F] at time [N] (UTC ms); see `fit_regimes`.

        Rows of several symbols follow each other, each in the order of time. The settings default to the model's.

        Raises:
            TooFewBars: there are fewer than 256 states.
            FeatureMismatch: the features have no volatility or no return.
        """
        position, chosen = coordinates(self.features.names, x, self.lookback), settings or self.config.regimes
        when = self.clock.trading_ms(time)
        found = fit_regimes(x, position, when, int(self.info["bar_ms"]), chosen, seed=self.config.seed)
        return replace(self, regime_map=found)

    @property
    def horizon(self) -> int:
        """Bars ahead of the main forecast."""
        return self.config.forward.horizon

    @property
    def learned_until(self) -> int | None:
        """Close of the last bar that trained or calibrated the model, UTC ms; None if that is not recorded."""
        ends = [self.info[name][1] for name in ("training_span", "calibration_span") if name in self.info]
        return max(ends) + int(self.info["bar_ms"]) if ends else None

    def evaluate(
        self, bars: Bars, signal: str = "forward", step_ms: int | None = None, *, tails: bool = False
    ) -> Evaluation:
        """Evaluate every bar of a market: columns of [T] in, `Evaluation` of [T] out.

        A tail of `lookback + 1` bars gives the same last value as the whole series. Results are cached, so a sweep
        over thresholds evaluates the nets once. The tail means of the forward return are computed only if `tails`.

        Raises:
            FeatureMismatch: the bars lack a column that the model reads.
            ConfigError: the model is not calibrated for the signal.
        """
        check_calibrated(signal, self.calibration.magnitude)
        if len(bars["close"]) <= self.lookback + _FEW:
            return self._evaluate(bars, signal, step_ms, tails)
        columns = {name: bars[name] for name in (*self.features.inputs, "timestamp") if name in bars}
        key = output_key(self.fingerprint, columns, signal, step_ms, tails)
        return remembered(key, lambda: self._evaluate(bars, signal, step_ms, tails))

    def _evaluate(self, bars: Bars, signal: str, step_ms: int | None, tails: bool) -> Evaluation:
        return evaluate_bars(self, bars, signal, step_ms, tails=tails)

    def signal_score(self, x: Array, signal: str) -> Array:
        """Return a registered signal's score [N] of raw states x [N, F], whether calibrated or not."""
        z = torch.from_numpy(self.scaler.transform(x))
        with torch.inference_mode(), threads(1):
            parts = [
                signal_scores(signal, self, x[begin : begin + BLOCK], z[begin : begin + BLOCK])[0]
                for begin in range(0, len(z), BLOCK)
            ]
        return np.concatenate([np.empty(0), *parts])

    def return_score(self, z: Tensor) -> tuple[Array, Array]:
        """Return the return coordinate [N] of the score of scaled states z [N, F], and its standard deviation [N]."""
        return self._signal_score(z)

    def _forward_net(self, horizon: int | None) -> ForwardNet:
        if horizon is None or horizon == self.config.forward.horizon:
            return self.forward_net
        if horizon not in self.further:
            known = ", ".join(map(str, self.config.forward.all_horizons))
            raise ConfigError(
                f"horizon: this model has horizons of {known} bars, found {horizon}; train with forward.horizons"
            )
        return self.further[horizon]

    def _raw(self, drawn: Tensor) -> Array:
        z = drawn.numpy()
        return onto_atoms(self.scaler.inverse(z), z, self.atoms)

    def _rows(self, x: Array, function: Any) -> Array:
        z = torch.from_numpy(self.scaler.transform(x))
        if not len(z):
            width = () if function is self.density_net else (z.shape[1],)
            return np.empty((0, *width))
        with torch.no_grad(), threads(1):
            parts = [function(z[begin : begin + BLOCK]) for begin in range(0, len(z), BLOCK)]
        return np.asarray(torch.cat(parts).numpy())


def _assemble(parts: ModelParts) -> ScoreModel:
    return ScoreModel(**{part.name: getattr(parts, part.name) for part in fields(ModelParts)})


def _unpack(meta: bytes, weights: bytes) -> ScoreModel:
    limit_worker_threads()
    return _assemble(parse_model(meta, weights))
