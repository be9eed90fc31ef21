"""Candles as an exchange pushes them by websocket."""

from dataclasses import dataclass
from typing import Any, Protocol

from ..instruments import Instrument

__all__ = ["Candle", "CandleStream", "Values"]

Values = tuple[float, float, float, float, float]
"""open, high, low, close, volume."""


@dataclass(frozen=True, slots=True)
class Candle:
    """A candle as the websocket pushed it; `start` and the exchange's `stamp` of the push are UTC ms."""

    start: int
    values: Values
    closed: bool
    stamp: int


class CandleStream(Protocol):
    """The messages of an exchange's websocket: how to subscribe to candles, and what a frame says."""

    def url(self, urls: dict[str, Any], category: str) -> str:
        """Return where the candles of a category are pushed, given ccxt's table of URLs."""

    def subscription(self, instrument: Instrument, timeframe: str) -> dict[str, Any]:
        """Return the message that subscribes to the candles of an instrument."""

    def subscribed(self, frame: Any) -> bool:
        """Return whether a frame, the first after the subscription, accepts it."""

    def is_pong(self, frame: Any) -> bool:
        """Return whether a frame only answers a ping."""

    def candles(self, frame: Any, instrument: Instrument, timeframe: str) -> list[Candle]:
        """Return the candles of a frame, none when it is about something else.

        Raises:
            Malformed: the frame is no object, reports an error, or its candles are not possible ones.
        """
