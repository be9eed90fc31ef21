"""Real Cerebro runs of the best trials: what the search said about them must be true."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scorenet import ScoreModel, ScorenetError

from ..engine import Result
from ..settings import Account
from ..study import Study
from .plan import Prepared

__all__ = ["ReplayMismatch", "confirm"]

Run = tuple[Result, Account, ScoreModel | None]


class ReplayMismatch(ScorenetError, AssertionError):
    """Report a trial for which the compiled replay and Cerebro differ."""


def confirm(study: Study, prepared: Prepared) -> Run:
    """Run the best trial in Cerebro and return its tables; trials of a replay are confirmed up to `Request.confirm`.

    Raises:
        ReplayMismatch: orders differ, or equity by more than 1e-9 of itself.
    """
    check: Callable[[Any, Result], str] | None = getattr(prepared.evaluator, "difference", None)
    first: Run | None = None
    for row in study.top[: prepared.request.confirm if check else 1]:
        found = prepared.setup.run(study.settings(row))
        if check is not None and (text := check(study.settings(row), found[0])):
            raise ReplayMismatch(
                f"the compiled replay and Cerebro differ for trial {row['number']} ({row['params']}): {text}; "
                "report this, and search with --evaluator cerebro"
            )
        first = first or found
    assert first is not None  # noqa: S101 - there is a best trial
    return first
