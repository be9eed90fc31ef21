"""Exponential back-off with jitter: the wait before the next attempt."""

from __future__ import annotations

import random
from collections.abc import Callable

__all__ = ["backoff_seconds"]


def backoff_seconds(
    attempt: int, base: float, cap: float, jitter: Callable[[], float] = random.random
) -> float:
    """Return the seconds to wait after the failed attempt number `attempt` (first 0).

    The wait doubles with every attempt, from `base` up to `cap`. A random part of up to one half is subtracted, so
    that clients that failed together do not retry together. `jitter` returns a number in [0, 1).
    """
    return min(cap, base * 2.0 ** min(attempt, 64)) * (0.5 + 0.5 * jitter())
