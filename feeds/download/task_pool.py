"""Bounded concurrent tasks: a limited number of requests in flight, and no new task after a failure."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

__all__ = ["Halted", "TaskPool", "in_thread", "run"]

_Result = TypeVar("_Result")


class Halted(Exception):
    """Report a job that was not done because another one failed."""


class TaskPool:
    """Run jobs concurrently, with at most as many requests in flight as the semaphore `places` allows.

    When a job fails, running requests may end, nothing new is started, and the failure is raised. A pool may have
    parts that share its places: a failure in a part stops that part, and the whole pool only if the job that runs the
    part lets the failure through.
    """

    def __init__(self, places: asyncio.Semaphore, whole: "TaskPool | None" = None) -> None:
        self._places = places
        self._whole = whole
        self._failed = False

    @property
    def halted(self) -> bool:
        """Return whether something failed here or in the whole."""
        return self._failed or (self._whole is not None and self._whole.halted)

    def part(self) -> "TaskPool":
        """Return a pool that shares the places and stops only by its own failures."""
        return TaskPool(self._places, self)

    async def ask(self, request: Callable[[], Awaitable[_Result]]) -> _Result:
        """Return what `request` gives, when a place is free.

        Raises:
            Halted: something failed before the request was begun.
        """
        async with self._places:
            if self.halted:
                raise Halted
            return await request()

    async def each(self, jobs: Iterable[Callable[[], Awaitable[_Result]]], *, workers: int) -> list[_Result]:
        """Return the results of the jobs in their order; `workers` of them run at a time.

        Raises:
            Exception: the first failure of a job, when all that was begun has ended.
            Halted: something failed elsewhere in the pool.
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
    """Return `function(*arguments)`, run in a thread; a cancelled caller still waits until it is done."""
    task = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def run(main: Coroutine[Any, Any, _Result]) -> _Result:
    """Return what `main` gives, also where an event loop runs already, as in a notebook."""
    loop = None
    with suppress(RuntimeError):
        loop = asyncio.get_running_loop()
    # Not in an `except`: what fails in `main` would name "no running event loop" as what it comes from.
    if loop is None:
        return asyncio.run(main)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, main).result()
