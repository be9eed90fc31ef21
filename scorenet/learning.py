"""Learn a ScoreModel from the bars of one market, or of several markets pooled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .bindings import check_names
from .config import ModelConfig
from .conformal.calibration import Calibration
from .density.net import fit_density_net
from .diagnostics.held_out import held_out_metrics
from .errors import FeatureMismatch, ScorenetError, TooFewBars
from .features import OPTIONAL_INPUTS, Bars, FeatureSet, feature_set
from .forward.distribution import forward_target
from .forward.net import ForwardNet
from .forward.training import fit_forward_net
from .model import ScoreModel
from .sampling.atoms import commonest, find_atoms
from .sampling.registry import SAMPLERS
from .scaling import Scaler
from .score.fit import fit_base, fit_denoiser
from .score.mixture import Mixture
from .score.training import TrainingLog, threads
from .windows import Split, chronological_split

__all__ = ["Market", "learn"]

Array = NDArray[np.float64]


# Samples drawn to choose the distance within which samples are snapped onto a frequent value (share exact to 0.01).
_DRAWN = 2_000


@dataclass(frozen=True)
class Market:
    """Closed bars of one symbol: columns [T] with an int64 "timestamp" (UTC ms, bar open), `step_ms` apart."""

    symbol: str
    bars: Bars
    step_ms: int


@dataclass(frozen=True)
class _Rows:
    """Pooled states of all markets: x raw [N, F], y forward returns [N, H] (NaN near the end), time [N] (UTC ms)."""

    x: Array
    y: Array
    time: NDArray[np.int64]


def learn(
    markets: Sequence[Market],
    config: ModelConfig,
    *,
    info: dict[str, Any] | None = None,
    device: str = "auto",
    progress: bool = True,
) -> ScoreModel:
    """Train the state density, its per-bar net and the forward-return density, and calibrate them.

    Training uses one torch thread: more threads gain little for nets of this size, and the weights for a seed do
    not depend on the number of cores. The span is split by time: the first part trains, the second selects and
    calibrates, the third is used for held-out metrics only. `device` is where the state density is trained; "auto"
    is the GPU if there is one.

    Raises:
        TooFewBars: the span is too short for the features and the split.
        Diverged: a loss became non-finite.
        FeatureMismatch: the markets lack a needed column.
        ConfigError: a setting names something that is not registered.
        ScorenetError: there is no market, or the markets have several bar sizes.
    """
    with threads(1):
        return _learn(markets, config, info or {}, device, progress)


def _learn(
    markets: Sequence[Market], config: ModelConfig, info: dict[str, Any], device: str, progress: bool
) -> ScoreModel:
    check_names(config)
    features = _common_features(markets, config)
    for market in markets:  # in one that is shorter than the lookback there is no row to check
        features.check_rows(market.bars)
    rows = _pool(markets, features, config.forward.all_horizons)
    (step_ms,) = {market.step_ms for market in markets}
    split = _split(rows, features, config, step_ms)
    scaler = Scaler.fit(rows.x[split.train], features.kinds)
    z = torch.from_numpy(scaler.transform(rows.x)).float()
    train, held = z[split.train], z[split.validation]
    base = fit_base(train, held, config.state, config.noise, seed=config.seed)
    denoiser, state_log = fit_denoiser(
        train,
        held,
        config.state,
        config.noise,
        base=base,
        seed=config.seed,
        device=device,
        progress=progress,
    )
    density_net, density_log, density_error = fit_density_net(
        denoiser,
        train,
        held,
        config.density,
        config.noise,
        seed=config.seed + 11,
        progress=progress,
    )
    forward_nets, forward_log = _fit_forward(z, rows, split, scaler, len(markets), config, progress)
    model = ScoreModel(
        features=features,
        config=config,
        scaler=scaler,
        base=base or Mixture.gaussian(train.double()),
        denoiser=denoiser,
        density_net=density_net,
        forward_net=forward_nets[config.forward.horizon],
        calibration=Calibration.fit(np.array([]), {}),  # replaced below: the model itself is asked for it
        further={horizon: forward_nets[horizon] for horizon in config.forward.horizons},
    )
    model = replace(model, calibration=_calibrate(model, rows.x[split.validation]))
    model = _with_atoms(model, rows.x[split.train])
    logs = {"state": state_log, "density": density_log, "forward": forward_log}
    metrics = held_out_metrics(model, rows.x[split.test], rows.y[split.test, 0])
    metrics |= {f"density_net_{name}": value for name, value in density_error.items()}
    model = replace(model, info=_describe(markets, step_ms, rows, split, logs, metrics) | info)
    return _with_regimes(model, rows, np.sort(split.train))


def _with_atoms(model: ScoreModel, x: Array) -> ScoreModel:
    if not commonest(x):
        return model
    noise, seed = model.config.noise, model.config.seed + 31
    drawn = SAMPLERS[model.config.sampler](
        model.denoiser, model.base, _DRAWN, seed, sigma_min=noise.sigma_min, sigma_max=noise.sigma_max
    )
    return replace(model, atoms=find_atoms(x, model.scaler.transform(x), drawn.numpy()))


def _with_regimes(model: ScoreModel, rows: _Rows, train: NDArray[np.int64]) -> ScoreModel:
    """Fit the regimes to the training span, unless it is short or a user's features name no volatility."""
    try:
        return model.with_regimes(rows.x[train], rows.time[train])
    except (FeatureMismatch, TooFewBars):
        return model


