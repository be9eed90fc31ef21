"""The tables of a run folder: their columns, types and order."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final, cast

import pandas as pd

__all__ = ["SCHEMAS", "conform", "empty_frame"]

_TIME: Final = "datetime64[ms, UTC]"

SCHEMAS = MappingProxyType(
    {
        "equity": {
            "time": _TIME,
            "equity": "float64",
            "cash": "float64",
            "exposure": "float64",
            "drawdown": "float64",
            "benchmark": "float64",
        },
        "orders": {
            "time": _TIME,
            "decided": _TIME,
            "symbol": "str",
            "side": "str",
            "size": "float64",
            "price": "float64",
            "reference_price": "float64",
            "fee": "float64",
            "slippage": "float64",
            "status": "str",
            "liquidation": "bool",
        },
        "trades": {
            "symbol": "str",
            "side": "str",
            "opened": _TIME,
            "closed": _TIME,
            "bars": "int64",
            "size": "float64",
            "entry_price": "float64",
            "exit_price": "float64",
            "gross_pnl": "float64",
            "fees": "float64",
            "funding": "float64",
            "net_pnl": "float64",
        },
        "decisions": {
            "time": _TIME,
            "symbol": "str",
            "close": "float64",
            "score": "float64",
            "signal": "float64",
            "confidence": "float64",
            "log_density": "float64",
            "density_rank": "float64",
            "in_distribution": "bool",
            "expected_return": "float64",
            "unfiltered": "float64",
            "target": "float64",
            "position": "float64",
            "reason": "str",
        },
        "funding": {
            "time": _TIME,
            "symbol": "str",
            "rate": "float64",
            "position": "float64",
            "price": "float64",
            "amount": "float64",
        },
    }
)

_ADDED = MappingProxyType({"decisions": ("expected_return", "unfiltered")})
"""Columns that run folders of earlier versions lack; they are read as NaN."""


def empty_frame(name: str) -> pd.DataFrame:
    """Return a table of a run folder with its columns and types and no rows."""
    return pd.DataFrame(
        {column: _column(pd.Series([], dtype=object), kind) for column, kind in _schema(name).items()}
    )


def conform(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table with the contract's columns first, in order and with their types; other columns follow.

    Columns that earlier versions did not write are NaN. Times must be datetimes (naive ones count as UTC). Integers are
    not accepted, because their unit is unknown.

    Raises:
        ValueError: A column is missing or cannot be converted.
    """
    schema = _schema(name)
    frame = frame.assign(**{column: float("nan") for column in _ADDED.get(name, ()) if column not in frame})
    missing = [column for column in schema if column not in frame.columns]
    if missing:
        raise ValueError(
            f"table {name!r} lacks the column(s) {', '.join(missing)}; it has {list(frame.columns)}"
        )
    columns = {}
    for column, kind in schema.items():
        if kind == _TIME and len(frame) and pd.api.types.is_numeric_dtype(frame[column]):
            raise ValueError(
                f"table {name!r}, column {column!r}: expected datetimes, found {frame[column].dtype}"
            )
        columns[column] = _column(frame[column], kind)
    columns |= {column: frame[column] for column in frame.columns if column not in schema}
    return pd.DataFrame(columns).reset_index(drop=True)


def _schema(name: str) -> dict[str, str]:
    if name not in SCHEMAS:
        raise ValueError(f"no table {name!r} in a run folder; there are {', '.join(SCHEMAS)}")
    return SCHEMAS[name]


def _column(column: pd.Series, kind: str) -> pd.Series:
    if kind == _TIME:
        return pd.to_datetime(column, utc=True).astype(_TIME)
    return column.astype(cast(Any, kind))
