"""Frozen settings of a score model: one small class per part, validated on creation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Self

from .base.did_you_mean import close_matches
from .errors import ConfigError

__all__ = ["DensityConfig", "ForwardConfig", "ModelConfig", "NoiseConfig", "RegimeConfig", "StateConfig"]

# Larger numbers are mistakes, and their squares may overflow.
_MOST: Mapping[type, float] = MappingProxyType({int: 2**53, float: 1e100})
_LEAST_SIGMA, _MOST_SIGMA = 1e-6, 1e6


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


def _require_name(setting: str, name: str) -> None:
    # Registration is checked where the name is used, so that settings can be read without the user's code.
    _require(name.isidentifier(), f"{setting}: expected a name such as 'my_own', found {name!r}")


@dataclass(frozen=True, kw_only=True)
class NoiseConfig:
    """Noise levels in units of the scaled features (their standard deviation is about 1).

    Training draws ln sigma from a normal distribution clipped to [sigma_min, sigma_max].
    """

    sigma_min: float = 0.05
    sigma_max: float = 20.0
    log_mean: float = -0.8
    log_std: float = 1.4

    def __post_init__(self) -> None:
        _require(
            _LEAST_SIGMA <= self.sigma_min < self.sigma_max <= _MOST_SIGMA,
            f"noise: expected {_LEAST_SIGMA:g} <= sigma_min < sigma_max <= {_MOST_SIGMA:g}",
        )
        _require(self.log_std > 0, f"noise.log_std: expected a positive number, found {self.log_std}")


@dataclass(frozen=True, kw_only=True)
class StateConfig:
    """Network and optimisation of the state density p(x).

    `objective` and `network` are names in `scorenet.score.OBJECTIVES` and `NETWORKS`. The score is the mean over
    `members` networks with different seeds. `max_components` limits the mixture that the network corrects: 1 is a
    Gaussian, 0 the standard normal. The defaults are for market states, which drift: there a larger mixture, fitted
    to the training years, gives a worse model. For exchangeable rows it gives a better one (`ScoreDensity` tries up
    to 32 components). Training ends at the `patience`-th of its 10 checks in a row without a lower held-out loss; 0
    trains all `steps`.
    """

    objective: str = "dsm"
    network: str = "preconditioned"
    members: int = 1
    max_components: int = 1
    hidden: int = 192
    blocks: int = 3
    steps: int = 400
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 0.3
    patience: int = 2
    signal_sigma: float = 0.5

    def __post_init__(self) -> None:
        _require_name("state.objective", self.objective)
        _require_name("state.network", self.network)
        _require(1 <= self.members <= 64, f"state.members: expected 1..64, found {self.members}")
        _require(
            0 <= self.max_components <= 1024,
            f"state.max_components: expected 0..1024, found {self.max_components}",
        )
        _require(1 <= self.hidden <= 4096, f"state.hidden: expected 1..4096, found {self.hidden}")
        _require(0 <= self.blocks <= 32, f"state.blocks: expected 0..32, found {self.blocks}")
        _require(self.steps >= 1, f"state.steps: expected at least 1, found {self.steps}")
        _require(self.batch_size >= 2, f"state.batch_size: expected at least 2, found {self.batch_size}")
        _require(self.learning_rate > 0, "state.learning_rate: expected a positive number")
        _require(self.patience >= 0, f"state.patience: expected at least 0 checks, found {self.patience}")
        _require(self.signal_sigma >= _LEAST_SIGMA, f"state.signal_sigma: expected at least {_LEAST_SIGMA:g}")


@dataclass(frozen=True, kw_only=True)
class DensityConfig:
    """Log-density at `sigma`: the heat-equation reference, and the per-bar net that is fitted to it.

    The reference has `nodes` noise levels. The net learns from the labels of `points` rows, with `label_nodes` levels
    each, and from the score at those rows, computed once. `fresh_slopes` computes the score at newly noised rows in
    every step instead, which takes several times as long. `check_rows` held-out rows measure the net's error.
    """

    sigma: float = 0.2
    nodes: int = 8
    points: int = 30_000
    label_nodes: int = 5
    hidden: int = 96
    steps: int = 3000
    batch_size: int = 256
    learning_rate: float = 6e-3
    slope_weight: float = 5.0
    fresh_slopes: bool = False
    check_rows: int = 750

    def __post_init__(self) -> None:
        _require(self.sigma > 0, f"density.sigma: expected a positive number, found {self.sigma}")
        _require(4 <= self.nodes <= 4096, f"density.nodes: expected 4..4096, found {self.nodes}")
        _require(
            4 <= self.label_nodes <= 4096, f"density.label_nodes: expected 4..4096, found {self.label_nodes}"
        )
        _require(self.batch_size >= 1, f"density.batch_size: expected at least 1, found {self.batch_size}")
        _require(self.check_rows >= 1, f"density.check_rows: expected at least 1, found {self.check_rows}")
        _require(self.points >= 16, f"density.points: expected at least 16, found {self.points}")
        _require(1 <= self.hidden <= 4096, f"density.hidden: expected 1..4096, found {self.hidden}")
        _require(self.steps >= 1, f"density.steps: expected at least 1, found {self.steps}")


@dataclass(frozen=True, kw_only=True)
class ForwardConfig:
    """Conditional density p(y | x) of the volatility-scaled return over the next `horizon` bars.

    `horizons` are further horizons, each with its own net; signals use `horizon`. `signal_sigma` is the noise level
    of the score of y, in standard deviations of y. At large values the score is E[y | x] / sigma^2 (Tweedie).
    `half_life_days` draws rows of that age half as often as the latest training rows; 0 draws all alike. Scale (20
    checks) and shift (40 checks) each end at the `patience`-th check in a row without a lower held-out loss; 0 trains
    all steps.
    """

    horizon: int = 72
    horizons: tuple[int, ...] = ()
    hidden: int = 32
    members: int = 8
    components: int = 8
    scale_hidden: int = 16
    scale_steps: int = 600
    scale_learning_rate: float = 5e-3
    steps: int = 1200
    batch_size: int = 1024
    learning_rate: float = 5e-4
    weight_decay: float = 0.3
    feature_noise: float = 0.5
    block_share: float = 0.5
    half_life_days: float = 0.0
    patience: int = 8
    signal_sigma: float = 4.0

    def __post_init__(self) -> None:
        _require(self.horizon >= 1, f"forward.horizon: expected at least 1 bar, found {self.horizon}")
        _require(1 <= self.hidden <= 4096, f"forward.hidden: expected 1..4096, found {self.hidden}")
        _require(1 <= self.members <= 64, f"forward.members: expected 1..64, found {self.members}")
        _require(1 <= self.components <= 64, f"forward.components: expected 1..64, found {self.components}")
        _require(self.steps >= 1, f"forward.steps: expected at least 1, found {self.steps}")
        _require(
            all(isinstance(h, int) and not isinstance(h, bool) and h >= 1 for h in self.horizons)
            and len({self.horizon, *self.horizons}) == 1 + len(self.horizons),
            f"forward.horizons: expected numbers of bars, all different, found {(self.horizon, *self.horizons)}",
        )
        _require(1 <= self.scale_hidden <= 4096, "forward.scale_hidden: expected 1..4096")
        _require(self.scale_steps >= 1, "forward.scale_steps: expected at least 1")
        _require(self.patience >= 0, f"forward.patience: expected at least 0 checks, found {self.patience}")
        _require(self.scale_learning_rate > 0, "forward.scale_learning_rate: expected a positive number")
        _require(0 < self.block_share <= 1, "forward.block_share: expected a share in (0, 1]")
        _require(
            0 <= self.half_life_days < math.inf,
            f"forward.half_life_days: expected a number of days, or 0 for rows alike, found {self.half_life_days}",
        )
        _require(
            self.signal_sigma >= _LEAST_SIGMA, f"forward.signal_sigma: expected at least {_LEAST_SIGMA:g}"
        )

    @property
    def all_horizons(self) -> tuple[int, ...]:
        """The main horizon and then the further ones, in bars."""
        return (self.horizon, *self.horizons)


@dataclass(frozen=True, kw_only=True)
class RegimeConfig:
    """Regimes of the market: the coordinates of the flow ("volatility", "trend") and its noise level.

    `sigma` is in standard deviations of a coordinate; 0 lets stability under resampling choose it.
    """

    uses: tuple[str, ...] = ("volatility",)
    sigma: float = 0.0

    def __post_init__(self) -> None:
        known = ("volatility", "trend")
        _require(
            bool(self.uses)
            and all(use in known for use in self.uses)
            and len(set(self.uses)) == len(self.uses),
            f"regimes.uses: expected one or both of volatility and trend, found {list(self.uses)}",
        )
        _require(0 <= self.sigma < 100, f"regimes.sigma: expected 0 or a positive level, found {self.sigma}")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """All settings of `scorenet train`: with the same bars they give the same model.

    `features` is the name of a feature set, `sampler` the name of the sampler of states. `signals` are names of
    user-defined signals to calibrate in addition to "forward" and "state". `refit` fits the nets again to the whole
    span, once the validation rows have chosen the steps and the test rows have measured the result.
    """

    features: str = "extended"
    sampler: str = "heun"
    signals: tuple[str, ...] = ()
    seed: int = 0
    train_fraction: float = 0.70
    validation_fraction: float = 0.15
    refit: bool = False
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    state: StateConfig = field(default_factory=StateConfig)
    density: DensityConfig = field(default_factory=DensityConfig)
    forward: ForwardConfig = field(default_factory=ForwardConfig)
    regimes: RegimeConfig = field(default_factory=RegimeConfig)

    def __post_init__(self) -> None:
        _require_name("features", self.features)
        _require_name("sampler", self.sampler)
        for name in self.signals:
            _require(isinstance(name, str), f"signals: expected names, found {name!r}")
            _require_name("signals", name)
        _require(
            len(set(self.signals)) == len(self.signals) and not {"forward", "state"} & set(self.signals),
            f"signals: expected different names, without forward and state, found {list(self.signals)}",
        )
        total = self.train_fraction + self.validation_fraction
        _require(
            self.train_fraction > 0 and self.validation_fraction > 0 and total < 1,
            "train_fraction and validation_fraction: expected positive numbers with a sum below 1",
        )
        _require(
            self.noise.sigma_min <= self.density.sigma < self.noise.sigma_max,
            "density.sigma: expected a level between noise.sigma_min and noise.sigma_max",
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from nested plain values.

        Raises:
            ConfigError: a key is unknown (the message suggests the nearest), or a value is impossible.
        """
        built: Self = _build(cls, values, "")
        return built

    def to_dict(self) -> dict[str, Any]:
        """Return nested plain values; `from_dict` is the inverse."""
        return asdict(self)

    def with_values(self, **changes: Any) -> Self:
        """Return a copy with dotted keys replaced, e.g. `with_values(**{"forward.horizon": 1})`.

        Raises:
            ConfigError: a key is unknown, or a value is impossible.
        """
        nested = self.to_dict()
        for key, value in changes.items():
            *path, leaf = key.split(".")
            target = nested
            for part in path:
                target = target.get(part, {}) if isinstance(target, dict) else {}
            if not isinstance(target, dict) or leaf not in target or isinstance(target[leaf], dict):
                raise ConfigError(_unknown(key, _dotted_keys(self.to_dict())))
            target[leaf] = value
        return type(self).from_dict(nested)