def _describe(
    markets: Sequence[Market],
    step_ms: int,
    rows: _Rows,
    split: Split,
    logs: Mapping[str, TrainingLog],
    metrics: Mapping[str, float],
) -> dict[str, Any]:
    return {
        "symbols": [market.symbol for market in markets],
        "bar_ms": step_ms,
        "training_span": _span(rows.time[split.train]),
        "calibration_span": _span(rows.time[split.validation]),
        "test_span": _span(rows.time[split.test]),
        "rows": {"train": len(split.train), "validation": len(split.validation), "test": len(split.test)},
        "log": {name: log.to_dict() for name, log in logs.items()},
        "metrics": dict(metrics),
    }


def _common_features(markets: Sequence[Market], config: ModelConfig) -> FeatureSet:
    if not markets:
        raise ScorenetError("expected at least one market to train on, found none; give the bars of a market")
    if len({market.step_ms for market in markets}) > 1:
        raise ScorenetError(
            "expected markets of one bar size, found several; train one model for each timeframe"
        )
    available = tuple(name for name in OPTIONAL_INPUTS if all(_carries(m.bars, name) for m in markets))
    return feature_set(config.features, available)


def _carries(bars: Bars, name: str) -> bool:
    """Return whether a column has data; feeds fill a column that is not published with zeros."""
    return name in bars and bool(np.any(bars[name]))


def _pool(markets: Sequence[Market], features: FeatureSet, horizons: Sequence[int]) -> _Rows:
    parts: list[_Rows] = []
    for market in markets:
        x = features.compute(market.bars, market.step_ms)
        volatility = features.volatility(market.bars)
        y = np.stack([_target(market, volatility, horizon) for horizon in horizons], axis=1)
        time = np.asarray(market.bars["timestamp"], dtype=np.int64)
        defined = np.isfinite(x).all(axis=1)
        parts.append(_Rows(x[defined], y[defined], time[defined]))
    joined = _Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("x", "y", "time")))
    if not len(joined.x):
        longest = max(len(market.bars["close"]) for market in markets)
        raise TooFewBars(features.lookback + 1, longest, f"compute the {features.name} features")
    return joined


def _target(market: Market, volatility: Array, horizon: int) -> Array:
    y = forward_target(np.asarray(market.bars["close"], dtype=np.float64), volatility, horizon)
    time = np.asarray(market.bars["timestamp"], dtype=np.int64)
    # Where bars are missing in between, the return spans a longer time.
    y[:-horizon][time[horizon:] - time[:-horizon] != horizon * market.step_ms] = np.nan
    return y


def _split(rows: _Rows, features: FeatureSet, config: ModelConfig, step_ms: int) -> Split:
    fractions = (config.train_fraction, config.validation_fraction)
    return chronological_split(
        rows.time,
        horizon=max(config.forward.all_horizons),
        embargo=features.lookback,
        step_ms=step_ms,
        fractions=fractions,
        minimum=64,
    )


def _fit_forward(
    z: Tensor,
    rows: _Rows,
    split: Split,
    scaler: Scaler,
    markets: int,
    config: ModelConfig,
    progress: bool,
) -> tuple[dict[int, ForwardNet], TrainingLog]:
    nets, logs = {}, []
    # Only magnitudes may set the scale of the return; these are the features that the scaler takes the logarithm of.
    magnitudes = torch.tensor([float(kind == "log") for kind in scaler.kinds])
    for column, horizon in enumerate(config.forward.all_horizons):
        y = torch.from_numpy(rows.y[:, column]).float()
        train, held = _with_target(split.train, y), _with_target(split.validation, y)
        nets[horizon], log = fit_forward_net(
            z[train],
            y[train],
            z[held],
            y[held],
            replace(config.forward, horizon=horizon, horizons=()),
            seed=config.seed + 23,
            overlap=horizon * markets,
            scale_columns=magnitudes,
            progress=progress,
        )
        logs.append(log)
    return nets, logs[0]


def _with_target(index: NDArray[np.int64], y: Tensor) -> NDArray[np.int64]:
    kept: NDArray[np.int64] = index[torch.isfinite(y[index]).numpy()]
    if not len(kept):
        raise TooFewBars(len(index) + 1, len(index), "see one full horizon ahead")
    return kept


def _calibrate(model: ScoreModel, x: Array) -> Calibration:
    scores = {"forward": model.forward(x).score, "state": model.score(x)[:, model.features.return_index]}
    scores |= {name: model.signal_score(x, name) for name in model.config.signals}
    return Calibration.fit(model.log_density(x), scores)


def _span(time: NDArray[np.int64]) -> list[int]:
    return [int(time.min()), int(time.max())]
