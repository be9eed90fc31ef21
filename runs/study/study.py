"""A study: propose trials, run them anywhere, keep every row, and say which is the best."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pandas as pd

from scorenet import ConfigError

from ..executors import Chunk, Executor, SerialExecutor
from ..folder.jsonfile import plain
from ..search import GridSampler, Proposal, RandomSampler, Sampler, SearchSpace, ask_many
from .early_stop import MedianRule
from .journal import FILE, Journal, Row
from .objectives import Objectives
from .outcome import COMPLETE, FAILED, Evaluator
from .table import setting_kinds, table_of

__all__ = ["Plan", "Study"]

_MOST_TOP = 50  # rows of the best trials that stay in memory
_OPEN_CHUNKS = 4  # per worker, where the proposals do not depend on results


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a study searches.

    Attributes:
        objectives: what is maximised or minimised.
        ahead: trials that are proposed before the result of the first of them is told to a sampler that learns. Rows
            depend on it, and on nothing else about the workers.
        prune: stop a slow trial early if it is below the median of the earlier ones; None: run all to the end.
        identity: what the study is about (bars, model, settings), compared at a resume.
    """

    objectives: Objectives = field(default_factory=Objectives)
    ahead: int = 8
    prune: MedianRule | None = None
    identity: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.ahead < 1:
            raise ConfigError(f"ahead: expected at least 1 trial, found {self.ahead}")


@dataclass(eq=False)
class _Open:
    """A chunk that was proposed and not yet told: its trials' first number and the rows that are there."""

    first: int
    proposals: list[Proposal]
    rows: dict[int, Row]


