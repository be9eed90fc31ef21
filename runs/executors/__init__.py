"""Where trials run: in this process, in worker processes, or on a Ray cluster; the rows are the same."""

from .choose import executor_of
from .pool import EXECUTORS, Chunk, Executor, ExecutorError
from .process import ProcessExecutor
from .ray_cluster import RayExecutor
from .serial import SerialExecutor

__all__ = [
    "EXECUTORS",
    "Chunk",
    "Executor",
    "ExecutorError",
    "ProcessExecutor",
    "RayExecutor",
    "SerialExecutor",
    "executor_of",
]
