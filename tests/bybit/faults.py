"""Faults of a server, for `LoopbackBybit.inject`.

`on` is a REST path, or one of WEBSOCKET_POINTS.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "CONFLICTING",
    "DUPLICATE",
    "EARLY_CONFIRM",
    "LATE_TRADE",
    "NAN_FRAME",
    "NEVER",
    "NULL_DATA",
    "POISON",
    "UNKNOWN_TOPIC",
    "WEBSOCKET_POINTS",
    "WRONG_VOLUME",
    "Afterwards",
    "Corrupt",
    "DieMidBody",
    "Drop",
    "Fault",
    "Frames",
    "Hang",
    "Late",
    "Mutate",
    "Reset",
    "Respond",
    "RetCode",
    "Silence",
    "Swallow",
    "Trickle",
]

WEBSOCKET_POINTS = ("ws:connect", "ws:subscribe", "ws:push", "ws:closed")
"""The handshake, the answer to a subscription, any candle, the last push of a candle (confirm true)."""


@dataclass(frozen=True)
class Respond:
    """Send this status, body and headers as the response."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


@dataclass(frozen=True)
class RetCode:
    """Answer HTTP 200 with an error envelope, as Bybit does; refuse a subscription."""

    code: int
    message: str = "injected"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Corrupt:
    """Change the bytes of the correct response, with a matching Content-Length: valid HTTP, broken content."""

    change: Callable[[bytes], bytes]


@dataclass(frozen=True)
class Mutate:
    """Send the right envelope with `result` changed by `change`."""

    change: Callable[[dict[str, Any]], Any]


@dataclass(frozen=True)
class Reset:
    """Cut the connection with a TCP reset instead of answering or pushing."""


@dataclass(frozen=True)
class DieMidBody:
    """Announce the whole body, send half of it, and cut the connection."""


@dataclass(frozen=True)
class Hang:
    """Send nothing for `seconds` of the machine's time, then continue normally."""

    seconds: float


@dataclass(frozen=True)
class Trickle:
    """Send the correct response one byte every `seconds`, so that no pause is long but the response never ends."""

    seconds: float


@dataclass(frozen=True)
class Swallow:
    """Receive the request, ignore it for `seconds`, and cut the connection."""

    seconds: float


@dataclass(frozen=True)
class Afterwards:
    """Execute the request, then apply `fault` to the response: Hang, Respond, Reset, DieMidBody or Corrupt."""

    fault: Fault


@dataclass(frozen=True)
class Frames:
    """Replace the correct frame by the result of `change`: any number of frames, objects, raw text or bytes."""

    change: Callable[[dict[str, Any]], Sequence[dict[str, Any] | str | bytes]]


@dataclass(frozen=True)
class Late:
    """Push the frame `ms` of the exchange's time later than it should be; others overtake it."""

    ms: int


@dataclass(frozen=True)
class Drop:
    """Close the websocket instead of pushing, with a close frame of `code`."""

    code: int = 1001


@dataclass(frozen=True)
class Silence:
    """Push nothing more on this connection; it stays open and answers pings if `pongs`."""

    pongs: bool = True


def _candle(frame: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**frame, "data": [{**frame["data"][0], **changes}]}


POISON = Frames(lambda frame: [json.dumps(frame)[:-9]])
"""JSON that breaks off."""
NAN_FRAME = Frames(lambda frame: [_candle(frame, close="NaN")])
NULL_DATA = Frames(lambda frame: [{**frame, "data": None}])
UNKNOWN_TOPIC = Frames(lambda frame: [{"topic": "kline_lt.5.NOPE", "data": frame["data"]}, frame])
NEVER = Frames(lambda frame: [])
"""The frame is not pushed; on "ws:closed" the candle is never confirmed."""
DUPLICATE = Frames(lambda frame: [frame, frame])
CONFLICTING = Frames(lambda frame: [_candle(frame, volume="0.5"), frame])
"""The candle is confirmed twice, with different values."""
WRONG_VOLUME = Frames(lambda frame: [_candle(frame, volume="0.5")])
"""The candle is confirmed once, with another volume than the history's."""
LATE_TRADE = Frames(lambda frame: [_candle(frame, volume=f"{0.998 * float(frame['data'][0]['volume']):.3f}")])
"""The candle is confirmed once, without the last trade that the history counts."""
EARLY_CONFIRM = Frames(lambda frame: [_candle(frame, confirm=True)])
"""On "ws:push": a candle that is still open says that it is closed."""

Fault = (
    Respond
    | RetCode
    | Corrupt
    | Mutate
    | Reset
    | DieMidBody
    | Hang
    | Swallow
    | Trickle
    | Afterwards
    | Frames
    | Late
    | Drop
    | Silence
)
