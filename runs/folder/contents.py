"""The content of a run folder in memory, as the report reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from strategies.account.contracts import contract_of, settlement_coin
from strategies.analyzers.metrics import total_return, without_cash_flows

from .rundir import CorruptRun, RunDir

__all__ = ["LoadedRun", "milliseconds"]


@dataclass(frozen=True)
class LoadedRun:
    """The files of one run; `trials` and `held_out` are those of a search, None of any other run."""

    metrics: dict[str, Any]
    manifest: dict[str, Any]
    config: dict[str, Any]
    equity: pd.DataFrame
    orders: pd.DataFrame
    trades: pd.DataFrame
    decisions: pd.DataFrame
    funding: pd.DataFrame
    trials: pd.DataFrame | None = None
    held_out: pd.DataFrame | None = None

    @classmethod
    def read(cls, run: RunDir) -> LoadedRun:
        """Return the content of a run folder.

        Raises:
            RunDirMissing: A file is missing.
            CorruptRun: A file is invalid, or the equity has no row or a value that is not finite.
        """
        names = ("equity", "orders", "trades", "decisions", "funding")
        tables = {name: run.read_frame(name) for name in names}
        equity = tables["equity"]
        if not len(equity):
            raise CorruptRun(f"{run.path / 'equity.parquet'} has no row; run the backtest again")
        if not np.isfinite(equity[["equity", "benchmark"]].to_numpy()).all():
            raise CorruptRun(
                f"{run.path / 'equity.parquet'} holds an amount that is not finite; run the backtest again"
            )
        of_search = {name: run.read_frame(name) for name in ("trials", "held_out") if run.has(name)}
        return cls(run.read_metrics(), run.read_manifest(), run.read_config(), **tables, **of_search)

    @cached_property
    def times(self) -> npt.NDArray[np.int64]:
        """Close times of the bars [N] in UTC ms."""
        return milliseconds(self.equity["time"])

    @cached_property
    def symbols(self) -> list[str]:
        """Symbols in the order of the manifest, or of the decisions where the manifest names none."""
        named = [str(series.get("symbol")) for series in self._series() if series.get("symbol")]
        return list(dict.fromkeys(named)) or sorted(map(str, self.decisions["symbol"].unique()))

    @cached_property
    def timeframes(self) -> list[str]:
        """Bar sizes that the manifest names."""
        return list(dict.fromkeys(str(s["timeframe"]) for s in self._series() if s.get("timeframe")))

    @cached_property
    def currency(self) -> str:
        """The coin that amounts of money are in, as the symbols name it; "Quote currency" where they do not."""
        return self.coin or "Quote currency"

    @cached_property
    def coin(self) -> str:
        """The coin that amounts of money are in, "" where the symbols do not name one coin."""
        account = (self.config or {}).get("account")
        contract = str(account.get("contract", "auto")) if isinstance(account, Mapping) else "auto"
        coins = {
            settlement_coin(symbol, contract_of(symbol) if contract == "auto" else contract)
            for symbol in self.symbols
        }
        return (coins.pop() if len(coins) == 1 else None) or ""

    @cached_property
    def warnings(self) -> list[str]:
        """Warnings of the run, and those that the report adds."""
        listed = self.manifest.get("warnings")
        found = [str(warning) for warning in listed] if isinstance(listed, list) else []
        orders = self.orders[self.orders["status"] != "completed"]
        for filled, how in ((False, "not filled"), (True, "filled in part only")):
            ended = orders.loc[(orders["size"] != 0.0) == filled, "status"].value_counts()
            found += [f"{count:,} order(s) ended as {status}, {how}" for status, count in ended.items()]
        forced = int(self.orders["liquidation"].sum())
        if forced:
            found.append(f"{forced:,} position(s) were liquidated because of too little margin")
        stated, actual = self.metrics.get("total_return"), self._total_return()
        if isinstance(stated, int | float) and abs(stated - actual) > 1e-6 * max(1.0, abs(actual)):
            found.append(
                f"metrics.json says a total return of {stated:.6f}, equity.parquet gives {actual:.6f}"
            )
        return found

    def _total_return(self) -> float:
        flows = self.equity.get("cash_flow")
        return total_return(without_cash_flows(self.equity["equity"], flows)) or 0.0

    def _series(self) -> list[dict[str, Any]]:
        data = self.manifest.get("data")
        return [series for series in data if isinstance(series, dict)] if isinstance(data, list) else []


def milliseconds(column: pd.Series) -> npt.NDArray[np.int64]:
    """Return a column of UTC datetimes as milliseconds [N]."""
    return np.asarray(column.astype("datetime64[ms, UTC]").astype("int64"), dtype=np.int64)
