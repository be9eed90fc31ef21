"""One expected return path from the forecasts of several horizons."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = ["expected_path"]

Array = NDArray[np.float64]


def expected_path(means: Mapping[int, Array], volatility: Array, bars: int) -> Array:
    """Return the expected log-return from now to each of the next `bars` bars, [N, bars + 1]; column 0 is 0.

    `means` is E[y | x] [N] by horizon in bars, `volatility` [N] the root mean square log-return per bar that is the
    unit of y: `{h: model.forward(x, h).mean for h in model.config.forward.all_horizons}`. The path passes through
    every horizon's forecast, E[y | x] volatility sqrt(h). Between two horizons the expected return per bar is taken
    as constant, after the last as 0: no net says anything about it.

    Raises:
        ValueError: there is no horizon, or one is below 1 bar.
    """
    if not means or min(means) < 1:
        raise ValueError(f"means: expected forecasts for horizons of at least 1 bar, found {sorted(means)}")
    known = np.array([0, *sorted(means)])
    scale = np.asarray(volatility, dtype=np.float64)
    totals = [np.zeros(len(scale)), *(means[h] * scale * np.sqrt(h) for h in known[1:].tolist())]
    at = np.arange(bars + 1)
    # np.interp is for one row; the weights are the same for all rows.
    after = np.clip(np.searchsorted(known, at, side="left"), 1, len(known) - 1)
    share = np.minimum((at - known[after - 1]) / (known[after] - known[after - 1]), 1.0)
    table = np.stack(totals, axis=1)
    return np.asarray(table[:, after - 1] * (1 - share) + table[:, after] * share)
