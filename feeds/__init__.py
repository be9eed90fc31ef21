"""Bars in one canonical form from files, exchanges and simulations; each name is imported at its first use."""

from typing import TYPE_CHECKING

from scorenet.base.lazy import lazy_exports

if TYPE_CHECKING:
    from .bars.files import read_bars, write_bars
    from .bars.frame import (
        as_bars,
        data_hash,
        find_gaps,
        join_funding,
        join_mark,
        join_open_interest,
        resample,
        to_arrays,
    )
    from .btdata import BarsData, ReplayData
    from .ccxtdata import CCXTData
    from .download.api import risk_tiers
    from .errors import (
        BadBars,
        BadSource,
        BadSymbol,
        BadTimeframe,
        BarGap,
        ExchangeBanned,
        ExchangeError,
        ExchangeRejected,
        ExchangeUnavailable,
        FeedError,
        MissingData,
        StoreError,
    )
    from .simulated.api import expected_return, simulate
    from .sources import load_bars

_EXPORTS = {
    ".bars.files": (
        "read_bars",
        "write_bars",
    ),
    ".bars.frame": (
        "as_bars",
        "data_hash",
        "find_gaps",
        "join_funding",
        "join_mark",
        "join_open_interest",
        "resample",
        "to_arrays",
    ),
    ".btdata": (
        "BarsData",
        "ReplayData",
    ),
    ".ccxtdata": ("CCXTData",),
    ".download.api": ("risk_tiers",),
    ".errors": (
        "BadBars",
        "BadSource",
        "BadSymbol",
        "BadTimeframe",
        "BarGap",
        "ExchangeBanned",
        "ExchangeError",
        "ExchangeRejected",
        "ExchangeUnavailable",
        "FeedError",
        "MissingData",
        "StoreError",
    ),
    ".simulated.api": (
        "expected_return",
        "simulate",
    ),
    ".sources": ("load_bars",),
}

__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)

__all__ = [
    "BadBars",
    "BadSource",
    "BadSymbol",
    "BadTimeframe",
    "BarGap",
    "BarsData",
    "CCXTData",
    "ExchangeBanned",
    "ExchangeError",
    "ExchangeRejected",
    "ExchangeUnavailable",
    "FeedError",
    "MissingData",
    "ReplayData",
    "StoreError",
    "as_bars",
    "data_hash",
    "expected_return",
    "find_gaps",
    "join_funding",
    "join_mark",
    "join_open_interest",
    "load_bars",
    "read_bars",
    "resample",
    "risk_tiers",
    "simulate",
    "to_arrays",
    "write_bars",
]
