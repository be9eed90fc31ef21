"""Downloads to be killed: `python download_driver.py URL FOLDER POINTS` prints a JSON line a kill point.

One process imports everything once and forks every download, so that what is killed is a whole process with its
threads. Points alternate between the n-th call that changes the disk and a random moment.
"""

import errno
import json
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from feeds.download.api import fetch
from feeds.errors import StoreError
from feeds.store.series_store import check, list_series, read_series

SYMBOLS = ("BTC/USDT:USDT", "ETH/USDT:USDT")
KINDS = {"funding": True, "open_interest": True}
FOREVER = 1 << 62


def download(url: str, folder: Path, bars: int = 3_000) -> dict[str, int]:
    """Bring both symbols up to date; return the requests by kind."""
    since = 1_719_748_800_000 - bars * 3_600_000  # the loopback's clock stands within that hour
    reports = fetch(SYMBOLS, since=since, data_dir=folder, base_url=url, progress=False, **KINDS)
    return {kind: sum(r.requests for r in reports if r.kind == kind) for kind in ("bars", *KINDS)}


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def forked(work: Callable[[], Any]) -> tuple[int, Any]:
    """Return the exit code of a process that does `work`, and what it returned."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            result = work()
        except BaseException as error:
            os.write(writer, json.dumps(f"{type(error).__name__}: {error}").encode())
            os._exit(1)
        os.write(writer, json.dumps(result).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code, json.loads(said) if said else None


def die_at_call(number: int) -> None:
    """Kill this process at its n-th call that changes the disk."""
    calls = 0

    def deadly(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return call

    for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "open"), (Path, "mkdir")):
        setattr(owner, name, deadly(getattr(owner, name)))


def die_after(seconds: float) -> None:
    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    signal.setitimer(signal.ITIMER_REAL, seconds)


def fill_up(size: int) -> None:
    """Let no file of this process grow beyond `size` bytes, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def make_read_only() -> None:
    """Let every attempt to create or change a file fail as on a read-only file system.

    Permission bits would not do: they do not bind root, as whom tests in containers run.
    """
    opened, made = os.open, Path.mkdir

    def refuse(path: Any, flags: int, *rest: Any, **options: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return opened(path, flags, *rest, **options)

    def keep(path: Path, *rest: Any, **options: Any) -> None:
        if path.is_dir():
            return made(path, *rest, **options)
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    os.open = refuse
    Path.mkdir = keep  # type: ignore[method-assign]


def loads(folder: Path) -> int:
    """Return the rows of the store, every one of them read; raise where a file is damaged."""
    damage = check(folder)
    if damage:
        raise StoreError(str(damage))
    return sum(
        len(read_series(folder, info.key, 0, FOREVER).columns["timestamp"]) for info in list_series(folder)
    )


def kill_points(url: str, root: Path, points: int) -> None:
    whole = root / "whole"
    begin = time.monotonic()
    assert forked(lambda: download(url, whole))[0] == 0
    seconds, right = time.monotonic() - begin, tree(whole)
    chance, call = random.Random(7), 0
    for number in range(points):
        folder = root / f"kill-{number}"
        call += number % 2 == 0

        def doomed(folder: Path = folder, number: int = number, call: int = call) -> dict[str, int]:
            if number % 2 == 0:
                die_at_call(call)
            else:
                die_after(chance.uniform(0.1, 1.0) * seconds)
            return download(url, folder)

        chance.random()
        code, _ = forked(doomed)
        if number % 2 == 0 and code == 0:
            call = 0  # there are fewer calls than that: begin again
        rows = forked(lambda folder=folder: loads(folder))
        resumed = forked(lambda folder=folder: download(url, folder))
        same = tree(folder) == right
        again = forked(lambda folder=folder: download(url, folder))
        line = {"code": code, "rows": rows, "resumed": resumed, "same": same, "again": again}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    kill_points(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
