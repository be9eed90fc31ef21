"""The result of a run before it is written, and the result of its benchmark: the assets, bought once and held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import pandas as pd

from feeds.bars.frame import to_arrays
from feeds.bars.timeframes import to_ms
from strategies import FillFacts
from strategies.account.fill_price import fill_price

from .folder.frames import conform, empty_frame
from .settings import Account

__all__ = ["Result", "benchmark"]


@dataclass(frozen=True)
class Result:
    """The tables of one run, as RUN_DIR stores them, and totals that no table contains.

    `notes` are sentences about what happened to the account: settled markets, orders that were refused or had to wait.
    `attribution` says where the profit came from (`strategies.Attribution`), `profit` has the rows of `equity` and a
    column for each symbol: its profit after costs in the bar. The benchmark has neither.
    """

    equity: pd.DataFrame
    orders: pd.DataFrame
    trades: pd.DataFrame
    decisions: pd.DataFrame
    funding: pd.DataFrame
    in_distribution: dict[str, Any]
    insurance: float
    notes: tuple[str, ...] = ()
    attribution: dict[str, Any] = field(default_factory=dict)
    profit: pd.DataFrame = field(default_factory=pd.DataFrame)

    def by_close(self) -> Self:
        """Return the result with one row of equity and profit per bar close: a live run may have several."""
        times = self.equity["time"]
        return replace(
            self,
            equity=self.equity.drop_duplicates("time", keep="last", ignore_index=True),
            profit=self.profit.groupby(times.to_numpy()).sum().reset_index(drop=True),
        )


def benchmark(frames: Sequence[pd.DataFrame], account: Account, since: int) -> Result:
    """Return the result of holding the assets of the frames from the bar close `since` (UTC ms) on.

    Each asset gets an equal share of the cash. It is bought with it, slippage and taker fee included, at the open of
    its first bar after `since` in which somebody traded, and held to the end: no funding, margin, liquidation or lot
    size. The share of an asset that is listed later is cash until then; one that ends keeps its last price. An account
    in the coin of an inverse contract already holds the asset: its benchmark is the coin.
    """
    times = np.unique(np.concatenate([_closes(frame)[_closes(frame) >= since] for frame in frames]))
    cash = np.full(len(times), account.cash)
    held = np.zeros(len(times))
    orders: list[dict[str, Any]] = []
    for frame in frames:
        if account.costs_of(str(frame.attrs["symbol"])).contract == "inverse":
            continue
        order = _purchase(frame, account, account.cash / len(frames), since)
        if order is None:
            continue
        orders.append(order)
        row = np.searchsorted(_closes(frame), times, side="right") - 1
        owns = times >= order["time"]
        held[owns] += order["size"] * frame["close"].to_numpy()[row[owns]]
        cash[owns] -= account.cash / len(frames)
    equity = cash + held
    curve = {"time": _utc(times), "equity": equity, "cash": cash, "exposure": held / equity}
    orders.sort(key=_time)
    table = pd.DataFrame(orders)
    for name in ("time", "decided"):
        if len(table):
            table[name] = _utc(table[name])
    return Result(
        equity=pd.DataFrame(curve),
        orders=conform("orders", table) if len(table) else empty_frame("orders"),
        trades=empty_frame("trades"),
        decisions=empty_frame("decisions"),
        funding=empty_frame("funding"),
        in_distribution={},
        insurance=0.0,
    )


def _purchase(frame: pd.DataFrame, account: Account, cash: float, since: int) -> dict[str, Any] | None:
    """Return the order that spends `cash` at the first open of the frame after `since`, None if there is none."""
    bars, symbol = to_arrays(frame), str(frame.attrs["symbol"])
    closes = _closes(frame)
    later = closes > since
    if "filled" in bars:
        later &= ~bars["filled"]
    if not later.any():
        return None
    row = int(np.argmax(later))
    opening, high, low, volume = (float(bars[name][row]) for name in ("open", "high", "low", "volume"))
    costs = account.costs_of(symbol)
    price = fill_price(costs, FillFacts(cash / opening, opening, "market", opening, high, low, volume))
    size = cash / (price * (1.0 + costs.taker))
    return {
        "time": int(closes[row]),
        "decided": int(closes[row] - to_ms(frame.attrs["timeframe"])),
        "symbol": symbol,
        "side": "buy",
        "size": size,
        "price": price,
        "reference_price": opening,
        "fee": size * price * costs.taker,
        "slippage": size * (price - opening),
        "status": "completed",
        "liquidation": False,
    }


def _time(order: dict[str, Any]) -> int:
    return int(order["time"])


def _closes(frame: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.int64]]:
    return frame["timestamp"].to_numpy(dtype=np.int64) + to_ms(frame.attrs["timeframe"])


def _utc(times: Any) -> Any:
    return pd.to_datetime(np.asarray(times, dtype="int64"), unit="ms", utc=True)
