"""The figures of metrics.json that pages and tables format: numbers, or null where a figure is undefined."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from ..metric_rows import ROWS

__all__ = ["check_figures"]

_NUMBERS = (*(row.key for row in ROWS), "periods_per_year", "bars")
_REGIME = ("regime", "bars", "share", "pnl", "account_pnl", "sharpe_ratio", "mean_run")
_TABLES = ("benchmark", "model", "in_distribution_ratio_by_symbol")


def check_figures(metrics: Mapping[str, Any]) -> None:
    """Check the figures that the program reads; other keys may hold anything.

    Raises:
        ValueError: a figure is not a number; the message names it.
    """
    for name in _NUMBERS:
        if not _is_figure(metrics.get(name)):
            raise ValueError(f"{name}: expected a number or null, found {_short(metrics[name])}")
    for name in _TABLES:
        table = metrics.get(name)
        if table is not None and not isinstance(table, Mapping):
            raise ValueError(f"{name}: expected a table, found {_short(table)}")
    for name in ("benchmark", "in_distribution_ratio_by_symbol"):
        for key, value in (metrics.get(name) or {}).items():
            if (name != "benchmark" or key in _NUMBERS) and not _is_figure(value):
                raise ValueError(f"{name}.{key}: expected a number or null, found {_short(value)}")
    _check_attribution(metrics.get("attribution"))
    _check_regimes(metrics.get("regimes"))


def _check_attribution(found: Any) -> None:
    if found is None:
        return
    _check_table("attribution", found)
    _check_values("attribution", {name: found.get(name) for name in ("total", "gross", "insurance")})
    for name, parts in found.items():
        if name == "costs":
            _check_values(f"attribution.{name}", parts)
        elif name == "refused" or name.startswith("by_"):
            _check_table(f"attribution.{name}", parts)
            for key, values in parts.items():
                _check_values(f"attribution.{name}.{key}", values)


def _check_regimes(found: Any) -> None:
    if found is None:
        return
    _check_table("regimes", found)
    for symbol, rows in found.items():
        if not isinstance(rows, list):
            raise ValueError(f"regimes.{symbol}: expected a list, found {_short(rows)}")
        for row in rows:
            _check_table(f"regimes.{symbol}", row)
            _check_values(f"regimes.{symbol}", {key: row.get(key) for key in _REGIME})
            if not isinstance(row.get("name"), str):
                raise ValueError(f"regimes.{symbol}.name: expected a text, found {_short(row.get('name'))}")
            if row.get("next") is not None:
                _check_values(f"regimes.{symbol}.next", row["next"])


def _check_table(name: str, found: Any) -> None:
    if not isinstance(found, Mapping):
        raise ValueError(f"{name}: expected a table, found {_short(found)}")


def _check_values(name: str, found: Any) -> None:
    _check_table(name, found)
    for key, value in found.items():
        if not _is_figure(value):
            raise ValueError(f"{name}.{key}: expected a number or null, found {_short(value)}")


def _is_figure(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
