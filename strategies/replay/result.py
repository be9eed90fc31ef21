"""The figures of many sets, by the names and the formulas of metrics.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..analyzers.metrics import bar_returns, daily_equity
from ..analyzers.periods import period_returns
from .compiled.layout import LIQUIDATED, OPEN, REJECTED, ROW, SETTLED, STATUS, WITHDRAWN
from .market import ReplayMarket

__all__ = ["ReplayResult"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ReplayResult:
    """The figures of S sets [S]; NaN where metrics.json has null. Amounts are in the settlement coin.

    Attributes:
        market: the market of the sets.
        figures: the keys of metrics.json that describe the strategy (total_return ... in_distribution_ratio), and
            final_equity, insurance, settlements, bars_in_market (closes with a position), orders_in_filled_bars.
        refused: number of refused orders by reason.
        reasons: number of decisions by reason code, from `Facts.since` on.
        equity: equity at the closes `market.times` [S, B]; None unless asked for.
        codes: reason code of each decision by symbol and close of the clock [S, N, U], -1 where nothing was decided;
            None unless asked for.
        rows: ended orders of each set [rows, columns], see `orders`; None unless asked for.
    """

    market: ReplayMarket
    figures: dict[str, Array]
    refused: dict[str, NDArray[np.int64]]
    reasons: dict[str, NDArray[np.int64]]
    equity: Array | None = None
    codes: NDArray[np.int8] | None = None
    rows: list[Array] | None = None

    def __len__(self) -> int:
        return len(self.figures["final_equity"])

    def metrics(self, number: int) -> dict[str, float | int | None]:
        """Return the figures of one set as metrics.json writes them: None for an undefined one."""
        whole = {name for name, values in self.figures.items() if values.dtype.kind == "i"}
        found = {name: float(values[number]) for name, values in self.figures.items()}
        return {
            name: None if np.isnan(value) else int(value) if name in whole else value
            for name, value in found.items()
        }

    def bar_returns(self) -> Array:
        """Return the simple returns of all sets [S, B - 1].

        Raises:
            ValueError: the sets were replayed without `curves`.
        """
        return np.stack([bar_returns(curve) for curve in self._curves()])

    def daily_returns(self) -> tuple[NDArray[np.int64], Array]:
        """Return the starts of D UTC days (UTC ms) [D] and the simple returns of all sets [S, D], as `DailyReturns`.

        Raises:
            ValueError: the sets were replayed without `curves`.
        """
        times = self.market.times
        found = [period_returns(times, curve, *daily_equity(times, curve)) for curve in self._curves()]
        return found[0]["time"].astype(np.int64), np.stack(
            [one["return"].astype(np.float64) for one in found]
        )

    def orders(self, number: int) -> dict[str, Any]:
        """Return the ended orders of one set: the columns of `Orders` but for prices and sides, by their ends.

        Raises:
            ValueError: the sets were replayed without `trace`.
        """
        if self.rows is None:
            raise ValueError(
                "orders: expected sets replayed with trace=True, found none; pass it to replay()"
            )
        found = _announced(self.rows[number], int(self.market.clock[-1]))
        columns = {name: found[:, k] for k, name in enumerate(ROW)}
        return {
            **columns,
            "symbol": [self.market.facts.symbols[int(s)] for s in columns["symbol"]],
            "status": [STATUS[int(code)] for code in columns["status"]],
            **{name: columns[name].astype(np.int64) for name in ("decided", "time")},
            "liquidation": columns["status"] == LIQUIDATED,
            "settlement": columns["status"] == SETTLED,
        }

    def _curves(self) -> Array:
        if self.equity is None:
            raise ValueError(
                "returns: expected sets replayed with curves=True, found none; pass it to replay()"
            )
        return self.equity


def _announced(rows: Array, last: int) -> Array:
    """Return the orders that `Orders` knows: what the strategy does at the last close is never announced to it."""
    decided, time, size, status = (rows[:, ROW.index(name)] for name in ("decided", "time", "size", "status"))
    withdrawn = (time == last) & (status == WITHDRAWN)
    found = rows[~(withdrawn & (size == 0.0)) & ~((decided == last) & (status == REJECTED))].copy()
    still_open = (found[:, ROW.index("time")] == last) & (found[:, ROW.index("status")] == WITHDRAWN)
    found[still_open, ROW.index("status")] = OPEN
    return found
