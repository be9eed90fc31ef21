"""Evaluate every bar of a market with a model: features, score, density, ranks; remembered for a sweep."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from .features import Bars
from .score.training import threads
from .signals import signal_scores

if TYPE_CHECKING:
    from .model import ScoreModel

__all__ = ["BLOCK", "Evaluation", "evaluate_bars"]

Array = NDArray[np.float64]

BLOCK = 512  # rows a forward pass: its activations stay in one core's cache, where one thread outruns two
_FEW = 64  # decided rows up to which an evaluation is not worth remembering
_DECIMALS = 10  # batched and single-row matrix products differ in the 16th digit; no decision may hang on it
_MEMO_SIZE = 16


class Evaluation(NamedTuple):
    """What the model says of every bar, float64 [T] each, NaN where the state is not defined.

    score: score of the return coordinate (forward: of the coming return at 0; state: of the last return), or what a
        signal of your own returns.
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


def evaluate_bars(model: ScoreModel, bars: Bars, signal: str, step_ms: int | None) -> Evaluation:
    """Evaluate bars, columns [T]; a repeated call on the same ones is answered from memory."""
    if len(bars["close"]) <= model.lookback + _FEW:
        return _evaluate(model, bars, signal, step_ms)
    key = _memo_key(model, bars, signal, step_ms)
    if key not in _memo:
        _memo[key] = _evaluate(model, bars, signal, step_ms)
        while len(_memo) > _MEMO_SIZE:
            _memo.popitem(last=False)
    _memo.move_to_end(key)
    return _memo[key]


def _memo_key(model: ScoreModel, bars: Bars, signal: str, step_ms: int | None) -> str:
    digest = hashlib.sha256(f"{model.fingerprint} {signal} {step_ms}".encode())
    for name in (*model.features.inputs, "timestamp"):
        if name in bars:
            digest.update(np.ascontiguousarray(bars[name]).tobytes())
    return digest.hexdigest()


def _evaluate(model: ScoreModel, bars: Bars, signal: str, step_ms: int | None) -> Evaluation:
    x, volatility = model.features.compute_with_volatility(bars, step_ms)
    warm = min(model.lookback, len(x))
    known = warm + np.flatnonzero(np.isfinite(x[warm:]).all(axis=1))
    out = {name: np.full(len(x), np.nan) for name in Evaluation._fields}
    out["volatility"] = volatility
    with torch.inference_mode(), threads(1):
        for begin in range(0, len(known), BLOCK):
            rows = known[begin : begin + BLOCK]
            z = torch.from_numpy(model.scaler.transform(x[rows]))
            out["score"][rows], out["score_std"][rows] = signal_scores(signal, model, x[rows], z)
            out["log_density"][rows] = model.density_net(z).numpy()
    out["log_density"] = np.round(out["log_density"], _DECIMALS)
    score = out["score"][known]
    out["confidence"][known] = model.calibration.confidence(signal, score)
    out["density_rank"][known] = model.calibration.density_rank(out["log_density"][known])
    out["signal"][known] = np.sign(score) * out["confidence"][known]
    return Evaluation(**out)
