"""What the parts of a live feed tell each other."""

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
    """Say how a live feed waits; seconds are the exchange's, those of `connect`, `ban` and `request` the machine's.

    websocket: take candles from the websocket; else every bar is asked for.
    grace: how long after its close a bar may be missing on the websocket before it is asked for.
    poll_delay: how long after its close a bar is asked for while there is no websocket; up to as much again is added
        at random, so that many feeds do not ask at once.
    stale: how long the websocket may bring no candle before it is closed and dialled again.
    connect: how long dialling and subscribing may each take. request: the same for one REST request.
    reconnect, reconnect_cap: the first and the longest pause before dialling again or asking again after a failure.
    ban: how long nothing is sent after the exchange refused this address.
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
    """Say what the bars that follow are."""

    DELAYED = "delayed"
    """Newer bars have closed already."""
    LIVE = "live"
    """Every bar comes as it closes."""
    DISCONNECTED = "disconnected"
    """The websocket is lost or the exchange cannot be reached; bars that close now are got later."""


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
    """The feed has ended by `error`."""

    error: Exception = field(compare=False)


Item = Bar | Notice | Failed
