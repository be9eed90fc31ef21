"""Trials on a Ray cluster, or on a Ray that is started on this machine; the only file that imports Ray."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scorenet.base.error_line import error_line

from ..plugins import load_plugin, loaded_plugins
from ..study.outcome import Evaluator, Outcome, Settings, failure
from .pool import Chunk, ExecutorError, check_workers, take_whole
from .worker import one_thread

__all__ = ["RayExecutor"]

_RETRIES = 3  # of a task whose worker or node died; Ray sends it to another one
_CONNECT_SECONDS = 5.0
_evaluators: dict[str, Evaluator] = {}


@dataclass(frozen=True)
class _Job:
    """A part of a chunk: all of it, or one of its trials after the part was lost."""

    number: int
    first: int
    batch: tuple[Settings, ...]
    floors: tuple[float, ...]


class RayExecutor:
    """Tasks on Ray; the evaluator is put into the object store once and read by each worker process once.

    Args:
        workers: tasks at once; by default one for each CPU of the cluster.
        address: of a running cluster, "auto" for the one of this machine; None starts a Ray with `workers` CPUs here.

    Raises:
        ConfigError: `workers` is below 1.
        ModuleNotFoundError: Ray is not installed.
        ExecutorError: the cluster cannot be reached.
    """

    def __init__(self, workers: int | None = None, address: str | None = None) -> None:
        self._ray = _ray()
        self._address = address
        self._wanted = None if workers is None else check_workers(workers)
        self._owns = not self._ray.is_initialized()
        self._connect()
        resources = self._ray.cluster_resources()
        self.slots = self._wanted or max(1, int(resources.get("CPU", 1)))
        self._pending: dict[Any, _Job] = {}
        self._waiting: list[_Job] = []
        self._open: dict[int, list[Outcome | None]] = {}

    def start(self, evaluator: Evaluator) -> None:
        """Put the evaluator into the object store; a Ray that `close` has ended is started again."""
        if not self._ray.is_initialized():
            self._connect()
        self._name = uuid.uuid4().hex
        self._plugins = [plugin["path"] for plugin in loaded_plugins()]
        # In a list, Ray hands over the reference instead of the object: a worker reads it once, not once per task.
        self._shared = [self._ray.put(evaluator)]
        self._task = self._ray.remote(num_cpus=1, max_retries=_RETRIES)(_evaluate)

    def submit(self, chunk: Chunk) -> None:
        """Queue a chunk."""
        self._open[chunk.number] = [None] * len(chunk.batch)
        self._waiting.append(_Job(chunk.number, 0, chunk.batch, chunk.floors))
        self._send()

    def finished(self) -> tuple[int, Sequence[Outcome]]:
        """Wait for a chunk and return its number and outcomes; a trial that Ray cannot bring to an end has failed.

        Raises:
            ExecutorError: the cluster is gone.
        """
        while True:
            if (whole := take_whole(self._open)) is not None:
                return whole
            self._collect()
            self._send()

    def close(self) -> None:
        """Cancel what runs; end the Ray that this executor has started, or leave the user's cluster as it was."""
        if not self._ray.is_initialized():
            return
        pending, self._pending = list(self._pending), {}
        self._waiting.clear()
        self._open.clear()
        if self._owns:
            self._ray.shutdown()
            return
        for reference in pending:
            # Not by force: Ray ends this process if such a task has just finished.
            self._ray.cancel(reference)

    def _connect(self) -> None:
        if not self._owns:
            return
        options: dict[str, Any] = {
            "include_dashboard": False,
            "log_to_driver": False,
            "logging_level": "ERROR",
        }
        if self._address is None:
            options["num_cpus"] = check_workers(self._wanted)
        else:
            options = {"address": self._address, "log_to_driver": False, "logging_level": "ERROR"}
        try:
            _check_reachable(self._address)
            self._ray.init(**options)
        except (RuntimeError, ValueError, OSError) as error:
            where = self._address or "this machine"
            raise ExecutorError(
                f"no Ray cluster at {where}: {error_line(error)}; start one with `ray start --head`"
            ) from error

    def _send(self) -> None:
        while self._waiting and len(self._pending) < 2 * self.slots:
            job = self._waiting.pop(0)
            reference = self._task.remote(self._name, self._plugins, self._shared, job.batch, job.floors)
            self._pending[reference] = job

    def _collect(self) -> None:
        done, _ = self._ray.wait(list(self._pending), num_returns=1)
        errors = self._ray.exceptions
        for reference in done:
            job = self._pending.pop(reference)
            try:
                outcomes = self._ray.get(reference)
            except errors.RaySystemError as error:
                raise ExecutorError(f"the Ray cluster is gone: {error_line(error)}") from error
            except errors.RayError as error:
                self._lost(job, error)
                continue
            self._open[job.number][job.first : job.first + len(outcomes)] = outcomes

    def _lost(self, job: _Job, error: Exception) -> None:
        """Send the trials of a lost part out again, each alone; a single trial has failed."""
        if len(job.batch) == 1:
            died = failure(
                f"its worker died {_RETRIES + 1} times: {type(error).__name__}: {error_line(error)}"
            )
            self._open[job.number][job.first] = died
            return
        for place, settings in enumerate(job.batch):
            self._waiting.append(_Job(job.number, job.first + place, (settings,), job.floors))


def _check_reachable(address: str | None) -> None:
    """Raise OSError if nobody listens at `host:port`: Ray itself would try for minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()


def _evaluate(
    name: str,
    plugins: Sequence[str],
    shared: Sequence[Any],
    batch: Sequence[Settings],
    floors: Sequence[float],
) -> Sequence[Outcome]:
    """Evaluate trials in a Ray worker, with the evaluator that the object store holds."""
    if name not in _evaluators:
        one_thread()
        for file in plugins:
            load_plugin(file)
        _evaluators.clear()
        _evaluators[name] = _ray().get(shared[0])
    return _evaluators[name].evaluate(batch, floors)


def _ray() -> Any:
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"--executor ray needs {error.name}: pip install 'scorenet[ray]'"
        ) from error
    return ray
