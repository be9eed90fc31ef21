"""Learn a ScoreModel from the bars of one market, or of several markets pooled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..bindings import check_names
from ..config import ModelConfig
from ..conformal.calibration import Calibration
from ..diagnostics.held_out import held_out_metrics
from ..errors import FeatureMismatch, TooFewBars
from ..features import FeatureSet
from ..model import ScoreModel
from ..parts import check_memory
from ..sampling.atoms import Atom, commonest, find_atoms
from ..sampling.registry import SAMPLERS
from ..scaling import Scaler
from ..score.mixture import Mixture
from ..score.side_by_side import SideBySide, aside, threads_of_training
from ..score.training import pick_device
from ..score.training import threads as torch_threads
from ..windows import Split
from .nets import Nets, Setting, fit_nets, refit_nets
from .rows import Market, Rows, common_features, pool, split_rows
from .warm import check_start, shortened

__all__ = ["learn"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]

# Samples drawn to choose the distance within which samples are snapped onto a frequent value (share exact to 0.01).
_DRAWN = 2_000


def learn(
    markets: Sequence[Market],
    config: ModelConfig,
    *,
    info: dict[str, Any] | None = None,
    device: str = "auto",
    threads: int | None = None,
    warm_start: ScoreModel | None = None,
    progress: bool = True,
) -> ScoreModel:
    """Train the state density, its per-bar net and the forward-return density, and calibrate them.

    The span is split by time: the first part trains, the second selects and calibrates, the third is used for
    held-out metrics only. With `config.refit`, the nets are then fitted again to the whole span, with the steps that
    the second part selected. `device` is where all nets are trained and labels computed; "auto" is the GPU if there is
    one. `warm_start` is an earlier model of the same settings whose weights the training begins with, in a part of the
    steps; scaling, mixture and calibration are fitted anew.

    `threads` is the number of cores that the training may use; the model does not depend on it. With 1 the nets train
    one after the other, with 2 those of the forward return beside the others; each further horizon can use one more.
    None is 2, but 1 on a GPU, in a worker process and where OMP_NUM_THREADS is 1.

    Raises:
        TooFewBars: the span is too short for the features and the split.
        DeadMarket: the price of a market stands still, or a feature has one value in all training rows.
        Diverged: a loss became non-finite.
        FeatureMismatch: the markets lack a needed column.
        ConfigError: a setting names something that is not registered, the device is missing, `threads` is below 1, or
            `warm_start` has other settings or was trained on the rows that select.
        ScorenetError: there is no market, or the markets have several bar sizes or calendars.
    """
    # A missing device is refused before minutes of work, not after.
    cores = threads_of_training(threads, pick_device(device))
    # One torch thread for each net: more gain little for nets of this size, and would change them by rounding.
    with torch_threads(1), SideBySide(cores):
        return _learn(markets, config, info or {}, device, warm_start, progress)


def _learn(
    markets: Sequence[Market],
    config: ModelConfig,
    info: dict[str, Any],
    device: str,
    start: ScoreModel | None,
    progress: bool,
) -> ScoreModel:
    check_names(config)
    features = common_features(markets, config)
    check_memory(len(features.names), config, training=True)
    rows = pool(markets, features, config.forward.all_horizons)
    split = split_rows(rows, features, config, markets)
    scaler = Scaler.fit(rows.x[split.train], features.kinds)
    setting = _setting(rows, scaler, markets, config, device, progress)
    if start is not None:
        check_start(start, features.names, config, int(rows.time[split.validation].min()))
        setting = replace(setting, start=start, config=shortened(config))
    nets = fit_nets(setting, split.train, split.validation)
    model = _assemble(features, config, scaler, setting, nets, split.train)
    atoms = aside(partial(_atoms, model, rows.x[split.train]))
    held = rows.x[split.validation]
    model = replace(model, calibration=_calibrate(model, model.log_density(held), held))
    metrics = held_out_metrics(model, rows.x[split.test], rows.y[split.test, 0])
    metrics |= {f"density_net_{name}": value for name, value in nets.density_error.items()}
    described = _describe(markets, rows, split, nets, metrics)
    model = replace(model, atoms=atoms.result())
    described["warm_start"] = None if start is None else start.fingerprint
    if config.refit:
        model, spans = _refit(model, rows, split, setting, nets)
        described |= spans
        described["rows"]["refit"] = len(rows.x)
    model = replace(model, info=described | info)
    return _with_regimes(model, rows, np.arange(len(rows.x)) if config.refit else np.sort(split.train))


def _with_regimes(model: ScoreModel, rows: Rows, train: Index) -> ScoreModel:
    """Fit the regimes to the training span, unless it is short or a user's features name no volatility."""
    try:
        return model.with_regimes(rows.x[train], rows.time[train])
    except (FeatureMismatch, TooFewBars):
        return model


