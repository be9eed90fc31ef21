"""The parts of a model: the content of its folder, and untrained nets for given settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from .config import ForwardConfig, ModelConfig
from .conformal.calibration import Calibration
from .density.net import DensityNet
from .features import FeatureSet
from .fingerprint import digests_of, fingerprint_of, sections_of
from .forward.net import ForwardNet
from .sampling.atoms import Atom
from .scaling import Scaler
from .score.fit import build_denoiser
from .score.mixture import Mixture
from .score.score_module import ScoreModule

__all__ = ["SPANS", "ModelParts", "build_forward_net", "build_nets"]

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
