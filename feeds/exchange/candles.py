"""Candles from an exchange's websocket."""

from dataclasses import dataclass
from typing import Any, Protocol

from ..instruments import Instrument

__all__ = ["Candle", "CandleStream", "Values"]

Values = tuple[float, float, float, float, float]
"""open, high, low, close, volume."""


@dataclass(frozen=True, slots=True)
class Candle:
    """A candle from the websocket: `start` is its open time, `stamp` the time of the message; both in UTC ms."""

    start: int
    values: Values
    closed: bool
    stamp: int


class CandleStream(Protocol):
    """Build and parse the messages of an exchange's websocket."""

    def url(self, urls: dict[str, Any], category: str) -> str:
        """Return the websocket URL for candles of a category, from ccxt's table `urls`."""

    def subscription(self, instrument: Instrument, timeframe: str) -> dict[str, Any]:
        """Return the message that subscribes to the candles of an instrument."""

    def subscribed(self, frame: Any) -> bool:
        """Return whether the first frame after the subscription confirms it."""

    def is_pong(self, frame: Any) -> bool:
        """Return whether a frame is the reply to a ping."""

    def candles(self, frame: Any, instrument: Instrument, timeframe: str) -> list[Candle]:
        """Return the candles of a frame; an empty list if the frame has another topic.

        Raises:
            Malformed: the frame is not an object, reports an error, or has an invalid candle.
        """
