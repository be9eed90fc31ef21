"""What a trial is and what comes out of it: settings in, an outcome with metrics and daily returns out."""

from __future__ import annotations

import base64
import binascii
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "COMPLETE",
    "FAILED",
    "METRICS",
    "PRUNED",
    "Evaluator",
    "Outcome",
    "Row",
    "Settings",
    "check_row",
    "daily_returns",
    "failure",
    "finite_or_none",
    "packed",
    "returns_of",
]

Settings: TypeAlias = Mapping[str, Any]
"""The values of one trial by the bare names of the settings; all others keep the study's own values."""

Row = dict[str, Any]
"""A trial that has ended, as a line of the journal: number, params, metrics, status, reason, early, returns."""

COMPLETE, FAILED, PRUNED = "complete", "failed", "pruned"

METRICS = (
    "total_return",
    "annual_return",
    "volatility",
    "sharpe_ratio",
    "sortino_ratio",
    "max_drawdown",
    "calmar_ratio",
    "win_rate",
    "bar_win_rate",
    "profit_factor",
    "in_distribution_ratio",
    "avg_confidence",
    "exposure",
    "turnover",
    "n_trades",
    "n_orders",
    "fees",
    "funding",
    "slippage",
    "liquidations",
)
"""The metrics of a trial, by their names in metrics.json."""

_NOTHING: NDArray[np.float64] = np.empty(0)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one trial gave.

    Attributes:
        metrics: figures by their names in metrics.json; None: undefined. Empty for a failed trial.
        returns: simple returns [D] of the UTC days of the span; empty for a failed or pruned trial.
        status: "complete", "failed" or "pruned" (stopped early).
        reason: why it failed or was stopped; empty for a complete trial.
        early: annual Sharpe ratio from the start to each checkpoint that was reached, see `EarlyStop`.
    """

    metrics: Mapping[str, float | None] = field(default_factory=dict)
    returns: NDArray[np.float64] = field(default_factory=lambda: _NOTHING)
    status: str = COMPLETE
    reason: str = ""
    early: tuple[float, ...] = ()


class Evaluator(Protocol):
    """What runs trials. It is pickled once for each worker process, with the bars and outputs that it holds."""

    @property
    def batch(self) -> int:
        """Return the number of trials that are best evaluated in one call."""

    def evaluate(self, batch: Sequence[Settings], floors: Sequence[float] = ()) -> Sequence[Outcome]:
        """Return the outcome of each trial, in order; a trial that fails is an outcome, not an error.

        `floors` are the Sharpe ratios at the first checkpoints below which a trial may be stopped.
        """


def failure(reason: str) -> Outcome:
    """Return the outcome of a trial that failed."""
    return Outcome(status=FAILED, reason=reason)


def packed(returns: NDArray[np.float64]) -> str:
    """Return daily returns [D] as a row holds them: float32, in base64."""
    return base64.b64encode(returns.astype("<f4").tobytes()).decode("ascii")


def returns_of(row: Row) -> NDArray[np.float32] | None:
    """Return the daily returns [D] of a row, None if it has none."""
    text = row.get("returns")
    return None if text is None else np.frombuffer(base64.b64decode(text), dtype="<f4")


def check_row(row: Mapping[str, Any]) -> str:
    """Return what is wrong with a row that was read from a journal, "" if it is one that a study has written."""
    for name, expected, holds in _ROW:
        if not holds(row.get(name)):
            return f"{name}: expected {expected}, found {repr(row.get(name))[:40]}"
    return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _are_figures(value: Any) -> bool:
    return isinstance(value, dict) and all(item is None or _is_number(item) for item in value.values())


def _are_returns(value: Any) -> bool:
    if value is None:
        return True
    try:
        content = base64.b64decode(value, validate=True) if isinstance(value, str) else b"?"
    except (binascii.Error, ValueError):
        return False
    return len(content) % 4 == 0


_ROW: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
    (
        "number",
        "the number of a trial",
        lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
    ),
    ("params", "a table of settings", lambda value: isinstance(value, dict)),
    ("metrics", "a table of numbers", _are_figures),
    ("status", f"{COMPLETE}, {FAILED} or {PRUNED}", lambda value: value in (COMPLETE, FAILED, PRUNED)),
    ("reason", "a text", lambda value: isinstance(value, str)),
    (
        "early",
        "a list of numbers",
        lambda value: isinstance(value, list) and all(map(_is_number, value)),
    ),
    ("returns", "daily returns", _are_returns),
)


def daily_returns(time: ArrayLike, equity: ArrayLike) -> NDArray[np.float64]:
    """Return the simple returns [D] of UTC days from the equity [N] at bar closes `time` [N] (UTC ms).

    As `strategies.analyzers.DailyReturns`: days are closed on the right, and the first return starts at the first
    equity. After ruin the returns are 0.
    """
    from strategies.analyzers.metrics import daily_equity  # here, so that a worker process starts quickly

    times, values = np.asarray(time, dtype=np.int64), np.asarray(equity, dtype=np.float64)
    start, last = daily_equity(times, values)
    before = np.concatenate((values[:1], last[:-1]))
    alive = before > 0.0
    change = np.where(alive, last / np.where(alive, before, 1.0) - 1.0, 0.0)
    # A run whose first bar closes at midnight starts there: the period that ends then has no return.
    empty = len(times) > 1 and len(start) > 1 and times[1] > start[1] >= times[0]
    return change[1:] if empty else change


def finite_or_none(value: Any) -> float | None:
    """Return a figure as a number, None if it is undefined."""
    return float(value) if value is not None and math.isfinite(value) else None
