"""Small random markets and a model without nets, for comparisons of the replay with Cerebro."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from scorenet import Evaluation, ScoreModel
from tests.strategies.market import HOUR, START

__all__ = ["StubModel", "market"]

_ROWS = 997


class StubModel(ScoreModel):
    """A model whose outputs at a bar are drawn by the bar's time and close: no nets, any values, some undefined."""

    lookback = 3
    horizon = 4
    regime_map = None

    def __init__(self, seed: int, *, learned_until: int | None = START, strong: float = 1.0) -> None:
        rng = np.random.default_rng(seed)
        rank = rng.choice([0.004, 0.03, 0.2, 0.6, 0.95], _ROWS) * rng.random(_ROWS)
        score, size = rng.normal(0.0, 1.0, _ROWS), rng.random(_ROWS)
        std = 0.02 * np.exp(rng.normal(0.0, 0.3, _ROWS))
        mean = strong * 0.01 * score
        table = {
            "score": score,
            "signal": np.sign(score) * size,
            "confidence": size,
            "score_std": rng.random(_ROWS),
            "log_density": rng.normal(0.0, 1.0, _ROWS),
            "density_rank": rank,
            "volatility": 0.004 * np.exp(rng.normal(0.0, 0.3, _ROWS)),
            "expected_return": mean,
            "return_std": std,
            "lower_tail": mean - 2.0 * std,
            "upper_tail": mean + 2.0 * std,
            "strength": strong * score,
        }
        undefined = rng.random(_ROWS) < 0.04
        for name in table:
            table[name] = np.where(undefined, np.nan, table[name])
        table["volatility"] = np.where(rng.random(_ROWS) < 0.02, np.nan, table["volatility"])
        for name, value in {
            "_table": table,
            "_learned": learned_until,
            "info": {"bar_ms": HOUR},
            "calibration": SimpleNamespace(typical_forecast=1.0),
            "features": SimpleNamespace(inputs=("close",)),
        }.items():
            object.__setattr__(self, name, value)

    @property
    def learned_until(self) -> int | None:
        return self._learned

    def evaluate(
        self, bars: Any, signal: str = "forward", step_ms: int | None = None, *, tails: bool = False
    ) -> Any:
        hours = (np.asarray(bars["timestamp"]) - START) // HOUR
        rows = (hours * 7 + (np.asarray(bars["close"]) * 1e6).astype(np.int64)) % _ROWS
        return Evaluation(**{name: self._table[name][rows] for name in Evaluation._fields})


def market(
    rng: np.random.Generator,
    symbol: str,
    bars: int,
    *,
    late: int = 0,
    ended: int = 0,
    jump: float = 0.1,
    holes: str = "none",
    marked: bool = False,
    price: float = 100.0,
) -> pd.DataFrame:
    """Return hourly bars: a random walk with jumps and funding; `holes` "keep" removes bars, "ffill" invents them."""
    n = bars - late - ended
    moves = rng.normal(0.0, 0.01, n) + (rng.random(n) < 0.05) * rng.choice([-jump, jump], n)
    close = price * np.exp(np.cumsum(moves))
    before = np.concatenate(([price], close[:-1]))
    opening = before * np.exp((rng.random(n) < 0.3) * rng.normal(0.0, 0.01, n))
    frame = pd.DataFrame(
        {
            "timestamp": START + HOUR * (np.arange(n) + late),
            "open": opening,
            "high": np.maximum(opening, close) * np.exp(rng.exponential(0.005, n)),
            "low": np.minimum(opening, close) * np.exp(-rng.exponential(0.005, n)),
            "close": close,
            "volume": rng.exponential(500.0, n) * (rng.random(n) > 0.03),
            "funding_rate": np.where(np.arange(n) % 4 == 0, rng.choice([-0.003, 0.0, 0.002], n), 0.0),
            "filled": False,
        }
    )
    if marked:
        for name in ("open", "high", "low", "close"):
            frame[f"mark_{name}"] = frame[name] * (1.0 + rng.normal(0.0, 0.002))
    gone = np.flatnonzero(rng.random(n) < 0.12)
    gone = gone[(gone > 4) & (gone < n - 1)]
    if holes == "keep":
        frame = frame.drop(index=gone).reset_index(drop=True)
    elif holes == "ffill":
        for row in gone:
            frame.loc[row, ["open", "high", "low", "close"]] = frame.loc[row - 1, "close"]
            frame.loc[row, ["volume", "funding_rate", "filled"]] = [0.0, 0.0, True]
    frame.attrs = {"symbol": symbol, "timeframe": "1h", "source": "test"}
    return frame