class Study:
    """Ask a sampler, evaluate on an executor, write each row to the journal as it comes, tell the sampler in order.

    The rows depend on the space, the sampler's seed, the evaluator and `Plan.ahead`, not on the executor: results are
    told in the order of the proposals, whatever the order in which they come.

    Args:
        space: settings and their values.
        evaluator: runs the trials, see `CerebroEvaluator` and `ReplayEvaluator`.
        sampler: proposes them; every combination by default. `OptunaSampler(space, study=...)` takes the user's own.
        executor: where they run; in this process by default.
        plan: how to search.
        folder: where the journal is; a temporary folder by default, removed with the study.
        resume: go on with the journal in `folder`.

    Attributes:
        top: rows of the best complete trials, at most 50, the best first.
        n_trials: number of trials that have ended.

    Raises:
        ConfigError: the journal is of another study; the message names the difference.
        RunDirError: the journal exists already, is damaged, or cannot be written.
    """

    def __init__(
        self,
        space: SearchSpace,
        evaluator: Evaluator,
        sampler: Sampler | None = None,
        executor: Executor | None = None,
        *,
        plan: Plan | None = None,
        folder: str | Path | None = None,
        resume: bool = False,
    ) -> None:
        self.space, self.evaluator = space, evaluator
        self.sampler = sampler or GridSampler(space)
        self.executor = executor or SerialExecutor()
        self.plan = plan or Plan()
        if folder is None:
            folder = tempfile.mkdtemp(prefix="study-")
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.journal = _journal(Path(folder) / FILE, self.plan.identity, resume)
        self.n_trials = 0
        self.top: list[Row] = []

    def run(
        self, n_trials: int | None = None, *, told: Callable[[Study, Row], None] = lambda study, row: None
    ) -> Self:
        """Run `n_trials` trials in all, or every combination; `told` is called after each, in order.

        After Ctrl-C the rows that have come are in the journal, and no worker is left.

        Raises:
            ConfigError: there is no limit to the trials, or no combination fulfils the constraints.
            ExecutorError, RunDirError: no worker can be started; the disk is full.
        """
        limit = self._limit(n_trials)
        if len(self.journal) > limit:
            raise ConfigError(
                f"trials: expected at least the {len(self.journal):,} of the study in {self.journal.path.parent}, "
                f"found {limit:,}"
            )
        with ExitStack() as stack:
            stack.callback(self.journal.close)
            self.journal.hold()
            stack.callback(self.executor.close)
            self.executor.start(self.evaluator)
            for row in self._rows(limit):
                self._note(row)
                told(self, row)
        return self

    @property
    def best(self) -> Row | None:
        """Return the row of the best complete trial by the first objective; the first of equals, None without any."""
        return self.top[0] if self.top else None

    def settings(self, row: Row) -> dict[str, Any]:
        """Return the settings of a row with the values of the search space: the journal has lists for tuples."""
        return {
            name: tuple(value) if isinstance(value, list) else value for name, value in row["params"].items()
        }

    @property
    def trials(self) -> pd.DataFrame:
        """Return a row per trial: number, settings, metrics, status, reason."""
        return table_of(self.journal.rows(), setting_kinds(self.space))

    def _limit(self, n_trials: int | None) -> int:
        if n_trials is not None and n_trials < 1:
            raise ConfigError(f"trials: expected at least 1, found {n_trials}")
        most = self.sampler.at_most
        if n_trials is None and most is None:
            raise ConfigError(
                "expected a number of trials: ranges of numbers have no last combination; set --trials N"
            )
        return most if n_trials is None else n_trials if most is None else min(n_trials, most)  # type: ignore[return-value]

    def _rows(self, limit: int) -> Iterator[Row]:
        """Yield the rows in order of their numbers, each told to the sampler before the next proposal that needs it."""
        learns = self.plan.prune is not None or not isinstance(self.sampler, GridSampler | RandomSampler)
        size = max(1, min(self.evaluator.batch, self.plan.ahead) if learns else self.evaluator.batch)
        most = max(1, self.plan.ahead // size) if learns else _OPEN_CHUNKS * self.executor.slots
        queue: deque[_Open] = deque()
        by_number: dict[int, _Open] = {}
        asked, exhausted = 0, False
        while True:
            while not exhausted and asked < limit and len(queue) < most:
                proposals = ask_many(self.sampler, min(size, limit - asked))
                exhausted = len(proposals) < min(size, limit - asked)
                if not proposals:
                    break
                item = self._open(asked, proposals)
                queue.append(item)
                by_number[asked] = item
                asked += len(proposals)
            if not queue:
                return
            while len(queue[0].rows) < len(queue[0].proposals):
                self._receive(by_number)
            done = queue.popleft()
            del by_number[done.first]
            for place, proposal in enumerate(done.proposals):
                row = done.rows[place]
                self._tell(proposal, row)
                yield row

    def _open(self, first: int, proposals: list[Proposal]) -> _Open:
        """Take the rows that the journal has, and submit the other trials."""
        rows: dict[int, Row] = {}
        for place, proposal in enumerate(proposals):
            if first + place in self.journal:
                row = self.journal.row(first + place)
                if row["params"] != plain(proposal.params):
                    raise ConfigError(
                        f"resume: trial {first + place} was {row['params']}, is now {plain(proposal.params)}; the "
                        "sampler, its seed or its version is another: start the study in another --out"
                    )
                rows[place] = row
        missing = tuple(p.params for place, p in enumerate(proposals) if place not in rows)
        if missing:
            floors = () if self.plan.prune is None else self.plan.prune.floors()
            self.executor.submit(Chunk(first, missing, floors))
        return _Open(first, proposals, rows)

    def _receive(self, by_number: dict[int, _Open]) -> None:
        """Wait for one chunk and write its rows."""
        number, outcomes = self.executor.finished()
        item = by_number[number]
        places = [place for place in range(len(item.proposals)) if place not in item.rows]
        for place, outcome in zip(places, outcomes, strict=True):
            item.rows[place] = self.journal.add(number + place, item.proposals[place].params, outcome)

    def _tell(self, proposal: Proposal, row: Row) -> None:
        values = None if row["status"] == FAILED else self.plan.objectives.values(row["metrics"])
        self.sampler.tell(proposal.number, values)
        if self.plan.prune is not None:
            self.plan.prune.add(row["early"])

    def _note(self, row: Row) -> None:
        self.n_trials += 1
        merit = self.plan.objectives.merit(row["metrics"]) if row["status"] == COMPLETE else float("-inf")
        full = len(self.top) == _MOST_TOP
        if merit > (self.plan.objectives.merit(self.top[-1]["metrics"]) if full else float("-inf")):
            # Of equals the first comes first.
            insort(
                self.top, row, key=lambda one: (-self.plan.objectives.merit(one["metrics"]), one["number"])
            )
            del self.top[_MOST_TOP:]


def _journal(path: Path, identity: dict[str, Any], resume: bool) -> Journal:
    header = {"study": plain(identity)}
    if not resume:
        return Journal.create(path, header)
    journal = Journal.reopen(path)
    if not journal.header:
        journal.header = header
    found = journal.header["study"]
    for name in dict.fromkeys((*found, *header["study"])):
        was, now = found.get(name), header["study"].get(name)
        if was != now:
            raise ConfigError(
                f"resume: the study in {path.parent} has {name} = {was!r}, this command has {now!r}; repeat its own "
                "options, or choose another --out"
            )
    return journal
