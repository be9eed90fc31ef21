"""Classifier two-sample test: AUC of gradient-boosted trees between two sets of rows; 0.5 means no difference found.

References:
    Revisiting Classifier Two-Sample Tests (Lopez-Paz & Oquab, 2017), arXiv 1610.06545.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["TwoSample", "two_sample_auc"]

Array = NDArray[np.float64]


class TwoSample(NamedTuple):
    """Mean area under the ROC curve over held-out folds, and its standard error."""

    auc: float
    standard_error: float


def two_sample_auc(real: Array, samples: Array, *, folds: int = 5, seed: int = 0) -> TwoSample:
    """Return the cross-validated AUC of gradient-boosted trees between `real` [N, d] and `samples` [M, d].

    Folds are contiguous. Real rows are near copies of their neighbours in time, so with random folds a classifier would
    recognise a test row by its neighbours in the training folds. The larger set is thinned to the size of the smaller.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from threadpoolctl import threadpool_limits

    size = min(len(real), len(samples))
    if size < 2 * folds:
        raise ValueError(f"expected at least {2 * folds} rows of each kind, found {size}")
    pair = [rows[np.linspace(0, len(rows) - 1, size).round().astype(int)] for rows in (real, samples)]
    x, y = np.concatenate(pair), np.repeat([1, 0], size)
    fold = np.tile(np.arange(size) * folds // size, 2)
    found = []
    # One thread: a second one saves no time at this size, and the trees are the same on every machine.
    with threadpool_limits(1):
        for k in range(folds):
            trees = HistGradientBoostingClassifier(random_state=seed, early_stopping=False, max_iter=60)
            trees.fit(x[fold != k], y[fold != k])
            found.append(roc_auc_score(y[fold == k], trees.predict_proba(x[fold == k])[:, 1]))
    return TwoSample(float(np.mean(found)), float(np.std(found, ddof=1) / np.sqrt(folds)))
