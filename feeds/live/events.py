"""Settings of a live feed, and the events and notices that its parts exchange."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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
    "Report",
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
    hole: time for which the bars behind a missing bar wait for it.
    overdue: time after which a missing newest bar is reported as DISCONNECTED, and the listing is checked.
    delisted: pause between requests while the exchange does not list the market.
    slack: largest difference between the exchange's time and this machine's timer (the machine's seconds).
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
    hole: float = 120.0
    overdue: float = 60.0
    delisted: float = 300.0
    slack: float = 1.0


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
    """A closed bar; `start` is UTC ms, `funding_rate` a fraction, `open_interest` in base units.

    `doubtful`: the exchange's stamps contradict each other, so nobody should trade on it.
    """

    start: int
    values: Values
    funding_rate: float = 0.0
    open_interest: float = 0.0
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Notice:
    """The feed's status is `status` from here on. `delisted`: because the exchange no longer lists the market."""

    status: Status
    reason: str = ""
    delisted: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """Something that a record of the run should contain: its kind, a sentence, and facts as plain JSON values.

    Kinds: "hole" (bars were left out), "filled" (they came later), "revised" (a delivered bar has changed),
    "settlement", "open_interest" (a value came after its bar), "doubt" and "trust" (the exchange's stamps).
    """

    kind: str
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failed:
    """The feed has ended with `error`."""

    error: Exception = field(compare=False)


Item = Bar | Notice | Report | Failed
