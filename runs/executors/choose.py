"""The executor of a command's options."""

from __future__ import annotations

from scorenet import ConfigError
from scorenet.base.did_you_mean import did_you_mean

from .pool import EXECUTORS, Executor
from .process import ProcessExecutor
from .ray_cluster import RayExecutor
from .serial import SerialExecutor

__all__ = ["executor_of"]


def executor_of(name: str, workers: int | None = None, ray_address: str | None = None) -> Executor:
    """Return an executor by its name; `workers` None is one for each core, `ray_address` None a Ray of this machine.

    Raises:
        ConfigError: the name is unknown, `workers` is below 1, or an option belongs to another executor.
        ModuleNotFoundError: Ray is not installed.
    """
    if name not in EXECUTORS:
        raise ConfigError(
            f"executor: expected {', '.join(EXECUTORS)}, found {name!r}{did_you_mean(name, EXECUTORS)}"
        )
    if ray_address is not None and name != "ray":
        raise ConfigError(f"--ray-address belongs to --executor ray, found --executor {name}")
    if name == "ray":
        return RayExecutor(workers, ray_address)
    if name == "process":
        return ProcessExecutor(workers)
    if workers not in (None, 1):
        raise ConfigError(
            f"--workers belongs to --executor process or ray, found --executor serial with {workers}"
        )
    return SerialExecutor()
