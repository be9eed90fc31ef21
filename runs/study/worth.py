"""What the best trial of a study is worth after that many trials."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..selection import Assessment, SelectionError, assess, assess_parts, verdict
from .journal import Journal
from .matrix import MOST_AT_ONCE, compared, lot, parts_of
from .outcome import PRUNED, returns_of

__all__ = ["Worth", "judge"]

_DAYS = 365.0  # UTC days with a bar in a year of a market that never closes
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


def judge(journal: Journal, benchmark: NDArray[np.float64], days_per_year: float = _DAYS) -> Worth:
    """Return what the best of the journal's trials is worth, next to buy-and-hold's daily returns [D].

    `days_per_year` is the number of UTC days with a bar in a year, which a trading calendar lowers.

    All trials are compared, however many. The probability of overfitting of more than 4,000 is that of 4,000 drawn by
    lot.
    """
    days, pruned, numbers = 0, 0, []
    for row in journal.rows():
        pruned += row["status"] == PRUNED
        if compared(row):
            numbers.append(row["number"])
        returns = returns_of(row)
        days = max(days, 0 if returns is None else len(returns))
    counts = {"n_trials": len(journal), "n_pruned": pruned}
    if not days:
        return Worth(counts, f"None of the {len(journal):,} trials can be judged: none ran to the end.")
    try:
        market = benchmark if len(benchmark) == days else None
        found = _assessed(journal, numbers, days, market, days_per_year)
    except SelectionError as error:
        return Worth(counts, f"The best of {len(journal):,} trials cannot be judged: {error}.")
    figures = {**found.to_dict(), **counts, "best_trial": numbers[found.best]}
    figures.pop("best")
    note = f" ({pruned:,} further trials were stopped early and are not compared)" if pruned else ""
    return Worth(figures, verdict(found) + note)


def _assessed(
    journal: Journal,
    numbers: list[int],
    days: int,
    market: NDArray[np.float64] | None,
    days_per_year: float,
) -> Assessment:
    if len(numbers) <= MOST_AT_ONCE:
        ((matrix, _),) = parts_of(journal, days)
        return assess(matrix, days_per_year, benchmark=market)
    drawn = sorted(sorted(numbers, key=lot)[:MOST_AT_ONCE])
    sample = np.full((days, len(drawn)), np.nan)
    for place, number in enumerate(drawn):
        returns = returns_of(journal.row(number))
        if returns is not None:
            sample[:, place] = returns
    parts = chain(matrix for matrix, _ in parts_of(journal, days))
    return assess_parts(parts, sample, days_per_year, benchmark=market)
