"""Errors of the data layer.

FeedError
├── BadBars(ValueError)        bars violate the frame contract: row, column, timestamp, reason
│   └── BarGap                 bars are missing, and the gap policy is `raise`
├── BadSymbol(ValueError)      the market is unknown
├── BadTimeframe(ValueError)   the bar size is unknown or not supported
├── BadSource(ValueError)      usage: a source, time, key or option is invalid
├── MissingData                a file, series or range does not exist or is too short
├── StoreError                 a stored file is corrupt, or cannot be read or written
└── ExchangeError
    ├── ExchangeUnavailable    all retries of a transient failure failed: try again later
    ├── ExchangeBanned         the exchange refuses this address for a while
    └── ExchangeRejected       the exchange rejected the request: a retry is useless
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
    """Base class of all errors of the data layer."""


class BadBars(FeedError, ValueError):
    """Bars violate the frame contract.

    Attributes:
        row: position (0-based) of the invalid row, None if the error concerns the whole frame.
        column: name of the invalid column, None if the error concerns no single column.
        timestamp: open time of that row in UTC ms, None if unknown.
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
    """Bars are missing; `row` is that of the first bar after the gap, `timestamp` the open of the first missing bar."""


class BadSymbol(FeedError, ValueError):
    """The source does not have this market."""


class BadTimeframe(FeedError, ValueError):
    """The bar size is unknown or not supported."""


class BadSource(FeedError, ValueError):
    """A source, time, key or option is invalid."""


class MissingData(FeedError):
    """A file, series or range does not exist or is too short."""


class StoreError(FeedError):
    """A stored file is corrupt, or cannot be read or written."""


class ExchangeError(FeedError):
    """Base class of all failures of requests to an exchange."""


class ExchangeUnavailable(ExchangeError):
    """A transient failure: all retries failed."""


class ExchangeBanned(ExchangeError):
    """The exchange refuses this address or key for a while."""


class ExchangeRejected(ExchangeError):
    """The exchange rejected the request; a retry is useless."""
