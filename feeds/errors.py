"""Errors of the data layer.

FeedError
├── BadBars(ValueError)        bars that break the frame contract: row, column, timestamp, reason
│   └── BarGap                 bars are missing where policy `raise` forbids it
├── BadSymbol(ValueError)      no such market
├── BadTimeframe(ValueError)   no such bar size
├── BadSource(ValueError)      usage: a source, time, key or option that cannot be understood
├── MissingData                a file, series or range that is not there or is too short
├── StoreError                 a stored file that is corrupt or cannot be written
└── ExchangeError
    ├── ExchangeUnavailable    transient and retried in vain: try again later
    ├── ExchangeBanned         the exchange refuses this address for a while
    └── ExchangeRejected       the request can never succeed: do not retry
"""

__all__ = [
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
]


class FeedError(Exception):
    """Stand for anything that keeps bars from being delivered."""


class BadBars(FeedError, ValueError):
    """Report bars that break the frame contract.

    Attributes:
        row: position (0-based) of the offending row, None when the whole frame is at fault.
        column: name of the offending column, None when no single column is.
        timestamp: open time of that row in UTC ms, None when unknown.
        reason: short code, e.g. `nan`, `not_positive`, `high_below_low`, `duplicate`, `gap`.
    """

    def __init__(
        self,
        message: str,
        *,
        row: int | None = None,
        column: str | None = None,
        timestamp: int | None = None,
        reason: str = "",
    ) -> None:
        super().__init__(message)
        self.row = row
        self.column = column
        self.timestamp = timestamp
        self.reason = reason


class BarGap(BadBars):
    """Report missing bars; row is that of the first bar after the hole, timestamp the first missing open."""


class BadSymbol(FeedError, ValueError):
    """Report a market that the source does not have."""


class BadTimeframe(FeedError, ValueError):
    """Report a bar size that is unknown or not supported."""


class BadSource(FeedError, ValueError):
    """Report a source, time, key or option that cannot be understood."""


class MissingData(FeedError):
    """Report a file, series or range that is not there or is too short."""


class StoreError(FeedError):
    """Report a stored file that is corrupt or cannot be read or written."""


class ExchangeError(FeedError):
    """Stand for anything that an exchange answers instead of data."""


class ExchangeUnavailable(ExchangeError):
    """Report a transient failure that outlasted every retry."""


class ExchangeBanned(ExchangeError):
    """Report that the exchange refuses this address or key for a while."""


class ExchangeRejected(ExchangeError):
    """Report a request that can never succeed."""