def _dotted_keys(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, value in values.items():
        keys += _dotted_keys(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name]
    return keys


def _unknown(key: str, known: list[str]) -> str:
    near = close_matches(key, known) or [
        name for name in known if name.rsplit(".", 1)[-1] == key.rsplit(".", 1)[-1]
    ]
    hint = f"did you mean {near[0]!r}?" if near else "known keys: " + ", ".join(known)
    return f"unknown setting {key!r}; {hint}"


def _build(cls: Any, values: Mapping[str, Any], prefix: str) -> Any:
    known = {item.name: item for item in fields(cls)}
    default = cls()
    changes: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            raise ConfigError(_unknown(prefix + name, _dotted_keys(ModelConfig().to_dict())))
        current = getattr(default, name)
        if hasattr(current, "__dataclass_fields__"):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{prefix}{name}: expected a table of settings, found {_short(value)}")
            changes[name] = _build(type(current), value, f"{prefix}{name}.")
        else:
            changes[name] = _coerce(prefix + name, value, type(current))
    return replace(default, **changes)


def _coerce(name: str, value: Any, kind: type) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) <= _MOST[float] else math.inf
    if kind is tuple and isinstance(value, list):
        value = tuple(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ConfigError(f"{name}: expected {kind.__name__}, found {_short(value)}")
    if isinstance(value, int | float) and kind in _MOST and not abs(value) <= _MOST[kind]:
        raise ConfigError(f"{name}: expected a number up to {_MOST[kind]:g}, found {_short(value)}")
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
