"""Evaluate every bar of a market with a model: features, score, density, ranks; and keep what was computed.

A sweep over thresholds evaluates the nets once, and a worker process takes over the outputs of the one that started it.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .base.printable import one_line
from .features import Bars
from .forward.moments import moments, tail_means
from .forward.net import Parts
from .score.training import threads
from .signals import signal_scores

if TYPE_CHECKING:
    from .model import ScoreModel

__all__ = [
    "BLOCK",
    "Evaluation",
    "cached_outputs",
    "evaluate_bars",
    "forget_outputs",
    "keep_outputs",
    "output_key",
    "remembered",
]

Array = NDArray[np.float64]

BLOCK = (
    512  # rows per forward pass: the activations fit in one core's cache, so one thread is faster than two
)
_DECIMALS = (
    10  # batched and single-row matrix products differ in the 16th digit; rounding keeps decisions equal
)


class Evaluation(NamedTuple):
    """The model's outputs for every bar, float64 [T] each, NaN where the state is undefined.

    score: score of the return coordinate (forward: of the next return at 0; state: of the last return), or the
        output of a user-defined signal.
    signal: sign(score) times confidence, in [-1, 1].
    confidence: ECDF of |score| on the calibration span, in [0, 1].
    score_std: standard deviation of the score (over the ensemble, or over neighbouring noise levels).
    log_density: log p of the scaled state, nats.
    density_rank: conformal p-value of log_density, in (0, 1].
    volatility: root mean square log-return per bar.
    expected_return: E[log-return over the next `horizon` bars | state], by the forward density.
    return_std: standard deviation of that log-return given the state.
    lower_tail: mean of that log-return below its 5 % quantile; NaN unless tails are asked for.
    upper_tail: mean of that log-return above its 95 % quantile; NaN unless tails are asked for.
    strength: of the forward signal, expected_return / return_std over its root mean square on the calibration span; of
        other signals, score over its root mean square there. 1 is a typical value.
    """

    score: Array
    signal: Array
    confidence: Array
    score_std: Array
    log_density: Array
    density_rank: Array
    volatility: Array
    expected_return: Array
    return_std: Array
    lower_tail: Array
    upper_tail: Array
    strength: Array

    def __repr__(self) -> str:
        return one_line(self, f"{np.size(self.score)} bars")


def evaluate_bars(
    model: ScoreModel, bars: Bars, signal: str, step_ms: int | None, *, tails: bool = False
) -> Evaluation:
    """Evaluate bars, columns of [T], with a calibrated signal; tail means only if `tails`.

    Raises:
        FeatureMismatch: the bars lack a column that the model reads.
    """
    x, volatility = model.features.compute_with_volatility(bars, step_ms, model.clock)
    warm = min(model.lookback, len(x))
    known = warm + np.flatnonzero(np.isfinite(x[warm:]).all(axis=1))
    out = {name: np.full(len(x), np.nan) for name in Evaluation._fields}
    out["volatility"] = volatility
    with torch.inference_mode(), threads(1):
        for begin in range(0, len(known), BLOCK):
            rows = known[begin : begin + BLOCK]
            z = torch.from_numpy(model.scaler.transform(x[rows]))
            mixtures = model.forward_net(z)
            out["score"][rows], out["score_std"][rows] = signal_scores(signal, model, x[rows], z, mixtures)
            unit = volatility[rows] * math.sqrt(model.config.forward.horizon)
            for name, values in _forward_outputs(mixtures, tails):
                # Rounded in units of volatility: in log-return ten decimals would be too few for short bars.
                out[name][rows] = np.round(values.numpy(), _DECIMALS) * unit
            out["log_density"][rows] = model.density_net(z).numpy()
    out["log_density"] = np.round(out["log_density"], _DECIMALS)
    score = out["score"][known]
    out["confidence"][known] = model.calibration.confidence(signal, score)
    out["density_rank"][known] = model.calibration.density_rank(out["log_density"][known])
    out["signal"][known] = np.sign(score) * out["confidence"][known]
    if signal == "forward":
        ratio = out["expected_return"][known] / out["return_std"][known]
        out["strength"][known] = ratio / model.calibration.typical_forecast
    else:
        out["strength"][known] = score / model.calibration.typical_magnitude(signal)
    return Evaluation(**out)


def _forward_outputs(mixtures: Parts, tails: bool) -> Iterator[tuple[str, Tensor]]:
    yield from zip(("expected_return", "return_std"), moments(mixtures), strict=True)
    if tails:
        yield from zip(("lower_tail", "upper_tail"), tail_means(mixtures), strict=True)


_MOST_BYTES = 256 << 20
_kept: OrderedDict[str, Evaluation] = OrderedDict()


def output_key(fingerprint: str, columns: Mapping[str, NDArray[Any]], *how: object) -> str:
    """Return the identity of the outputs of a model on these columns; `how` are the options that change them."""
    digest = hashlib.sha256(repr((*columns, *how)).encode())
    for column in columns.values():
        digest.update(np.ascontiguousarray(column).tobytes())
    return f"{fingerprint} {digest.hexdigest()}"


def remembered(key: str, compute: Callable[[], Evaluation]) -> Evaluation:
    """Return the outputs under `key`, computed at the first call; the least recently used are dropped at 256 MiB."""
    if key not in _kept:
        _keep(key, compute())
    _kept.move_to_end(key)
    return _kept[key]


def cached_outputs(fingerprint: str) -> dict[str, Evaluation]:
    """Return what this process has computed with a model, for another process to keep."""
    return {key: outputs for key, outputs in _kept.items() if key.startswith(f"{fingerprint} ")}


def keep_outputs(outputs: Mapping[str, Evaluation]) -> None:
    """Take over outputs that another process has computed."""
    for key, evaluation in outputs.items():
        if key not in _kept:
            _keep(key, evaluation)


def forget_outputs() -> None:
    """Drop all outputs, so that the next run computes its own: for measurements of time."""
    _kept.clear()


def _keep(key: str, outputs: Evaluation) -> None:
    _kept[key] = outputs
    while len(_kept) > 1 and sum(map(_size, _kept.values())) > _MOST_BYTES:
        _kept.popitem(last=False)


def _size(outputs: Evaluation) -> int:
    return sum(values.nbytes for values in outputs)
