"""The faults that end a live feed, in one table; after any failure of the exchange a feed waits and goes on."""

from collections.abc import Mapping

from ..errors import BadSource, BadTimeframe, StoreError

__all__ = ["FATAL", "PROGRAM_ERROR"]

FATAL: Mapping[type[Exception], str] = {
    StoreError: "the store cannot be written for two minutes",
    BadSource: "the series cannot be requested in this way",
    BadTimeframe: "the exchange has no bars of this size",
}
"""The errors that end a feed, and why; any other error but an `ExchangeError` is one of the program."""

PROGRAM_ERROR = "an error of the program"
