"""Live bars: websocket and REST backfill, the exchange's clock, funding and open interest, replay of recorded bars."""

from .clock import ExchangeClock
from .events import Bar, Failed, LiveSettings, Status
from .group import LiveGroup
from .queue import NEWS, LiveQueue
from .replay import Replay, ReplayedData, Row, Step
from .source import LiveSource, LiveThread

__all__ = [
    "NEWS",
    "Bar",
    "ExchangeClock",
    "Failed",
    "LiveGroup",
    "LiveQueue",
    "LiveSettings",
    "LiveSource",
    "LiveThread",
    "Replay",
    "ReplayedData",
    "Row",
    "Status",
    "Step",
]
