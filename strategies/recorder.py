"""Compact record of decisions: 93 bytes per row, so a year of one-minute bars needs 49 MB."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from .datas import to_milliseconds
from .decision import REASONS
from .decision.reasons import WARMUP

__all__ = ["DecisionRecorder"]

_FLOATS = (
    "close",
    "score",
    "signal",
    "confidence",
    "log_density",
    "density_rank",
    "expected_return",
    "unfiltered",
    "target",
    "position",
)
_ROW = np.dtype([("date", "<f8"), *((name, "<f8") for name in _FLOATS), ("symbol", "<u4"), ("reason", "u1")])
_pack = struct.Struct(f"<{1 + len(_FLOATS)}dIB").pack  # one call per row is faster than one call per column


class DecisionRecorder:
    """Record one row per bar and symbol, and return them as columns.

    A state is in distribution if its density rank is at least `density_quantile`; without a rank (no state is known)
    the answer is None, neither True nor False. `unfiltered` is the exposure that the position rule gave before filters,
    steps, bands and caps (fraction of the account's equity, mean over the forecast window), `expected_return` the
    expected log-return over the model's horizon.
    """

    def __init__(self, symbols: list[str], density_quantile: float) -> None:
        self._symbols, self._quantile = symbols, density_quantile
        self._rows = bytearray()

    def __len__(self) -> int:
        return len(self._rows) // _ROW.itemsize

    def append(
        self,
        date: float,
        symbol: int,
        reason: int,
        close: float,
        score: float,
        signal: float,
        confidence: float,
        log_density: float,
        density_rank: float,
        expected_return: float,
        unfiltered: float,
        target: float,
        position: float,
    ) -> None:
        """Add a row; `date` is the bar's close as a Backtrader date, `symbol` and `reason` are numbers."""
        self._rows += _pack(
            date,
            close,
            score,
            signal,
            confidence,
            log_density,
            density_rank,
            expected_return,
            unfiltered,
            target,
            position,
            symbol,
            reason,
        )

    def first_decision(self) -> int | None:
        """Return the close (UTC ms) of the first bar that was no warm-up; None without one."""
        rows = np.frombuffer(bytes(self._rows), dtype=_ROW)
        decided = np.flatnonzero(rows["reason"] != WARMUP)
        return int(to_milliseconds(rows["date"][decided[0]])) if len(decided) else None

    def rows(self, start: int) -> list[dict[str, Any]]:
        """Return the rows from number `start` on, each as a mapping of all columns except the time."""
        found = np.frombuffer(bytes(self._rows[start * _ROW.itemsize :]), dtype=_ROW)
        return [
            {
                "symbol": self._symbols[row["symbol"]],
                "reason": REASONS[row["reason"]],
                **{name: float(row[name]) for name in _FLOATS},
            }
            for row in found
        ]

    def columns(self) -> dict[str, Any]:
        """Return the columns of decisions.parquet, [rows] each; `time` is the bar's close in UTC ms."""
        rows = np.frombuffer(self._rows, dtype=_ROW)
        out: dict[str, Any] = {
            "time": to_milliseconds(rows["date"].copy()),
            "symbol": np.array(self._symbols, dtype=object)[rows["symbol"]],
        }
        for name in _FLOATS:
            # Copies, because no row can be added while a view of the buffer exists.
            out[name] = rows[name].copy()
            if name == "density_rank":
                inside = (out[name] >= self._quantile).astype(object)
                inside[np.isnan(out[name])] = None
                out["in_distribution"] = inside
        out["reason"] = np.array(REASONS, dtype=object)[rows["reason"]]
        return out
