"""The columns of a market: one array of floats [columns, N, U], and what an account reads of them as records [U, N].

A market has N symbols and U closes: all times at which any symbol has a bar close. Without a bar, a price, a time or an
output is that of the symbol's bar before.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["COLUMNS", "bars_of"]

COLUMNS = (
    "clock",
    "has_bar",
    "bars",
    "stamp",
    "invented",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "mark_open",
    "mark_high",
    "mark_low",
    "mark_close",
    "funding",
    "missing",
    "model",
    "regime",
    "score",
    "signal",
    "confidence",
    "score_std",
    "log_density",
    "density_rank",
    "annual_volatility",
    "expected_return",
    "return_std",
    "lower_tail",
    "upper_tail",
    "strength",
)
"""Names of the columns.

`clock` is the close, UTC ms, the same for all symbols. `has_bar`: whether the symbol has a bar at that close. `bars`:
number of its bars so far. `stamp`: close of its newest bar, UTC ms, 0 before the first. `invented`: whether that bar
was added where bars are missing. `mark_...`: the mark price, or the traded one where the data has none. `funding`: rate
that settles at the bar's open. `missing`: number of bars missing before this one. `model`: number of the model of the
schedule, -1 before the first. `regime`: number of the regime, -1 where it is not known. The rest are the fields of
`scorenet.Evaluation`; the volatility is annual.
"""

(
    CLOCK,
    HAS_BAR,
    BARS,
    STAMP,
    INVENTED,
    OPEN,
    HIGH,
    LOW,
    CLOSE,
    VOLUME,
    MARK_OPEN,
    MARK_HIGH,
    MARK_LOW,
    MARK_CLOSE,
    FUNDING,
    MISSING,
    MODEL,
    REGIME,
    SCORE,
    SIGNAL,
    CONFIDENCE,
    SCORE_STD,
    LOG_DENSITY,
    DENSITY_RANK,
    ANNUAL_VOLATILITY,
    EXPECTED_RETURN,
    RETURN_STD,
    LOWER_TAIL,
    UPPER_TAIL,
    STRENGTH,
) = range(len(COLUMNS))

_OF_ACCOUNT = np.dtype(
    [
        (name, np.float64)
        for name in (
            "clock",
            "has_bar",
            "bars",
            "stamp",
            "invented",
            "open",
            "close",
            "volume",
            "mark_open",
            "mark_high",
            "mark_low",
            "mark_close",
            "funding",
            "return_std",
        )
    ]
)


def bars_of(values: NDArray[np.float64]) -> NDArray[Any]:
    """Return what an account reads of columns [columns, N, U] as records [U, N].

    All that it reads at a close lies side by side: an account of several symbols would read dozens of columns at once,
    more than a processor can fetch ahead.
    """
    bars = np.empty(values.shape[:0:-1], dtype=_OF_ACCOUNT)
    for name in _OF_ACCOUNT.names or ():
        bars[name] = values[COLUMNS.index(name)].T
    return bars
