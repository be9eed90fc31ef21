"""Compiled replay: many sets of rules and costs over one market, with the results of Cerebro ([replay.md])."""

from typing import TYPE_CHECKING

from scorenet.base.lazy import lazy_exports

if TYPE_CHECKING:
    from .coverage import not_compiled
    from .market import ReplayMarket
    from .prepare import prepare
    from .result import ReplayResult
    from .run import replay, replay_chunks

# Lazy: numba takes half a second to import.
_EXPORTS = {
    ".coverage": ("not_compiled",),
    ".market": ("ReplayMarket",),
    ".prepare": ("prepare",),
    ".result": ("ReplayResult",),
    ".run": ("replay", "replay_chunks"),
}

__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)

__all__ = ["ReplayMarket", "ReplayResult", "not_compiled", "prepare", "replay", "replay_chunks"]
