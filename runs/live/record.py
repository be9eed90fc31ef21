"""Record every bar of a live run in the journal; after a restart, check that a replay gives the same decisions."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pandas as pd

from feeds import as_bars
from feeds.bars.timeframes import to_ms
from feeds.live.replay import Row, Step
from strategies import Conditions

from ..folder.jsonfile import plain
from ..folder.rundir import RunDirError
from .journal import Journal

__all__ = ["JournalMismatch", "Recorder", "journaled_bars", "recorded_steps"]

_TOLERANCE = 1e-9


class JournalMismatch(RunDirError):
    """Report a replayed bar whose decisions differ from the journal."""


class Recorder:
    """Implement the strategy's `Watch`: add each new bar to the journal, and compare each replayed bar with it.

    `live_step` returns the step and the conditions of a new bar. `on_bar` receives each new record after it is on
    disk, `on_status` each state of a feed, `on_report` each report of a feed.

    Attributes:
        last: the latest record, replayed or new.
        replayed: number of replayed records.
        added: number of new records.
    """

    def __init__(
        self,
        journal: Journal,
        live_step: Callable[[], tuple[Step, Conditions]],
        on_bar: Callable[[dict[str, Any]], None],
        on_status: Callable[[str, str, str], None],
        on_report: Callable[[str, str, Mapping[str, Any]], None],
    ) -> None:
        self.last: dict[str, Any] | None = None
        self.replayed = self.added = 0
        self._journal, self._live_step = journal, live_step
        self._on_bar, self._on_status, self._on_report = on_bar, on_status, on_report
        self._expected: deque[dict[str, Any]] = deque()
        self._now: tuple[Step, Conditions] = (Step(False, {}), Conditions())

    def steps(self) -> Iterator[Step]:
        """Yield the recorded steps, which the strategy must repeat in this order."""
        for record in self._journal.records("bar"):
            self._expected.append(record)
            yield recorded_step(record)

    def conditions(self) -> Conditions:
        """Return the conditions of the next bar: the recorded ones in a replay, the current ones otherwise."""
        if self._expected:
            record = self._expected[0]
            seen = Conditions(record["late"], record["halted"], record["flatten"], _doubtful(record))
            self._now = (recorded_step(record), seen)
        else:
            self._now = self._live_step()
        return self._now[1]

    def bar(self, content: dict[str, Any]) -> None:
        """Compare a replayed bar with its record, or append a new bar.

        Raises:
            JournalMismatch: the replayed bar gives another decision than the journal.
        """
        step, seen = self._now
        record = plain(
            {
                **content,
                "late": seen.late,
                "halted": seen.halted,
                "flatten": seen.flatten,
                "doubtful": seen.doubtful,
                "bars": {symbol: list(row) for symbol, row in step.rows.items()},
            }
        )
        if not self._expected:
            self.last = self._journal.append("bar", **record)
            self.added += 1
            self._on_bar(self.last)
            return
        expected = {"doubtful": False, **self._expected.popleft()}
        for name, value in record.items():
            if not _same(value, expected.get(name)):
                raise JournalMismatch(
                    f"{self._journal.path}, record {expected['n']}: {name} was {expected.get(name)}, repeating "
                    f"the bar gives {value}; the code or its libraries have changed since. "
                    "Start a new run in another --out, or continue with the versions that the journal names"
                )
        self.last = expected
        self.replayed += 1

    def status(self, symbol: str, state: str, reason: str) -> None:
        """Report the new state of a symbol's feed (DELAYED, LIVE, DISCONNECTED, ...) and its cause."""
        self._on_status(symbol, state, reason)

    def report(self, symbol: str, text: str, facts: Mapping[str, Any]) -> None:
        """Report what a symbol's feed has found out: bars left out or changed, values that came late, doubts."""
        self._on_report(symbol, text, facts)


def recorded_steps(journal: Journal) -> Iterator[Step]:
    """Yield the steps of a journal."""
    return map(recorded_step, journal.records("bar"))


def recorded_step(record: Mapping[str, Any]) -> Step:
    """Return the step in a bar's record."""
    rows = {symbol: Row(*values) for symbol, values in record["bars"].items()}
    return Step(record["late"], rows, _doubtful(record))


def _doubtful(record: Mapping[str, Any]) -> bool:
    return bool(record.get("doubtful", False))  # journals of earlier versions do not have it


def journaled_bars(journal: Journal, symbol: str, timeframe: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """Return the bars of a symbol in the journal as a canonical frame with the optional `columns`."""
    rows = [step.rows[symbol] for step in recorded_steps(journal) if symbol in step.rows]
    frame = pd.DataFrame(rows, columns=list(Row._fields))
    frame.insert(0, "timestamp", frame.pop("close_time").astype("int64") - to_ms(timeframe))
    unknown = [name for name in ("funding_rate", "open_interest") if name not in columns]
    return as_bars(
        frame.drop(columns=unknown), symbol=symbol, timeframe=timeframe, gaps="keep", source=str(journal.path)
    )


def _same(value: Any, other: Any) -> bool:
    if isinstance(value, bool) or isinstance(other, bool) or value is None or other is None:
        return value is other
    if isinstance(value, int | float) and isinstance(other, int | float):
        return math.isclose(value, other, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
    if isinstance(value, dict) and isinstance(other, dict):
        return value.keys() == other.keys() and all(_same(value[key], other[key]) for key in value)
    if isinstance(value, list) and isinstance(other, list):
        return len(value) == len(other) and all(map(_same, value, other))
    return bool(value == other)
