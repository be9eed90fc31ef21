"""Progress on stderr: a moving bar in a terminal, a line from time to time in a pipe or a log."""

from __future__ import annotations

import sys
import time
from typing import Any

from tqdm import tqdm

__all__ = ["EVERY_SECONDS", "progress_bar"]

EVERY_SECONDS = 30.0
"""Time between lines in a pipe; what is done earlier prints none."""

_LINE = "{desc}: {percentage:.0f} % ({n_fmt} of {total_fmt}, {elapsed}, {remaining} left){postfix}"


def progress_bar(what: Any = None, *, total: int | None = None, name: str, unit: str, shown: bool) -> Any:
    """Return a `tqdm` over `what`, or one of `total` to update by hand; nothing is printed unless `shown`."""
    if sys.stderr.isatty() or not shown:
        return tqdm(what, total=total, desc=name, unit=unit, disable=not shown, leave=False, file=sys.stderr)
    every = EVERY_SECONDS
    pace = {"delay": every, "mininterval": every, "maxinterval": every, "miniters": 1}
    return tqdm(what, total=total, desc=name, unit=unit, leave=False, file=_Lines(), bar_format=_LINE, **pace)


class _Lines:
    """A stream that turns what a bar draws over itself into lines, one in `EVERY_SECONDS`."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def write(self, text: str) -> int:
        """Write a line; what only moves the cursor or clears the bar is dropped."""
        line, now = text.strip("\r\n ").removesuffix("\x1b[A"), time.monotonic()
        if line and now - self._last >= EVERY_SECONDS:
            self._last = now
            sys.stderr.write(f"{line}\n")
        return len(text)

    def flush(self) -> None:
        """Flush stderr."""
        sys.stderr.flush()
