"""Trials in processes of this machine: spawned, with one thread each, and replaced when they die."""

from __future__ import annotations

import multiprocessing
import pickle
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from ..plugins import loaded_plugins
from ..study.outcome import Evaluator, Outcome, failure
from .pool import Chunk, ExecutorError, check_workers, take_whole
from .worker import serve

__all__ = ["ProcessExecutor"]

_MOST_DEATHS = 3  # of the workers that had the same trial
_MOST_FAILED_STARTS = 3  # in a row
_END_SECONDS = 5.0


@dataclass(eq=False)
class _Worker:
    process: Any
    pipe: Connection
    ready: bool = False
    job: _Job | None = None


@dataclass
class _Job:
    """A part of a chunk: all of it, or after a death one of its trials."""

    chunk: Chunk
    first: int
    deaths: int = 0


class ProcessExecutor:
    """Worker processes with one evaluator each.

    The trials of a worker that dies go out again, each alone; a trial whose third worker dies has failed.

    Raises:
        ConfigError: `workers` is below 1.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.slots = check_workers(workers)
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._queue: deque[_Job] = deque()
        self._open: dict[int, list[Outcome | None]] = {}
        self._failed_starts = 0
        self._payload: tuple[list[str], bytes] = ([], b"")

    def start(self, evaluator: Evaluator) -> None:
        """Start the workers; the evaluator is pickled once and goes to each of them once."""
        self._payload = ([plugin["path"] for plugin in loaded_plugins()], pickle.dumps(evaluator))
        self._workers = [self._spawn() for _ in range(self.slots)]

    def submit(self, chunk: Chunk) -> None:
        """Queue a chunk."""
        self._open[chunk.number] = [None] * len(chunk.batch)
        self._queue.append(_Job(chunk, 0))
        self._hand_out()

    def finished(self) -> tuple[int, Sequence[Outcome]]:
        """Wait for a chunk and return its number and outcomes.

        Raises:
            ExecutorError: workers die or fail before they are ready, three in a row.
        """
        while True:
            if (whole := take_whole(self._open)) is not None:
                return whole
            self._listen()
            self._hand_out()

    def close(self) -> None:
        """End all workers at once and wait for their end."""
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(_END_SECONDS)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()
            worker.process.close()
        self._workers.clear()
        self._queue.clear()
        self._open.clear()

    def _spawn(self) -> _Worker:
        mine, theirs = self._context.Pipe()
        process = self._context.Process(target=serve, args=(theirs, *self._payload), daemon=True)
        process.start()
        # Without a copy of the other end here, a worker that dies closes the pipe.
        theirs.close()
        return _Worker(process, mine)

    def _hand_out(self) -> None:
        for worker in self._workers:
            if worker.ready and worker.job is None and self._queue:
                worker.job = self._queue.popleft()
                # One that has died is found by the next `_listen`: its pipe is closed.
                with suppress(BrokenPipeError, ConnectionResetError):
                    worker.pipe.send(worker.job.chunk)

    def _listen(self) -> None:
        pipes = {worker.pipe: worker for worker in self._workers}
        for pipe in wait(list(pipes)):
            worker = pipes[pipe]  # type: ignore[index]
            try:
                kind, content = worker.pipe.recv()
            except (EOFError, ConnectionResetError):
                self._replace(worker)
                continue
            if kind == "failed":
                raise ExecutorError(f"a worker process cannot work: {content}")
            if kind == "ready":
                worker.ready, self._failed_starts = True, 0
            elif worker.job is not None:
                job, worker.job = worker.job, None
                self._open[job.chunk.number][job.first : job.first + len(content)] = content

    def _replace(self, worker: _Worker) -> None:
        """Start another worker in place of a dead one, and send its trials out again."""
        worker.process.join(_END_SECONDS)
        code = worker.process.exitcode
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= _MOST_FAILED_STARTS:
                raise ExecutorError(
                    f"{_MOST_FAILED_STARTS} worker processes died before their first trial, the last {_ending(code)}; "
                    "use fewer --workers, or --executor serial to see the error"
                )
        if worker.job is not None:
            self._again(worker.job, code)
        worker.pipe.close()
        self._workers[self._workers.index(worker)] = self._spawn()

    def _again(self, job: _Job, code: int | None) -> None:
        if job.deaths + 1 >= _MOST_DEATHS:
            died = failure(f"its worker process died {job.deaths + 1} times, the last {_ending(code)}")
            self._open[job.chunk.number][job.first] = died
            return
        chunk = job.chunk
        for place, settings in enumerate(chunk.batch):
            # Alone, a trial that kills its worker does not take the others with it.
            alone = Chunk(chunk.number, (settings,), chunk.floors)
            self._queue.append(_Job(alone, job.first + place, job.deaths + 1))


def _ending(code: int | None) -> str:
    if code == -9:
        return "by signal 9, as when memory runs out"
    return f"by signal {-code}" if code is not None and code < 0 else f"with exit code {code}"
