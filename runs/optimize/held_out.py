"""The held-out part of the span: the best trial is judged on it once, others only for the picture."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..executors import Chunk, Executor
from ..study import Evaluator, Objectives, Outcome, Settings, Study
from ..study.journal import Row
from ..study.outcome import COMPLETE, METRICS
from .plan import Prepared

__all__ = ["chosen_rows", "evaluate_all", "held_out_table", "judge_held_out"]

_BEST = 20
_MOST_RUN, _MOST_REPLAYED = 40, 400


def chosen_rows(study: Study, most: int) -> list[Row]:
    """Return the rows of the best 20 complete trials and, up to `most` in all, of others spread over the ranks."""
    objectives: Objectives = study.plan.objectives
    merits, numbers = array("d"), array("q")
    for row in study.journal.rows():
        if row["status"] == COMPLETE:
            merits.append(objectives.merit(row["metrics"]))
            numbers.append(row["number"])
    ranked = np.array(numbers)[np.argsort(-np.array(merits), kind="stable")]
    best, rest = ranked[:_BEST], ranked[_BEST:]
    room = min(len(rest), max(0, most - len(best)))
    spread = np.unique(np.linspace(0, max(0, len(rest) - 1), room).round().astype(int))
    return [study.journal.row(int(number)) for number in np.concatenate([best, rest[spread]])]


def evaluate_all(executor: Executor, evaluator: Evaluator, batch: Sequence[Settings]) -> list[Outcome]:
    """Return the outcomes of these settings, in order, from the executor's workers."""
    size = max(1, evaluator.batch)
    outcomes: dict[int, Sequence[Outcome]] = {}
    try:
        executor.start(evaluator)
        starts = range(0, len(batch), size)
        for first in starts:
            executor.submit(Chunk(first, tuple(batch[first : first + size])))
        for _ in starts:
            number, found = executor.finished()
            outcomes[number] = found
    finally:
        executor.close()
    return [outcome for number in sorted(outcomes) for outcome in outcomes[number]]


def held_out_table(rows: Sequence[Row], outcomes: Sequence[Outcome], objectives: Objectives) -> pd.DataFrame:
    """Return a row per judged trial: its number, and the objectives in the search and in the held-out part."""
    table: dict[str, Any] = {"number": [row["number"] for row in rows]}
    for name in dict.fromkeys((*objectives.names, "sharpe_ratio", "total_return")):
        table[name] = pd.array([row["metrics"].get(name) for row in rows], dtype="float64")
        table[f"held_out_{name}"] = pd.array([o.metrics.get(name) for o in outcomes], dtype="float64")
    return pd.DataFrame(table)


def judge_held_out(study: Study, prepared: Prepared) -> tuple[dict[str, Any] | None, pd.DataFrame]:
    """Return the best trial's metrics on the held-out part, next to buy-and-hold, and the table of all judged trials.

    The best was chosen before; what comes out here changes nothing.
    """
    objectives = study.plan.objectives
    later = prepared.later
    if later is None or study.best is None:
        return None, held_out_table([], [], objectives)
    result, account, _ = later.run(study.settings(study.best))
    metrics, _ = later.measured(result, account)
    evaluator = prepared.on(later)
    rows = chosen_rows(study, _MOST_REPLAYED if evaluator.batch > 1 else _MOST_RUN)
    outcomes = evaluate_all(prepared.executor(), evaluator, [study.settings(row) for row in rows])
    names = (*METRICS, "bars", "start", "end", "benchmark")
    return {name: metrics[name] for name in names}, held_out_table(rows, outcomes, objectives)
