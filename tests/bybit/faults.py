"""What a server can do wrong, as values that a test hands to `LoopbackBybit.inject`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Corrupt", "DieMidBody", "Fault", "Hang", "Mutate", "Reset", "Respond", "RetCode"]


@dataclass(frozen=True)
class Respond:
    """Answer with this status, body and headers whatever was asked."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


@dataclass(frozen=True)
class RetCode:
    """Answer HTTP 200 with an error envelope, as Bybit does."""

    code: int
    message: str = "injected"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Corrupt:
    """Pass the right answer through `change`, with a fitting Content-Length: broken, in valid HTTP."""

    change: Callable[[bytes], bytes]


@dataclass(frozen=True)
class Mutate:
    """Send the right envelope with `result` changed by `change`."""

    change: Callable[[dict[str, Any]], Any]


@dataclass(frozen=True)
class Reset:
    """Cut the connection with a TCP reset instead of answering."""


@dataclass(frozen=True)
class DieMidBody:
    """Announce the whole body, send half of it, and cut the connection."""


@dataclass(frozen=True)
class Hang:
    """Say nothing for `seconds`, then answer as usual."""

    seconds: float


Fault = Respond | RetCode | Corrupt | Mutate | Reset | DieMidBody | Hang
