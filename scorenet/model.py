"""ScoreModel: the one object a strategy holds. Raw features or bars in, numbers to trade on out."""

from __future__ import annotations

import copy
import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .checkpoint import ModelParts, dump_model, fingerprint_of, load_model, parse_model, save_model
from .config import ModelConfig
from .conformal.calibration import Calibration
from .density.heat import heat_log_density
from .density.net import DensityNet
from .errors import ConfigError
from .features import Bars, FeatureSet
from .forward.distribution import ForwardReturn
from .forward.net import ForwardNet
from .sampling.atoms import Atom, onto_atoms
from .sampling.conditional import conditional
from .sampling.known_values import check_known, scale_known
from .sampling.samplers import heun
from .scaling import Scaler
from .score.denoiser import Denoiser
from .score.divergence import denoiser_field
from .score.mixture import Mixture
from .score.signal_score import LevelScore
from .score.training import calm_worker, threads

__all__ = ["SIGNALS", "Evaluation", "ScoreModel"]

Array = NDArray[np.float64]

SIGNALS = ("forward", "state")

_BLOCK = 512  # rows a forward pass: its activations stay in one core's cache, where one thread outruns two
_FEW = 64  # decided rows up to which an evaluation is not worth remembering
_DECIMALS = 10  # batched and single-row matrix products differ in the 16th digit; no decision may hang on it
_MEMO_SIZE = 16


class Evaluation(NamedTuple):
    """What the model says of every bar, float64 [T] each, NaN where the state is not defined.

    score: score of the return coordinate (forward: of the coming return at 0; state: of the last return).
    signal: sign(score) times confidence, in [-1, 1].
    confidence: ECDF of |score| on the calibration span, in [0, 1].
    score_std: disagreement about the score (over the ensemble, or over neighbouring noise levels).
    log_density: log p of the scaled state, nats.
    density_rank: conformal p-value of log_density, in (0, 1].
    volatility: root mean square log-return per bar.
    """

    score: Array
    signal: Array
    confidence: Array
    score_std: Array
    log_density: Array
    density_rank: Array
    volatility: Array


_memo: OrderedDict[str, Evaluation] = OrderedDict()


