"""Columnar record of decisions: 88 bytes a row, so a year of minutes fits in 50 MB."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np

from strategies.decision import REASONS

__all__ = ["DecisionRecorder"]

_FLOATS = (
    "close",
    "score",
    "signal",
    "confidence",
    "log_density",
    "density_rank",
    "in_distribution",
    "target",
    "position",
)
_CODES = {reason: code for code, reason in enumerate(REASONS)}


class DecisionRecorder:
    """Append one row a bar and symbol; read back as columns."""

    def __init__(self, symbols: list[str]) -> None:
        self._symbols = symbols
        self._date = array("d")
        self._values = array("d")
        self._symbol, self._reason = array("B"), array("B")
        if len(symbols) > 255:
            raise ValueError(f"at most 255 symbols in one account, found {len(symbols)}")

    def __len__(self) -> int:
        return len(self._date)

    def append(self, date: float, symbol: int, reason: str, values: tuple[float, ...]) -> None:
        """Add a row: Backtrader date of the bar's close, symbol number, reason, and the nine values in column order."""
        self._date.append(date)
        self._values.extend(values)
        self._symbol.append(symbol)
        self._reason.append(_CODES[reason])

    def columns(self) -> dict[str, Any]:
        """Return the columns of decisions.parquet, [rows] each; `time` is the bar's close in UTC ms."""
        from strategies.datas import to_milliseconds

        values = np.array(self._values).reshape(-1, len(_FLOATS))
        out: dict[str, Any] = {
            "time": to_milliseconds(np.array(self._date)),
            "symbol": np.array(self._symbols, dtype=object)[np.array(self._symbol, dtype=np.intp)],
        }
        for index, name in enumerate(_FLOATS):
            out[name] = values[:, index].copy()
        out["in_distribution"] = out["in_distribution"] == 1.0
        out["reason"] = np.array(REASONS, dtype=object)[np.array(self._reason, dtype=np.intp)]
        return out
