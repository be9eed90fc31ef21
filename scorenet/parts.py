"""The parts of a model: the content of its folder, untrained nets for given settings, and the fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from .config import ForwardConfig, ModelConfig
from .conformal.calibration import Calibration
from .density.net import DensityNet
from .features import FeatureSet
from .forward.net import ForwardNet
from .regimes import RegimeMap
from .sampling.atoms import Atom
from .scaling import Scaler
from .score.fit import build_denoiser
from .score.mixture import Mixture
from .score.score_module import ScoreModule

__all__ = ["SPANS", "ModelParts", "build_forward_net", "build_nets", "fingerprint_of"]

# Keys of `info`: the first and the last row (UTC ms) that trained the weights, that the ranks come from, that measured
# the model, and, if the weights were fitted again to the whole span, that trained the measured ones.
SPANS = ("training_span", "calibration_span", "test_span", "selection_span")


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelParts:
    """The content of a model folder; `ScoreModel` adds the methods."""

    features: FeatureSet
    config: ModelConfig
    scaler: Scaler
    base: Mixture
    denoiser: ScoreModule
    density_net: DensityNet
    forward_net: ForwardNet
    calibration: Calibration
    info: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    further: Mapping[int, ForwardNet] = field(default_factory=dict)
    atoms: tuple[Atom, ...] = ()
    regime_map: RegimeMap | None = None

    @property
    def seen_until(self) -> int | None:
        """Open time (UTC ms) of the last bar that trained, calibrated or measured the model; None if it is unknown."""
        if "seen_until" in self.info:
            return int(self.info["seen_until"])
        spans = [self.info[name] for name in SPANS if name in self.info]
        return max((int(last) for _, last in spans), default=None)

    def modules(self) -> dict[str, torch.nn.Module]:
        """Return the nets by the prefix of their tensors' names in the file."""
        named = {"state": self.denoiser, "density": self.density_net, "forward": self.forward_net}
        return named | {f"forward_{horizon}": net for horizon, net in self.further.items()}


def fingerprint_of(base: Mixture, modules: Mapping[str, torch.nn.Module]) -> str:
    """Return the sha256 of the parameters of the mixture and the nets."""
    digest = hashlib.sha256()
    for part in (base.weights, base.means, base.covariances):
        digest.update(part.double().contiguous().numpy().tobytes())
    for name, module in modules.items():
        for key, value in module.state_dict().items():
            digest.update(f"{name}.{key}".encode())
            digest.update(value.float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def build_nets(dim: int, config: ModelConfig, base: Mixture) -> tuple[ScoreModule, DensityNet, ForwardNet]:
    """Create the untrained nets that `config` describes, for `dim` features."""
    return (
        build_denoiser(dim, config.state, config.noise, base if config.state.max_components else None),
        DensityNet(base, config.density.sigma, config.density.hidden),
        build_forward_net(dim, config.forward),
    )


def build_forward_net(dim: int, config: ForwardConfig) -> ForwardNet:
    """Create the untrained net of p(y | x) that `config` describes, for `dim` features."""
    return ForwardNet(dim, config.hidden, config.members, config.components, config.scale_hidden)
