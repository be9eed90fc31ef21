"""Analyzers of what the strategy decided; they read the recorder at `strategy.decisions`."""

from __future__ import annotations

from collections import Counter

import backtrader as bt
import numpy as np

from ..recorder import DecisionRecorder

__all__ = ["Decisions", "InDistribution"]


class Decisions(bt.Analyzer):
    """Return the columns of `strategy.decisions`; empty for a strategy that records none."""

    def stop(self) -> None:
        """Copy the columns out of the strategy."""
        recorder: DecisionRecorder | None = getattr(self.strategy, "decisions", None)
        self.rets = {} if recorder is None else dict(recorder.columns())


class InDistribution(bt.Analyzer):
    """Return how much of what the strategy decided lay in the model's distribution.

    `in_distribution_ratio` is the share of decided bars (reason other than warmup) whose state was in
    distribution, `by_symbol` the same for each symbol, `reasons` the number of bars for each reason
    (warm-up included) and `avg_confidence` the mean confidence over decided bars that have one. None where
    nothing was decided, as for a strategy without a recorder.
    """

    def stop(self) -> None:
        """Work the figures out of the strategy's recorder."""
        recorder: DecisionRecorder | None = getattr(self.strategy, "decisions", None)
        columns = recorder.columns() if recorder is not None else {}
        # Objects: to sort a text for each bar would take longer than to count them.
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
