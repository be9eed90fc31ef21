"""Bars in one shape, wherever they come from."""

from typing import TYPE_CHECKING, Any

from .bars.files import read_bars, write_bars
from .bars.frame import as_bars, data_hash, find_gaps, join_funding, join_open_interest, resample, to_arrays
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

if TYPE_CHECKING:
    from .btdata import BarsData, ReplayData
    from .ccxtdata import CCXTData

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
    "join_open_interest",
    "load_bars",
    "read_bars",
    "resample",
    "simulate",
    "to_arrays",
    "write_bars",
]


def __getattr__(name: str) -> Any:
    # Bars can be fetched, checked and simulated without Backtrader: it is imported when a feed is asked for.
    if name in ("BarsData", "ReplayData"):
        from . import btdata

        return getattr(btdata, name)
    if name == "CCXTData":
        from .ccxtdata import CCXTData

        return CCXTData
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