@dataclass(frozen=True, eq=False)
class ScoreModel:
    """A trained density of market states and of forward returns.

    `score`, `log_density`, `denoise` and `forward` take raw features x [N, F], in the order of
    `features.names`; sigma is in units of the scaled features. All inference is float64 and row by row: no
    output depends on the rest of its batch.

    Attributes:
        features: the feature set it was trained on.
        config: the settings it was trained with.
        further: nets of p(y | x) for horizons beside the main one.
        atoms: values that many training rows share exactly, which samples take too.
        info: training span, symbols, timeframe, hashes, versions, log and held-out metrics.
    """

    features: FeatureSet
    config: ModelConfig
    scaler: Scaler
    base: Mixture
    denoiser: Denoiser
    density_net: DensityNet
    forward_net: ForwardNet
    calibration: Calibration
    info: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    further: Mapping[int, ForwardNet] = field(default_factory=dict)
    atoms: tuple[Atom, ...] = ()
    _around: LevelScore = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("denoiser", "density_net", "forward_net"):
            double = copy.deepcopy(getattr(self, name)).double().eval().requires_grad_(False)
            object.__setattr__(self, name, double)
        sigma, column = self.config.state.signal_sigma, self.features.return_index
        object.__setattr__(
            self, "_around", LevelScore(self.denoiser, [0.5 * sigma, sigma, 2.0 * sigma], column)
        )
        further = {
            h: copy.deepcopy(net).double().eval().requires_grad_(False) for h, net in self.further.items()
        }
        object.__setattr__(self, "further", further)
        if not self.fingerprint:
            object.__setattr__(self, "fingerprint", fingerprint_of(self.base, self.parts().modules()))

    def __reduce__(self) -> tuple[Any, ...]:
        # Workers get the bytes of the model folder: torch would hand its tensors over in shared-memory files.
        return _unpack, dump_model(self.parts())

    @classmethod
    def load(cls, path: str | Path) -> ScoreModel:
        """Load a model folder (safetensors and JSON; nothing is unpickled).

        Raises:
            CheckpointError: if the folder is missing, damaged, hostile or of another version.
        """
        return _assemble(load_model(Path(path)))

    def save(self, path: str | Path) -> Path:
        """Write the model folder in one step: it is complete or not there."""
        return save_model(self.parts(), Path(path))

    def parts(self) -> ModelParts:
        """Return what the model folder holds."""
        return ModelParts(**{part.name: getattr(self, part.name) for part in fields(ModelParts)})

    @property
    def lookback(self) -> int:
        """Bars before the current one that a state needs."""
        return self.features.lookback

    def score(self, x: Array, sigma: float | None = None) -> Array:
        """Return the score of scaled states, [N, F], at noise level sigma (default: the state signal's)."""
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
        """Draw n market states as raw features [n, F]."""
        noise = self.config.noise
        z = heun(self.denoiser, self.base, n, seed, sigma_min=noise.sigma_min, sigma_max=noise.sigma_max)
        return self._raw(z)

    def scenarios(self, n: int, known: Mapping[str, float], seed: int = 0) -> Array:
        """Draw n market states [n, F] given the raw values of some features, by name: p(the others | known).

        A known value is held up to noise of sigma_min in scaled units.

        Raises:
            FeatureMismatch: for a name that the model was not trained on, or a value that its feature cannot take.
        """
        if not known:
            return self.sample(n, seed)
        names, noise = self.features.names, self.config.noise
        check_known(names, self.scaler, known)
        scaled = scale_known(names, self.scaler, {name: np.array([known[name]]) for name in known})
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
            ConfigError: if the model was not trained for that horizon.
        """
        net = self._forward_net(horizon)
        with torch.inference_mode(), threads(1):
            z = torch.from_numpy(self.scaler.transform(x))
            return ForwardReturn.from_net(net, z, self.config.forward.signal_sigma)

    def evaluate(self, bars: Bars, signal: str = "forward", step_ms: int | None = None) -> Evaluation:
        """Evaluate every bar of a market: columns [T] in, `Evaluation` of [T] out.

        A tail of `lookback + 1` bars gives the last value of the whole series. Repeated calls on the same bars are
        answered from memory, so a sweep over thresholds evaluates the nets once.

        Raises:
            FeatureMismatch: if a column that the model was trained on is missing.
            ValueError: for an unknown signal.
        """
        if signal not in SIGNALS:
            raise ValueError(f"signal: expected one of {', '.join(SIGNALS)}; found {signal!r}")
        if len(bars["close"]) <= self.lookback + _FEW:
            return self._evaluate(bars, signal, step_ms)
        key = self._memo_key(bars, signal, step_ms)
        if key not in _memo:
            _memo[key] = self._evaluate(bars, signal, step_ms)
            while len(_memo) > _MEMO_SIZE:
                _memo.popitem(last=False)
        _memo.move_to_end(key)
        return _memo[key]

    def _memo_key(self, bars: Bars, signal: str, step_ms: int | None) -> str:
        digest = hashlib.sha256(f"{self.fingerprint} {signal} {step_ms}".encode())
        for name in (*self.features.inputs, "timestamp"):
            if name in bars:
                digest.update(np.ascontiguousarray(bars[name]).tobytes())
        return digest.hexdigest()

    def _evaluate(self, bars: Bars, signal: str, step_ms: int | None) -> Evaluation:
        x, volatility = self.features.compute_with_volatility(bars, step_ms)
        warm = min(self.lookback, len(x))
        known = warm + np.flatnonzero(np.isfinite(x[warm:]).all(axis=1))
        out = {name: np.full(len(x), np.nan) for name in Evaluation._fields}
        out["volatility"] = volatility
        with torch.inference_mode(), threads(1):
            for begin in range(0, len(known), _BLOCK):
                rows = known[begin : begin + _BLOCK]
                z = torch.from_numpy(self.scaler.transform(x[rows]))
                out["score"][rows], out["score_std"][rows] = self._signal_score(z, signal)
                out["log_density"][rows] = self.density_net(z).numpy()
        for name in ("score", "score_std", "log_density"):
            out[name] = np.round(out[name], _DECIMALS)
        score = out["score"][known]
        out["confidence"][known] = self.calibration.confidence(signal, score)
        out["density_rank"][known] = self.calibration.density_rank(out["log_density"][known])
        out["signal"][known] = np.sign(score) * out["confidence"][known]
        return Evaluation(**out)

    def _signal_score(self, z: Tensor, signal: str) -> tuple[Array, Array]:
        if signal == "forward":
            scores = self.forward_net.scores(z, self.config.forward.signal_sigma).numpy()
            return scores.mean(axis=0), scores.std(axis=0)
        around = self._around(z).numpy()
        return around[1], around.std(axis=0)

    def _forward_net(self, horizon: int | None) -> ForwardNet:
        if horizon is None or horizon == self.config.forward.horizon:
            return self.forward_net
        if horizon not in self.further:
            known = ", ".join(map(str, self.config.forward.all_horizons))
            raise ConfigError(
                f"horizon: this model knows {known} bars, found {horizon}; train with forward.horizons"
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
            parts = [function(z[begin : begin + _BLOCK]) for begin in range(0, len(z), _BLOCK)]
        return np.asarray(torch.cat(parts).numpy())


def _assemble(parts: ModelParts) -> ScoreModel:
    return ScoreModel(**{part.name: getattr(parts, part.name) for part in fields(ModelParts)})


def _unpack(meta: bytes, weights: bytes) -> ScoreModel:
    calm_worker()
    return _assemble(parse_model(meta, weights))
