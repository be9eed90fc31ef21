"""Outputs of models that this process has computed, by the identity of the model and the bars.

A sweep over thresholds evaluates the nets once, and a worker process takes over the outputs of the one that started it.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .evaluation import Evaluation

__all__ = ["cached_outputs", "forget_outputs", "keep_outputs", "output_key", "remembered"]

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
