"""Bars of several live feeds that close together arrive together, as they do in a backtest."""

import math
import time
from collections.abc import Sequence
from typing import Protocol

from .queue import NEWS

__all__ = ["LiveGroup", "Member"]


class Member(Protocol):
    """A feed of the group, its bars known by their close in UTC ms."""

    expected_ms: int
    """The close of the bar that comes next, if the exchange leaves none out."""

    def head_ms(self) -> int | None:
        """Return the close of the next bar that is here, None when there is none; called holding NEWS."""

    def ended(self) -> bool:
        """Tell whether no bar will come any more; called holding NEWS."""

    def has_notice(self) -> bool:
        """Tell whether something other than a bar comes next; called holding NEWS."""


class LiveGroup:
    """Release bars, oldest close first, once every feed whose bar is due has it, or after `patience` seconds."""

    def __init__(self, members: Sequence[Member], patience: float) -> None:
        self.leader = members[0]
        self.released = -1
        self._members = members
        self._patience = patience
        self._first_seen = (-1, 0.0)

    def passed(self, close: int) -> None:
        """Note that a bar with this close was delivered."""
        self.released = max(self.released, close)

    def wait(self, seconds: float) -> None:
        """Return when a bar of any feed may be delivered, when there is other news, or after `seconds`.

        Only the leader, which Backtrader asks first, waits and releases: no feed can then be a round ahead.
        """
        deadline = time.monotonic() + seconds
        with NEWS:
            while True:
                pause = self._release()
                if pause == 0.0 or any(member.has_notice() for member in self._members):
                    return
                left = deadline - time.monotonic()
                if left <= 0.0:
                    return
                NEWS.wait(min(left, pause))

    def _release(self) -> float:
        """Release what can be; return 0.0 if there is something, else the seconds after which to look again."""
        heads = [(member, member.head_ms()) for member in self._members]
        closes = [close for _, close in heads if close is not None]
        if not closes:
            return math.inf
        close = min(closes)
        if close <= self.released:
            return 0.0
        lacking = any(
            head is None and member.expected_ms <= close and not member.ended() for member, head in heads
        )
        if lacking:
            now = time.monotonic()
            if self._first_seen[0] != close:
                self._first_seen = (close, now)
            left = self._first_seen[1] + self._patience - now
            if left > 0.0:
                return left
        self.released = close
        return 0.0