def _setting(
    rows: Rows, scaler: Scaler, markets: Sequence[Market], config: ModelConfig, device: str, progress: bool
) -> Setting:
    return Setting(
        z=torch.from_numpy(scaler.transform(rows.x)).float(),
        y=torch.from_numpy(rows.y).float(),
        time=rows.time,
        # Only magnitudes may set the scale of the return: the features that the scaler takes the logarithm of.
        magnitudes=torch.tensor([float(kind == "log") for kind in scaler.kinds]),
        markets=len(markets),
        config=config,
        device=device,
        progress=progress,
    )


def _assemble(
    features: FeatureSet, config: ModelConfig, scaler: Scaler, setting: Setting, nets: Nets, train: Index
) -> ScoreModel:
    return ScoreModel(
        features=features,
        config=config,
        scaler=scaler,
        base=nets.base or Mixture.gaussian(setting.z[train].double()),
        denoiser=nets.denoiser,
        density_net=nets.density_net,
        forward_net=nets.forward[config.forward.horizon],
        calibration=Calibration.fit(np.array([]), {}),  # replaced later: the model itself is asked for it
        further={horizon: nets.forward[horizon] for horizon in config.forward.horizons},
    )


def _refit(
    selected: ScoreModel, rows: Rows, split: Split, setting: Setting, chosen: Nets
) -> tuple[ScoreModel, dict[str, Any]]:
    """Return the model of the whole span, and what its folder says in place of the selected model's.

    Ranks come from the selected model on all later rows, which it has not seen: a model finds its own training rows
    more probable than new ones. The scaler is kept, so both log-densities have one unit. The sizes of the scores have
    none: two nets of one recipe can differ by a factor, so confidence is that of the final model on those rows.
    """
    later = np.flatnonzero(rows.time >= rows.time[split.validation].min())
    later = later[np.argsort(rows.time[later], kind="stable")]
    nets = refit_nets(setting, chosen, later)
    everything = np.arange(len(rows.x))
    model = _assemble(selected.features, selected.config, selected.scaler, setting, nets, everything)
    held_out = selected.log_density(rows.x[later])
    model = replace(
        model, calibration=_calibrate(model, held_out, rows.x[later]), atoms=_atoms(model, rows.x)
    )
    return model, {
        "refit": True,
        "training_span": rows.span(everything),
        "calibration_span": rows.span(later),
        "selection_span": rows.span(split.train),
        "refit_metrics": {f"density_net_{name}": value for name, value in nets.density_error.items()},
    }


def _atoms(model: ScoreModel, x: Array) -> tuple[Atom, ...]:
    """Return the values that many rows x [N, F] share, and how samples of the model are moved onto them."""
    if not commonest(x):
        return ()
    noise, seed = model.config.noise, model.config.seed + 31
    drawn = SAMPLERS[model.config.sampler](
        model.denoiser, model.base, _DRAWN, seed, sigma_min=noise.sigma_min, sigma_max=noise.sigma_max
    )
    return find_atoms(x, model.scaler.transform(x), drawn.numpy())


def _describe(
    markets: Sequence[Market], rows: Rows, split: Split, nets: Nets, metrics: dict[str, float]
) -> dict[str, Any]:
    main = next(iter(nets.forward_logs.values()))
    logs = {"state": nets.state_log, "density": nets.density_log, "forward": main}
    return {
        "symbols": [market.symbol for market in markets],
        "bar_ms": markets[0].step_ms,
        **({} if markets[0].calendar is None else {"calendar": markets[0].calendar}),
        "refit": False,
        "training_span": rows.span(split.train),
        "calibration_span": rows.span(split.validation),
        "test_span": rows.span(split.test),
        "metrics_from": rows.span(split.test),
        "seen_until": max(int(market.bars["timestamp"][-1]) for market in markets),
        "rows": {"train": len(split.train), "validation": len(split.validation), "test": len(split.test)},
        "log": {name: log.to_dict() for name, log in logs.items()},
        "metrics": metrics,
    }


def _calibrate(model: ScoreModel, log_density: Array, x: Array) -> Calibration:
    forward = model.forward(x)
    scores = {"forward": forward.score, "state": model.score(x)[:, model.features.return_index]}
    scores |= {name: model.signal_score(x, name) for name in model.config.signals}
    return Calibration.fit(log_density, scores, forward.mean / forward.std)
