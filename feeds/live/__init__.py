"""Closed bars as they happen: websocket and REST backfill, the clock, funding and open interest, recorded replay."""

from .clock import ExchangeClock
from .events import Bar, Failed, LiveSettings, Status
from .group import LiveGroup
from .queue import NEWS, LiveQueue
from .replay import Row, Step, Tape, Taped
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
    "Row",
    "Status",
    "Step",
    "Tape",
    "Taped",
]
