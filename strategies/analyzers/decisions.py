"""Analyzers of the strategy's decisions; they read the recorder `strategy.decisions`."""

from __future__ import annotations

from collections import Counter

import backtrader as bt
import numpy as np

from ..recorder import DecisionRecorder

__all__ = ["Decisions", "InDistribution"]


class Decisions(bt.Analyzer):
    """Return the columns of `strategy.decisions`; empty if the strategy has no recorder."""

    def stop(self) -> None:
        """Copy the columns from the strategy."""
        recorder: DecisionRecorder | None = getattr(self.strategy, "decisions", None)
        self.rets = {} if recorder is None else dict(recorder.columns())


class InDistribution(bt.Analyzer):
    """Return the share of decided bars whose state was in the model's distribution.

    The keys are `in_distribution_ratio`: that share over all decided bars (all reasons except warmup); `by_symbol`: the
    share of each symbol; `reasons`: the number of bars for each reason, including warmup; `avg_confidence`: the mean
    over decided bars with a finite confidence. A figure is None if no bar was decided, as without a recorder.
    """

    def stop(self) -> None:
        """Compute the figures from the strategy's recorder."""
        recorder: DecisionRecorder | None = getattr(self.strategy, "decisions", None)
        columns = recorder.columns() if recorder is not None else {}
        # Object arrays: counting Python strings is faster than sorting numpy text arrays.
        reason = np.asarray(columns.get("reason", []), dtype=object)
        symbol = np.asarray(columns.get("symbol", []), dtype=object)
        inside = np.asarray(columns.get("in_distribution", []), dtype=bool)
        confidence = np.asarray(columns.get("confidence", []), dtype=np.float64)
        decided = reason != "warmup"
        known = confidence[decided & np.isfinite(confidence)] if len(confidence) else confidence
        self.rets = {
            "in_distribution_ratio": _share(inside[decided]),
            "by_symbol": {s: _share(inside[decided & (symbol == s)]) for s in sorted(set(symbol))},
            "reasons": dict(sorted(Counter(reason).items())),
            "avg_confidence": float(known.mean()) if len(known) else None,
        }


def _share(flags: np.ndarray) -> float | None:
    return float(flags.mean()) if len(flags) else None
