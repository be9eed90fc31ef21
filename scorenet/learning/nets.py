"""Fit the nets of a model: once with rows that select, and again on other rows with the steps that were selected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..config import ForwardConfig, ModelConfig
from ..density.net import DensityNet, fit_density_net
from ..errors import TooFewBars
from ..forward.net import ForwardNet
from ..forward.training import fit_forward_net, refit_forward_net, shrinkage_factor
from ..model import ScoreModel
from ..score.fit import fit_base, fit_denoiser, refit_base, refit_denoiser
from ..score.mixture import Mixture
from ..score.score_module import ScoreModule
from ..score.side_by_side import aside
from ..score.training import TrainingLog

__all__ = ["Nets", "Setting", "fit_nets", "refit_nets"]

Index = NDArray[np.int64]

_DENSITY_SEED, _FORWARD_SEED = 11, 23  # added to the seed of the model: no two parts share draws
_DAY_MS = 86_400_000


@dataclass(frozen=True, eq=False)
class Setting:
    """What the nets are fitted to: scaled states z [N, F], forward returns y [N, H], time [N] (UTC ms), and how.

    Attributes:
        magnitudes: [F] 1 for features that may set the scale of the return, else 0.
        markets: number of markets whose rows are pooled.
        start: nets whose weights the training begins with, or None.
    """

    z: Tensor
    y: Tensor
    time: Index
    magnitudes: Tensor
    markets: int
    config: ModelConfig
    device: str
    progress: bool
    start: ScoreModel | None = None

    def first_weights(self, horizon: int) -> ForwardNet | None:
        """Return the net whose weights the training of a horizon's net begins with."""
        start = self.start
        return (
            None
            if start is None
            else {start.config.forward.horizon: start.forward_net, **start.further}[horizon]
        )


class Nets(NamedTuple):
    """The fitted parts of a model.

    Attributes:
        base: the mixture that the denoiser corrects, or None.
        forward: the net of each horizon.
        logs: training logs, "state", "density" and one "forward" per horizon in `forward_logs`.
        density_error: of the per-bar net against the reference: rmse, bias, entropy (nats).
    """

    base: Mixture | None
    denoiser: ScoreModule
    density_net: DensityNet
    forward: Mapping[int, ForwardNet]
    state_log: TrainingLog
    density_log: TrainingLog
    forward_logs: Mapping[int, TrainingLog]
    density_error: Mapping[str, float]


def fit_nets(setting: Setting, train: Index, held: Index) -> Nets:
    """Fit all nets to the rows `train`; the rows `held` select steps, components and the shrinkage factor.

    Raises:
        TooFewBars: no row has a forward return.
        Diverged: a loss became non-finite.
    """
    config, seed, z = setting.config, setting.config.seed, setting.z
    # They need no other net.
    forward = {
        horizon: aside(partial(_fit_forward, setting, train, held, horizon))
        for horizon in config.forward.all_horizons
    }
    base = fit_base(z[train], z[held], config.state, config.noise, seed=seed)
    denoiser, state_log = fit_denoiser(
        z[train],
        z[held],
        config.state,
        config.noise,
        base=base,
        seed=seed,
        device=setting.device,
        start=None if setting.start is None else setting.start.denoiser,
        progress=setting.progress,
    )
    density_net, density_log, error = _fit_density(setting, denoiser, train, held)
    fitted = {horizon: part.result() for horizon, part in forward.items()}
    nets = {horizon: net for horizon, (net, _) in fitted.items()}
    logs = {horizon: log for horizon, (_, log) in fitted.items()}
    return Nets(base, denoiser, density_net, nets, state_log, density_log, logs, error)


