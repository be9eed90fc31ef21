"""Settings of a live feed, and the events and notices that its parts exchange."""

import enum
from dataclasses import dataclass, field

from ..exchange.candles import Candle, Values
from ..exchange.rate_limit import BAN_SECONDS

__all__ = [
    "Bar",
    "Candle",
    "Connected",
    "Failed",
    "Item",
    "LiveSettings",
    "Lost",
    "Notice",
    "Status",
    "StreamEvent",
    "Values",
]


@dataclass(frozen=True, kw_only=True)
class LiveSettings:
    """Time limits of a live feed, in seconds of the exchange's clock; `connect`, `ban`, `request`: the machine's.

    websocket: use candles from the websocket; if False, every bar is requested by REST.
    grace: time after a bar's close before a bar missing on the websocket is requested.
    poll_delay: time after a bar's close before it is requested when there is no websocket; a random addition of up to
        the same length keeps many feeds from sending requests at once.
    stale: longest time without a candle before the websocket is closed and connected again.
    connect: time limit of connecting, and of subscribing. request: time limit of one REST request.
    reconnect, reconnect_cap: first and longest pause before the next connection attempt or request after a failure.
    ban: time without any request after the exchange refused this address.
    """

    websocket: bool = True
    grace: float = 2.0
    poll_delay: float = 1.0
    stale: float = 90.0
    connect: float = 10.0
    request: float = 5.0
    reconnect: float = 0.5
    reconnect_cap: float = 30.0
    ban: float = BAN_SECONDS


class Status(enum.Enum):
    """The status of a feed for the bars that follow."""

    DELAYED = "delayed"
    """The bars are old: newer ones have closed already."""
    LIVE = "live"
    """Every bar is delivered when it closes."""
    DISCONNECTED = "disconnected"
    """The websocket or the exchange cannot be reached; bars that close now are delivered later."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The websocket is subscribed."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The websocket is closed, because of `reason`."""

    reason: str


StreamEvent = Candle | Connected | Lost


@dataclass(frozen=True, slots=True)
class Bar:
    """A closed bar; `start` is UTC ms, `funding_rate` a fraction, `open_interest` in base units."""

    start: int
    values: Values
    funding_rate: float = 0.0
    open_interest: float = 0.0


@dataclass(frozen=True, slots=True)
class Notice:
    """The feed's status is `status` from here on."""

    status: Status
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """The feed has ended with `error`."""

    error: Exception = field(compare=False)


Item = Bar | Notice | Failed
