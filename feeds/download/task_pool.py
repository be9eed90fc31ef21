"""Bounded concurrent tasks: a limited number of requests in flight, and no new task after a failure."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

__all__ = ["Halted", "TaskPool", "in_thread", "run"]

_Result = TypeVar("_Result")


class Halted(Exception):
    """A job was not done because another one failed."""


class TaskPool:
    """Run jobs concurrently, with at most as many requests in flight as the semaphore `places` allows.

    When a job fails, running requests may finish, no new one is started, and the error is raised. A pool may have
    sub-pools that share its places. A failure stops the sub-pool it occurs in; it stops the whole pool only if the job
    that runs the sub-pool re-raises the error.
    """

    def __init__(self, places: asyncio.Semaphore, whole: "TaskPool | None" = None) -> None:
        self._places = places
        self._whole = whole
        self._failed = False

    @property
    def halted(self) -> bool:
        """Return whether a job failed in this pool or in its parent."""
        return self._failed or (self._whole is not None and self._whole.halted)

    def part(self) -> "TaskPool":
        """Return a sub-pool that shares the places and whose failures stop only itself."""
        return TaskPool(self._places, self)

    async def ask(self, request: Callable[[], Awaitable[_Result]]) -> _Result:
        """Wait for a free place and return the result of `request`.

        Raises:
            Halted: another job failed before the request started.
        """
        async with self._places:
            if self.halted:
                raise Halted
            return await request()

    async def each(self, jobs: Iterable[Callable[[], Awaitable[_Result]]], *, workers: int) -> list[_Result]:
        """Return the results of the jobs in their order; `workers` of them run at a time.

        Raises:
            Exception: the first failure of a job, after all started jobs have ended.
            Halted: a job failed elsewhere in the pool.
        """
        queue = enumerate(jobs)
        results: dict[int, _Result] = {}
        failures: list[Exception] = []

        async def work() -> None:
            for number, job in queue:
                if self.halted:
                    failures.append(Halted())
                    return
                try:
                    results[number] = await job()
                except Exception as error:
                    self._failed = True
                    failures.append(error)
                    return

        tasks = [asyncio.ensure_future(work()) for _ in range(workers)]
        try:
            await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            raise
        if failures:
            raise next((error for error in failures if not isinstance(error, Halted)), failures[0])
        return [results[number] for number in sorted(results)]


async def in_thread(function: Callable[..., _Result], *arguments: Any) -> _Result:
    """Return `function(*arguments)`, run in a thread; a cancelled caller still waits for its end."""
    task = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def run(main: Coroutine[Any, Any, _Result]) -> _Result:
    """Return the result of `main`, also if an event loop is already running, as in a notebook."""
    loop = None
    with suppress(RuntimeError):
        loop = asyncio.get_running_loop()
    # Not inside `except`: errors of `main` would then show "no running event loop" as their cause.
    if loop is None:
        return asyncio.run(main)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, main).result()
