"""Random bars with jumps, funding of both signs and holes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tests.strategies.account.ledger import FOUR, HOUR, Market
from tests.strategies.market import START

__all__ = ["random_market"]


def random_market(
    rng: Any, n: int, late: int, ended: int, jump: float, mode: str, holes: str
) -> tuple[pd.DataFrame, Market]:
    """Return the frame of a symbol and its `Market`: a random walk with jumps, funding of both signs and holes."""
    length = n - late - ended
    moves = rng.normal(0.0, 0.02, length) + (rng.random(length) < 0.08) * rng.choice([-jump, jump], length)
    close = 100.0 * np.exp(np.cumsum(moves))
    before = np.concatenate(([100.0], close[:-1]))
    opening = before * np.exp((rng.random(length) < 0.3) * rng.normal(0, 0.01, length))
    high = np.maximum(opening, close) * np.exp(rng.exponential(0.005, length))
    low = np.minimum(opening, close) * np.exp(-rng.exponential(0.005, length))
    times = START + HOUR * (np.arange(length) + late)
    rate = np.where(times % (FOUR) == 0, rng.choice([-0.003, 0.001, 0.002], length), 0.0)
    keep = np.ones(length, dtype=bool)
    filled = np.zeros(length, dtype=bool)
    gone = np.flatnonzero(rng.random(length) < 0.1)
    gone = gone[(gone > 0) & (gone < length - 1)]
    if holes == "keep":
        keep[gone] = False
    elif holes == "ffill":
        filled[gone] = True
        for row in gone:
            opening[row] = high[row] = low[row] = close[row] = close[row - 1]
            rate[row] = 0.0
    if mode != "plain":
        rate[:] = 0.0  # Backtrader's resampler drops the line
    columns = {"open": opening, "high": high, "low": low, "close": close, "funding_rate": rate}
    frame = pd.DataFrame({"timestamp": times, **columns})
    frame["volume"] = 200.0
    frame["filled"] = filled
    kept = frame[keep].reset_index(drop=True)
    arrays = [kept[name].to_numpy() for name in ("open", "high", "low", "close", "funding_rate", "filled")]
    return kept, Market(kept["timestamp"].to_numpy() + HOUR, *arrays, mode=mode)
