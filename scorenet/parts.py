"""The parts of a model: the content of its folder, and untrained nets for given settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from .base.memory import gigabytes, machine_memory
from .base.printable import one_line
from .base.times import iso
from .config import ForwardConfig, ModelConfig
from .conformal.calibration import Calibration
from .density.net import DensityNet
from .errors import ConfigError
from .features import FeatureSet
from .fingerprint import digests_of, fingerprint_of, sections_of
from .forward.net import ForwardNet
from .regimes import RegimeMap
from .sampling.atoms import Atom
from .scaling import Scaler
from .score.fit import build_denoiser
from .score.mixture import Mixture
from .score.score_module import ScoreModule

__all__ = ["SPANS", "ModelParts", "build_forward_net", "build_nets", "check_memory"]

_MOST_WEIGHTS = 128 << 20  # float32 numbers in the largest weights file that is read
_BYTES_A_WEIGHT = (
    32  # in training: weights, gradients, two moments, an average, the best so far, in float64 at the end
)

# Keys of `info`: the first and the last row (UTC ms) that trained the weights, that the ranks come from, that measured
# the model, and, if the weights were fitted again to the whole span, that trained the measured ones.
SPANS = ("training_span", "calibration_span", "test_span", "selection_span")


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelParts:
    """The content of a model folder; `ScoreModel` adds the methods.

    A part that decides an output is also named in `scorenet.fingerprint.SECTIONS`, or is one of the `modules`.
    """

    features: FeatureSet
    config: ModelConfig
    scaler: Scaler
    base: Mixture
    denoiser: ScoreModule
    density_net: DensityNet
    forward_net: ForwardNet
    calibration: Calibration
    info: dict[str, Any] = field(default_factory=dict)
    further: Mapping[int, ForwardNet] = field(default_factory=dict)
    atoms: tuple[Atom, ...] = ()
    regime_map: RegimeMap | None = None

    def __repr__(self) -> str:
        symbols, span = self.info.get("symbols", ()), self.info.get("training_span")
        facts = [
            "+".join(symbols) if len(symbols) < 4 else f"{len(symbols)} symbols",
            str(self.info.get("timeframe", "")),
            f"{len(self.features.names)} {self.features.name} features",
            f"lookback {self.features.lookback}, horizon {self.config.forward.horizon} bars",
            f"trained {iso(span[0])[:10]} to {iso(span[1])[:10]}" if span else "",
            f"fingerprint {self.fingerprint[:8]}",
        ]
        return one_line(self, *(fact for fact in facts if fact))

    @property
    def seen_until(self) -> int | None:
        """Open time (UTC ms) of the last bar that trained, calibrated or measured the model; None if it is unknown."""
        if "seen_until" in self.info:
            return int(self.info["seen_until"])
        spans = [self.info[name] for name in SPANS if name in self.info]
        return max((int(last) for _, last in spans), default=None)

    @cached_property
    def fingerprint(self) -> str:
        """The sha256 over everything that decides an output: settings, features, scaler, nets, mixture, calibration."""
        return fingerprint_of(digests_of(sections_of(self), self.modules()))

    def modules(self) -> dict[str, torch.nn.Module]:
        """Return the nets by the prefix of their tensors' names in the file."""
        named = {"state": self.denoiser, "density": self.density_net, "forward": self.forward_net}
        return named | {f"forward_{horizon}": net for horizon, net in self.further.items()}


def check_memory(dim: int, config: ModelConfig, *, training: bool) -> None:
    """Check that a model of these settings fits into a model folder, and into this machine's memory.

    Raises:
        ConfigError: the message names the settings that ask for most, and the memory that there is.
    """
    weights = _weights(dim, config)
    most = max(weights, key=lambda names: weights[names])
    total = sum(weights.values())
    if total > _MOST_WEIGHTS:
        raise ConfigError(
            f"{most}: expected a model of at most {_MOST_WEIGHTS:,} weights, found about {total:,}; lower them"
        )
    needs = {names: _BYTES_A_WEIGHT * count for names, count in weights.items()}
    if training:
        needs |= _batches(dim, config)
    most, needed, there = max(needs, key=lambda names: needs[names]), sum(needs.values()), machine_memory()
    if there is not None and needed > there:
        raise ConfigError(
            f"{most}: the model needs about {gigabytes(needed)} of memory, there are {gigabytes(there)}; lower them"
        )


def _weights(dim: int, config: ModelConfig) -> dict[str, int]:
    """Return about how many weights each net has, never more than it has, by the settings that decide it."""
    state, density, forward = config.state, config.density, config.forward
    inner = forward.hidden * (dim + forward.hidden) + dim * forward.scale_hidden
    return {
        "state.hidden, state.blocks, state.members": state.members
        * state.hidden
        * (2 * dim + 4 * state.hidden * state.blocks),
        "density.hidden": density.hidden * (dim + 2 * density.hidden),
        "forward.hidden, forward.members, forward.horizons": len(forward.all_horizons)
        * forward.members
        * inner,
    }


def _batches(dim: int, config: ModelConfig) -> dict[str, int]:
    """Return about how many bytes of float32 one step of training keeps for its gradients."""
    state, density, forward = config.state, config.density, config.forward
    return {
        "state.batch_size": 4 * state.batch_size * (dim + 6 * state.hidden * state.blocks),
        "density.batch_size": 4 * density.batch_size * (dim + 8 * density.hidden),
        "density.points": 4 * density.points * 3 * dim,
        "forward.batch_size, forward.members": 4
        * forward.members
        * forward.batch_size
        * (2 * dim + 4 * forward.hidden + 6 * forward.components),
    }


def build_nets(dim: int, config: ModelConfig, base: Mixture) -> tuple[ScoreModule, DensityNet, ForwardNet]:
    """Create the untrained nets that `config` describes, for `dim` features.

    Raises:
        ConfigError: they would need more memory than there is.
    """
    check_memory(dim, config, training=False)
    return (
        build_denoiser(dim, config.state, config.noise, base if config.state.max_components else None),
        DensityNet(base, config.density.sigma, config.density.hidden),
        build_forward_net(dim, config.forward),
    )


def build_forward_net(dim: int, config: ForwardConfig) -> ForwardNet:
    """Create the untrained net of p(y | x) that `config` describes, for `dim` features."""
    return ForwardNet(dim, config.hidden, config.members, config.components, config.scale_hidden)
