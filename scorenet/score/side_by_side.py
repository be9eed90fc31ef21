"""Parts of a training at the same time, in threads of one process.

torch gives up Python's lock while it computes, so two threads keep two cores busy. A second process would take as long
in wall time and more CPU time: it imports torch first. A thread also needs no copy of the rows, and cannot outlive its
process. What runs aside must draw from generators of its own: torch's own generator belongs to the whole process.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Generic, Self, TypeVar

import torch

from ..errors import ConfigError

__all__ = ["Aside", "SideBySide", "aside", "each", "keep_going", "threads_of_training"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST_OF_ITS_OWN = 2  # a model of one horizon has two parts that do not need each other
_here = threading.local()


def threads_of_training(threads: int | None, device: torch.device) -> int:
    """Return the number of cores that one training on a device uses; None is what measures best.

    That is 2 where there are two cores, and 1 on a GPU or where others already use the cores: in a worker process, or
    where OMP_NUM_THREADS says so.

    Raises:
        ConfigError: `threads` is below 1.
    """
    if threads is not None:
        if threads < 1:
            raise ConfigError(f"threads: expected at least 1, found {threads}")
        return threads
    if device.type != "cpu" or multiprocessing.parent_process() is not None:
        return 1
    stated = os.environ.get("OMP_NUM_THREADS", "")
    most = int(stated) if stated.isdecimal() and int(stated) > 0 else _MOST_OF_ITS_OWN
    return min(most, _cores(), _MOST_OF_ITS_OWN)


def aside(work: Callable[[], Result]) -> Aside[Result]:
    """Begin `work` as soon as a thread of the block around is free; without such a block it runs when asked for."""
    crew: SideBySide | None = getattr(_here, "crew", None)
    return Aside(work, None if crew is None else crew.submit(work))


def each(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return the results of `function` in the order of the items; threads that are free take a share of them."""
    parts = [aside(partial(function, item)) for item in items]
    # The others begin with the first, so this thread begins with the last.
    return [part.result() for part in reversed(parts)][::-1]


def keep_going() -> None:
    """Return, unless the work of this thread is in vain: raise the error of a part that runs aside, or end this one.

    Long loops call it once per step, so that an error or Ctrl-C does not wait for minutes of work.
    """
    crew: SideBySide | None = getattr(_here, "crew", None)
    if crew is not None:
        crew.check()


class SideBySide:
    """A block in which `aside` and `each` use up to `threads` threads; after the block none is left.

    With one thread nothing runs aside: each part runs when its result is asked for. If the block raises, parts that
    have begun end at their next step.
    """

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads - 1, thread_name_prefix="training") if threads > 1 else None
        self._given_up = threading.Event()
        self._failed: list[BaseException] = []
        self._outer: SideBySide | None = None

    def __enter__(self) -> Self:
        self._outer, _here.crew = getattr(_here, "crew", None), self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _here.crew = self._outer
        if error is not None:
            self._given_up.set()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=error is not None)

    def submit(self, work: Callable[[], Result]) -> Future[Result] | None:
        """Begin `work` as soon as a thread is free; None if there is no other thread."""
        return None if self._pool is None else self._pool.submit(self._run, work)

    def check(self) -> None:
        """Raise the first error of a part that runs aside; in such a part, end it if the block has raised."""
        if getattr(_here, "aside", False):
            if self._given_up.is_set():
                raise _GivenUp
        elif self._failed:
            raise self._failed[0]

    def _run(self, work: Callable[[], Result]) -> Result:
        _here.crew, _here.aside = self, True
        torch.set_num_threads(1)  # a new thread begins with as many as the process has cores
        try:
            return work()
        except BaseException as error:
            self._failed.append(error)
            raise


class Aside(Generic[Result]):
    """A part of a training that runs aside, or that has not begun."""

    def __init__(self, work: Callable[[], Result], future: Future[Result] | None) -> None:
        self._work, self._future = work, future

    def result(self) -> Result:
        """Return what the work returned, or raise its error; work that has not begun runs here."""
        if self._future is None or self._future.cancel():
            return self._work()
        return self._future.result()


class _GivenUp(BaseException):
    """Ends a part whose training has failed elsewhere; nobody sees it."""


def _cores() -> int:
    """Return the number of cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1
