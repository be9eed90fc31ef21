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
    """Return the share of bars whose state was in the model's distribution, among the bars with a known state.

    Counted are decided bars (all reasons except warmup). A bar without a state, e.g. after a missing bar, is neither in
    nor out of distribution. The keys are `in_distribution_ratio`: the share over all symbols; `by_symbol`: the share of
    each symbol; `bars_without_state`: the number of decided bars without a state; `reasons`: the number of bars for
    each reason, including warmup; `avg_confidence`: the mean over decided bars with a finite confidence. A share or
    mean is None if it has no bar, as without a recorder.
    """

    def stop(self) -> None:
        """Compute the figures from the strategy's recorder."""
        recorder: DecisionRecorder | None = getattr(self.strategy, "decisions", None)
        columns = recorder.columns() if recorder is not None else {}
        # Object arrays: counting Python strings is faster than sorting numpy text arrays.
        reason = np.asarray(columns.get("reason", []), dtype=object)
        symbol = np.asarray(columns.get("symbol", []), dtype=object)
        inside = np.asarray(columns.get("in_distribution", []), dtype=object)
        confidence = np.asarray(columns.get("confidence", []), dtype=np.float64)
        decided = np.array([word != "warmup" for word in reason], dtype=bool)
        known = decided & np.array([flag is not None for flag in inside], dtype=bool)
        sure = confidence[decided & np.isfinite(confidence)]
        self.rets = {
            "in_distribution_ratio": _share(inside[known]),
            "by_symbol": _shares(symbol[known], inside[known], sorted(set(symbol))),
            "bars_without_state": int(decided.sum() - known.sum()),
            "reasons": dict(sorted(Counter(reason).items())),
            "avg_confidence": float(sure.mean()) if len(sure) else None,
        }


def _shares(symbol: np.ndarray, inside: np.ndarray, symbols: list[str]) -> dict[str, float | None]:
    bars, familiar = Counter(symbol), Counter(symbol[inside.astype(bool)])
    return {name: familiar[name] / bars[name] if bars[name] else None for name in symbols}


def _share(flags: np.ndarray) -> float | None:
    return float(flags.astype(bool).mean()) if len(flags) else None
