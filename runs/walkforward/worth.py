"""What a walk-forward is worth: the out-of-sample equity, and how well choosing on the validation parts works."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..folder.contents import milliseconds
from ..selection import SelectionError, assess
from ..statistics import growth
from ..study import daily_returns
from ..study.matrix import MOST_AT_ONCE, lot
from ..study.outcome import Row, returns_of
from .choice import Choice

__all__ = ["worth_of"]

_LEVEL = 0.05


def worth_of(choices: Sequence[Choice], equity: pd.DataFrame, days_per_year: float = 365.0) -> dict[str, Any]:
    """Return the keys of metrics.json that say what the result is worth, and the verdict in one sentence.

    `days_per_year` is the number of UTC days with a bar in a year.

    No bar of the out-of-sample equity has chosen anything, so its `deflated_sharpe` is that of one trial. `pbo` is of
    the choice: the same trials on all validation parts one after the other; None where folds tried different ones.
    """
    n_trials = sum(max(len(choice.rows), 1) for choice in choices)
    found: dict[str, Any] = {
        "n_trials": n_trials,
        "n_folds": len(choices),
        "pbo": _pbo(choices, days_per_year),
    }
    index = growth(equity)
    returns = daily_returns(milliseconds(equity["time"]), index)
    try:
        alone = assess(returns[:, None], days_per_year)
    except SelectionError as error:
        return {
            **found,
            "deflated_sharpe": None,
            "verdict": f"The out-of-sample equity cannot be judged: {error}.",
        }
    probability = alone.probabilistic_sharpe
    p_value = None if alone.against_cash is None else alone.against_cash.p_value
    figures = {name: value for name, value in alone.to_dict().items() if name in _KEPT}
    return {
        **found,
        "deflated_sharpe": alone.deflated_sharpe,
        "out_of_sample": figures,
        "verdict": _sentence(len(choices), n_trials, alone.sharpe_ratio, probability, p_value, found["pbo"]),
    }


_KEPT = (
    "periods", "sharpe_ratio", "probabilistic_sharpe", "deflated_sharpe", "minimum_track_record", "spa_p_value_cash",
    "intervals",
)  # fmt: skip


def _pbo(choices: Sequence[Choice], days_per_year: float) -> float | None:
    tried = [[row["params"] for row in choice.rows] for choice in choices]
    if len(tried[0]) < 2 or any(own != tried[0] for own in tried):
        return None
    compared = sorted(sorted(range(len(tried[0])), key=lot)[:MOST_AT_ONCE])
    parts = [_returns(choice.rows, compared) for choice in choices]
    try:
        found = assess(np.concatenate(parts), days_per_year)
    except SelectionError:
        return None  # every trial failed somewhere, or none ever traded: there was no choice
    return None if found.overfitting is None else found.overfitting.pbo


def _returns(rows: Sequence[Row], compared: Sequence[int]) -> NDArray[np.float64]:
    """Return the daily returns [D, N] of these trials on one validation part; of a failed one NaN."""
    found = [returns_of(rows[number]) for number in compared]
    days = max((len(own) for own in found if own is not None), default=0)
    matrix = np.full((days, len(found)), np.nan)
    for place, own in enumerate(found):
        if own is not None and len(own) == days:
            matrix[:, place] = own
    return matrix


def _sentence(
    folds: int,
    n_trials: int,
    sharpe: float,
    probability: float | None,
    p_value: float | None,
    pbo: float | None,
) -> str:
    chosen = f", settings chosen from {n_trials:,} trials on earlier bars," if n_trials > folds else ""
    who = f"The out-of-sample equity of {folds} fold{'s' if folds != 1 else ''}{chosen}"
    if p_value is None:
        return f"{who} cannot be told from luck: it never differs from cash."
    told = "is" if p_value <= _LEVEL else "is not"
    quoted = [f"annual Sharpe ratio {sharpe:.2f}", f"p = {p_value:.3f}"]
    if probability is not None:
        quoted.append(f"probabilistic Sharpe {probability:.2f}")
    if pbo is not None:
        quoted.append(f"probability that the choice overfits {pbo:.2f}")
    return f"{who} {told} distinguishable from luck at {_LEVEL:.0%} ({', '.join(quoted)})."
