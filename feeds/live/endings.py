"""The faults that end a live feed, in one table; after any other fault a feed waits and goes on."""

from collections.abc import Mapping

from ..errors import BadSource, BadTimeframe, ExchangeError, StoreError

__all__ = ["FATAL", "PROGRAM_ERROR", "why_it_ends"]

FATAL: Mapping[type[Exception], str] = {
    StoreError: "the store cannot be written for two minutes",
    BadSource: "the series cannot be requested in this way",
    BadTimeframe: "the exchange has no bars of this size",
}
"""The errors that end a feed, and why; `docs/live.md` has the same table."""

PROGRAM_ERROR = "an error of the program"


def why_it_ends(error: Exception) -> str | None:
    """Return why an error ends a feed, None if the feed waits and goes on: any failure of the exchange."""
    if isinstance(error, ExchangeError):
        return None
    return next((why for kind, why in FATAL.items() if isinstance(error, kind)), PROGRAM_ERROR)