def refit_nets(setting: Setting, chosen: Nets, later: Index) -> Nets:
    """Fit all nets to all rows, with components and steps of `chosen`; the logs stay those of the selection.

    The shrinkage factor of every shift is estimated with the chosen nets on `later`, rows that did not train them.
    """
    config, seed, z = setting.config, setting.config.seed, setting.z
    everything = np.argsort(setting.time, kind="stable")
    forward = {
        horizon: aside(partial(_refit_forward, setting, chosen, everything, later, horizon))
        for horizon in config.forward.all_horizons
    }
    base = refit_base(z[everything], chosen.base, seed=seed)
    denoiser = refit_denoiser(
        z[everything],
        config.state,
        config.noise,
        base=base,
        seed=seed,
        steps=chosen.state_log.kept_steps,
        device=setting.device,
        start=None if setting.start is None else setting.start.denoiser,
        progress=setting.progress,
    )
    density_net, _, error = _fit_density(setting, denoiser, everything, later)
    nets = {horizon: part.result() for horizon, part in forward.items()}
    return chosen._replace(
        base=base, denoiser=denoiser, density_net=density_net, forward=nets, density_error=error
    )


def _fit_forward(setting: Setting, train: Index, held: Index, horizon: int) -> tuple[ForwardNet, TrainingLog]:
    config, (y, fitted) = setting.config, _with_target(setting, train, horizon)
    _, judged = _with_target(setting, held, horizon)
    return fit_forward_net(
        setting.z[fitted],
        y[fitted],
        setting.z[judged],
        y[judged],
        _one_horizon(config.forward, horizon),
        seed=config.seed + _FORWARD_SEED,
        overlap=horizon * setting.markets,
        scale_columns=setting.magnitudes,
        weights=_recency(setting, fitted),
        device=setting.device,
        start=setting.first_weights(horizon),
        progress=setting.progress,
    )


def _refit_forward(
    setting: Setting, chosen: Nets, everything: Index, later: Index, horizon: int
) -> ForwardNet:
    config, (y, fitted) = setting.config, _with_target(setting, everything, horizon)
    _, judged = _with_target(setting, later, horizon)
    overlap = horizon * setting.markets
    return refit_forward_net(
        setting.z[fitted],
        y[fitted],
        _one_horizon(config.forward, horizon),
        seed=config.seed + _FORWARD_SEED,
        steps=chosen.forward_logs[horizon].kept_steps,
        belief=shrinkage_factor(chosen.forward[horizon], setting.z[judged], y[judged], overlap),
        scale_columns=setting.magnitudes,
        weights=_recency(setting, fitted),
        device=setting.device,
        start=setting.first_weights(horizon),
        progress=setting.progress,
    )


def _fit_density(
    setting: Setting, denoiser: ScoreModule, train: Index, held: Index
) -> tuple[DensityNet, TrainingLog, dict[str, float]]:
    config = setting.config
    return fit_density_net(
        denoiser,
        setting.z[train],
        setting.z[held],
        config.density,
        config.noise,
        seed=config.seed + _DENSITY_SEED,
        device=setting.device,
        start=None if setting.start is None else setting.start.density_net,
        progress=setting.progress,
    )


def _one_horizon(config: ForwardConfig, horizon: int) -> ForwardConfig:
    return replace(config, horizon=horizon, horizons=())


def _recency(setting: Setting, rows: Index) -> Tensor | None:
    """Return the relative probability of each row in a minibatch: 1 for the last, 1/2 a half-life earlier."""
    half_life = setting.config.forward.half_life_days
    if half_life == 0:
        return None
    age = (setting.time[rows].max() - setting.time[rows]) / _DAY_MS
    return torch.from_numpy(0.5 ** (age / half_life))


def _with_target(setting: Setting, index: Index, horizon: int) -> tuple[Tensor, Index]:
    """Return the forward returns of a horizon [N], and the rows of `index` that have one."""
    y = setting.y[:, setting.config.forward.all_horizons.index(horizon)]
    kept: Index = index[torch.isfinite(y[index]).numpy()]
    if not len(kept):
        raise TooFewBars(len(index) + 1, len(index), "see one full horizon ahead")
    return y, kept
