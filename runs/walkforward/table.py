"""The tables of a walk-forward: a row per fold, and a row per trial of each fold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from strategies.analyzers.metrics import sharpe_ratio

from ..folder.contents import milliseconds
from ..statistics import drawdown, growth
from ..study import daily_returns
from ..study.table import setting_kinds, table_of
from .choice import Choice
from .dates import FoldDates
from .request import WalkSettings

__all__ = ["fold_table", "trial_table"]


def fold_table(
    folds: Sequence[FoldDates],
    choices: Sequence[Choice],
    seconds: Sequence[float],
    equity: pd.DataFrame,
    orders: pd.DataFrame,
    objective: str,
    days_per_year: float = 365.0,
) -> pd.DataFrame:
    """Return a row per fold: its dates, model and settings, the objective in validation, the figures of its test part.

    `equity` and `orders` are those of the one account over all folds; a fold's return is that of its own bars.
    `days_per_year` is the number of UTC days with a bar in a year.
    """
    closes, decided = milliseconds(equity["time"]), milliseconds(orders["decided"])
    rows = []
    for fold, choice, spent in zip(folds, choices, seconds, strict=True):
        since, until = fold.test
        # A bar that opens in the test part closes after its begin and at its end at the latest.
        inside = (closes > since) & (closes <= until)
        first = int(np.argmax(inside))
        part = equity.iloc[max(first - 1, 0) : first + int(inside.sum())].reset_index(drop=True)
        best = choice.best
        rows.append(
            {
                "fold": fold.number,
                **_dates(fold),
                "model": choice.model.fingerprint,
                "model_path": str(choice.path),
                "training_seconds": spent,
                "settings": json.dumps(choice.settings, default=list),
                "trials": len(choice.rows),
                f"validation_{objective}": None if best is None else best["metrics"].get(objective),
                **_figures(part, days_per_year),
                "n_orders": int(((decided >= since) & (decided < until)).sum()),
            }
        )
    return pd.DataFrame(rows)


def _dates(fold: FoldDates) -> dict[str, Any]:
    spans = {"train": fold.train, "validation": fold.validation, "test": fold.test}
    return {
        f"{name}_{end}": pd.NaT if span is None else pd.Timestamp(span[place], unit="ms", tz="UTC")
        for name, span in spans.items()
        for place, end in enumerate(("since", "until"))
    }


def _figures(part: pd.DataFrame, days_per_year: float) -> dict[str, float | None]:
    """Return the figures of one test part, from the equity at its begin to its end."""
    index = growth(part)
    returns = daily_returns(milliseconds(part["time"]), index)
    return {
        "total_return": float(index[-1] / index[0] - 1.0) if index[0] > 0 else None,
        "sharpe_ratio": sharpe_ratio(returns, days_per_year) if len(returns) > 2 else None,
        "max_drawdown": float(np.min(drawdown(index))),
    }


def trial_table(choices: Sequence[Choice], settings: WalkSettings) -> pd.DataFrame:
    """Return the trials of all folds, as of one search, with the number of the fold first.

    Without a search each fold is one trial without settings.
    """
    kinds: Mapping[str, str] = {} if settings.space is None else setting_kinds(settings.space)
    tables = []
    for number, choice in enumerate(choices):
        own = table_of(choice.rows, kinds)
        own.insert(0, "fold", number)
        own.insert(2, "chosen", own["number"] == choice.number)
        tables.append(own)
    return pd.concat(tables, ignore_index=True)
