"""How much memory there is, and what an error looks like when there was not enough."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

__all__ = ["gigabytes", "is_out_of_memory", "machine_memory"]

_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


def machine_memory() -> int | None:
    """Return the bytes that this process can have at most: of the machine, its container and its own limit."""
    limits = []
    with suppress(AttributeError, OSError, ValueError):  # systems without sysconf
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with suppress(OSError, ValueError):  # no container, or "max"
        limits.append(int(_CONTAINER_LIMIT.read_text()))
    if resource is not None:
        own = resource.getrlimit(resource.RLIMIT_AS)[0]
        limits += [] if own == resource.RLIM_INFINITY else [own]
    return min(limits, default=None)


def gigabytes(size: float) -> str:
    """Return a number of bytes as text, in GB."""
    return f"{size / 1e9:,.1f} GB"


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory could not be allocated; torch raises a RuntimeError for that."""
    text = str(error)
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and ("allocate memory" in text or "out of memory" in text)
    )
