"""The interface of executors: chunks of trials go in, their outcomes come out in any order."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from scorenet import ConfigError, ScorenetError

from ..study.outcome import Evaluator, Outcome, Settings

__all__ = [
    "EXECUTORS",
    "Chunk",
    "Executor",
    "ExecutorError",
    "available_cores",
    "check_workers",
    "take_whole",
]

EXECUTORS = ("serial", "process", "ray")


class ExecutorError(ScorenetError, RuntimeError):
    """Report workers that cannot be started or reached."""


@dataclass(frozen=True)
class Chunk:
    """Trials that one worker evaluates in one call.

    Attributes:
        number: by which the outcomes are told apart.
        batch: the settings of each trial.
        floors: as `Evaluator.evaluate` takes them.
    """

    number: int
    batch: tuple[Settings, ...]
    floors: tuple[float, ...] = ()


class Executor(Protocol):
    """Workers with one evaluator each.

    Attributes:
        slots: number of chunks that can run at once.
    """

    slots: int

    def start(self, evaluator: Evaluator) -> None:
        """Send the evaluator to every worker, once.

        Raises:
            ExecutorError: no worker can be started.
        """

    def submit(self, chunk: Chunk) -> None:
        """Queue a chunk."""

    def finished(self) -> tuple[int, Sequence[Outcome]]:
        """Wait for a chunk and return its number and outcomes; a trial that its workers did not survive has failed.

        Raises:
            ExecutorError: no worker is left and none can be started.
        """

    def close(self) -> None:
        """End all workers at once, whatever they do; no process is left."""


def take_whole(open_chunks: dict[int, list[Outcome | None]]) -> tuple[int, list[Outcome]] | None:
    """Remove and return the first chunk whose trials have all ended, by number; None: all of them still wait."""
    for number, outcomes in open_chunks.items():
        found = [outcome for outcome in outcomes if outcome is not None]
        if len(found) == len(outcomes):
            del open_chunks[number]
            return number, found
    return None


def check_workers(workers: int | None) -> int:
    """Return the number of workers; by default one for each core that this process may use.

    Raises:
        ConfigError: it is below 1.
    """
    if workers is None:
        return available_cores()
    if workers < 1:
        raise ConfigError(f"workers: expected at least 1, found {workers}")
    return workers


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1
