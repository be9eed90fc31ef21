"""What the best trial of a study is worth after that many trials."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..selection import SelectionError, SharpeEstimate, Trials, assess, deflated_sharpe, verdict
from .journal import Journal
from .keeper import MOST_COMPARED, lot_half, matrix_of

__all__ = ["Worth", "judge"]

_DAYS = 365.0
_TOP_LEVEL = (
    "n_trials",
    "effective_trials",
    "deflated_sharpe",
    "pbo",
    "spa_p_value_cash",
    "spa_p_value_benchmark",
)


@dataclass(frozen=True)
class Worth:
    """The figures of a search for metrics.json, and its verdict in one sentence."""

    figures: dict[str, Any]
    sentence: str

    def to_metrics(self) -> dict[str, Any]:
        """Return the keys of metrics.json: the main figures, and all of them under `selection`."""
        top = {name: self.figures.get(name) for name in _TOP_LEVEL}
        return {**top, "verdict": self.sentence, "selection": self.figures}


def judge(journal: Journal, n_trials: int, benchmark: NDArray[np.float64]) -> Worth:
    """Return what the best of the journal's trials is worth, next to buy-and-hold's daily returns [D].

    Of more than 4,000 trials, the statistics compare the best half and a half drawn by lot. The deflated Sharpe ratio
    counts all of them; the SPA p-value is then a lower limit, and the sentence says how many were compared.
    """
    counts = {"n_trials": n_trials, "n_pruned": 0, "n_compared": 0}
    counts["n_pruned"] = sum(row["status"] == "pruned" for row in journal.rows())
    matrix, numbers = matrix_of(journal.rows())
    counts["n_compared"] = len(numbers)
    if n_trials == counts["n_pruned"] or not matrix.size:
        return Worth(counts, f"None of the {n_trials:,} trials can be judged: none ran to the end.")
    try:
        market = benchmark if len(benchmark) == len(matrix) else None
        found = assess(matrix, _DAYS, benchmark=market)
    except SelectionError as error:
        return Worth(counts, f"The best of {n_trials:,} trials cannot be judged: {error}.")
    if n_trials > MOST_COMPARED:
        found = replace(found, n_trials=n_trials, deflated_sharpe=_deflated(matrix, numbers, n_trials))
    figures = {**found.to_dict(), **counts, "best_trial": numbers[found.best]}
    figures.pop("best")
    return Worth(figures, verdict(found) + _notes(counts))


def _deflated(matrix: NDArray[np.float64], numbers: list[int], n_trials: int) -> float | None:
    """Return the deflated Sharpe ratio with all trials, and the variance of those drawn by lot."""
    compared = Trials.of(matrix)
    drawn = compared.sharpes[np.isin(compared.columns, lot_half(numbers))]
    if len(drawn) < 2:
        return None
    best = SharpeEstimate.of(np.ascontiguousarray(compared.returns[:, compared.best]))
    return deflated_sharpe(best, float(drawn.var(ddof=1)), n_trials)


def _notes(counts: dict[str, int]) -> str:
    notes = []
    if counts["n_pruned"]:
        notes.append(f"{counts['n_pruned']:,} trials were stopped early and are not compared")
    if counts["n_trials"] > MOST_COMPARED:
        notes.append(f"{counts['n_compared']:,} of the trials were compared")
    return f" ({'; '.join(notes)})" if notes else ""
