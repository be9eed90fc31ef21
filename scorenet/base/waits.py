"""Wait in short slices, so that a request to stop is heard during every wait."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

__all__ = ["wait"]

_SLICE_SECONDS = 0.1


def wait(seconds: float, stop: Callable[[], bool], sleep: Callable[[float], None] = time.sleep) -> bool:
    """Return True after `seconds`, or False as soon as `stop()` is true; `stop` is called every 0.1 s."""
    slices = math.ceil(seconds / _SLICE_SECONDS)
    for _ in range(slices):
        if stop():
            return False
        sleep(seconds / slices)
    return not stop()
