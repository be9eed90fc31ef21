"""Synchronise several live feeds: bars with the same close are delivered together, as in a backtest."""

import math
import time
from collections.abc import Sequence
from typing import Protocol

from .queue import NEWS

__all__ = ["LiveGroup", "Member"]


class Member(Protocol):
    """A feed of the group; bars are identified by their close in UTC ms."""

    expected_ms: int
    """The close of the next bar, unless the exchange skips it."""

    def head_ms(self) -> int | None:
        """Return the close of the next available bar, None if there is none; the caller holds NEWS."""

    def ended(self) -> bool:
        """Return whether no further bar will come; the caller holds NEWS."""

    def waits_for_listing(self) -> bool:
        """Return whether the exchange does not list the market, so that its bars are not waited for."""

    def has_notice(self) -> bool:
        """Return whether the next item is not a bar; the caller holds NEWS."""


class LiveGroup:
    """Release bars, oldest close first, when every feed with a due bar has it, or after `timeout` seconds."""

    def __init__(self, members: Sequence[Member], timeout: float) -> None:
        self.leader = members[0]
        self.released = -1
        self._members = members
        self._timeout = timeout
        self._first_seen = (-1, 0.0)

    def passed(self, close: int) -> None:
        """Note that a bar with this close was delivered."""
        self.released = max(self.released, close)

    def wait(self, seconds: float) -> None:
        """Wait until a bar of any feed may be delivered, another item arrives, or `seconds` have passed.

        Only the leader, the feed that Backtrader asks first, waits and releases, so no feed can be a round ahead.
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
        """Release available bars; return 0.0 if there are any, else the seconds until the next check."""
        heads = [(member, member.head_ms()) for member in self._members]
        closes = [close for _, close in heads if close is not None]
        if not closes:
            return math.inf
        close = min(closes)
        if close <= self.released:
            return 0.0
        lacking = any(
            head is None
            and member.expected_ms <= close
            and not (member.ended() or member.waits_for_listing())
            for member, head in heads
        )
        if lacking:
            now = time.monotonic()
            if self._first_seen[0] != close:
                self._first_seen = (close, now)
            left = self._first_seen[1] + self._timeout - now
            if left > 0.0:
                return left
        self.released = close
        return 0.0
