"""The worker process: it gets the evaluator once, then chunks until its pipe closes."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection

from scorenet.base.error_line import error_line

__all__ = ["one_thread", "serve"]


def serve(pipe: Connection, plugins: Sequence[str], evaluator: bytes) -> None:
    """Evaluate chunks from `pipe` until it closes; first say "ready", or why this process cannot work.

    `plugins` are files to run before the evaluator is unpickled: it may hold what they define.
    """
    # Ctrl-C reaches the whole group of processes; the parent ends its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        one_thread()
        from ..plugins import load_plugin

        for file in plugins:
            load_plugin(file)
        mine = pickle.loads(evaluator)  # noqa: S301 - from the parent process, through a pipe
    except Exception as error:  # it goes to the parent, which raises it for the user
        pipe.send(("failed", f"{type(error).__name__}: {error_line(error)}"))
        return
    try:
        pipe.send(("ready", ""))
        while True:
            chunk = pipe.recv()
            pipe.send(("done", mine.evaluate(chunk.batch, chunk.floors)))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent has ended


def one_thread() -> None:
    """Limit this process to one thread of numerics: the workers share the cores among themselves."""
    os.environ["OMP_NUM_THREADS"] = "1"  # read by libraries when they are imported
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
