"""Trials in this process, one chunk after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from ..study.outcome import Evaluator, Outcome
from .pool import Chunk

__all__ = ["SerialExecutor"]


class SerialExecutor:
    """Evaluate each chunk when its outcomes are asked for."""

    slots = 1

    def __init__(self) -> None:
        self._queue: deque[Chunk] = deque()
        self._evaluator: Evaluator | None = None

    def start(self, evaluator: Evaluator) -> None:
        """Keep the evaluator."""
        self._evaluator = evaluator

    def submit(self, chunk: Chunk) -> None:
        """Queue a chunk."""
        self._queue.append(chunk)

    def finished(self) -> tuple[int, Sequence[Outcome]]:
        """Evaluate the next chunk."""
        assert self._evaluator is not None  # noqa: S101 - `start` comes first
        chunk = self._queue.popleft()
        return chunk.number, self._evaluator.evaluate(chunk.batch, chunk.floors)

    def close(self) -> None:
        """Forget what is queued."""
        self._queue.clear()
