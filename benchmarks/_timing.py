"""Compare running times on a machine that other processes use too."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

__all__ = ["alternate", "heading", "median_ratio", "microseconds", "milliseconds", "verdict"]


def alternate(
    tasks: Mapping[str, Callable[[], Any]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Run all tasks in turn `repeats` times after one unmeasured round; return the seconds of each, [repeats].

    A temporary slowdown of the machine then affects all tasks.
    """
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    for number in range(repeats + 1):
        for name, task in tasks.items():
            gc.collect()
            begin = clock()
            task()
            if number:
                taken[name].append(clock() - begin)
    return taken


def median_ratio(above: list[float], below: list[float]) -> float:
    """Return the median over the repeats of the ratio within a repeat."""
    return median(a / b for a, b in zip(above, below, strict=True))


def milliseconds(seconds: list[float]) -> str:
    return f"{1e3 * median(seconds):9.2f} ms"


def microseconds(seconds: float) -> str:
    return f"{1e6 * seconds:9.0f} us"


def heading(title: str, how: str) -> None:
    print(f"{title}\n  {how}")


def verdict(claim: str, figure: float, target: float, *, at_least: bool) -> None:
    """Print a value next to its target, and whether it meets the target."""
    met = figure >= target if at_least else figure <= target
    print(
        f"{claim:<52}{figure:9.4g}   target {'>=' if at_least else '<='} {target:g}   {'met' if met else 'MISSED'}"
    )
