"""A bounded queue from the network thread to Backtrader's thread, with waiting by condition variable."""

import asyncio
import threading
from collections import deque

from .events import Bar, Failed, Item, Notice, Report

__all__ = ["NEWS", "LiveQueue"]

NEWS = threading.Condition()
"""Notified when any queue gets an item, so that a consumer can wait for several feeds; it also guards all queues."""


class LiveQueue:
    """A queue of at most `size` items; the event loop calls `put`, the consumer all other methods."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: deque[Item] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._room = asyncio.Event()

    async def put(self, item: Item) -> None:
        """Add an item; wait until there is room."""
        self._loop = asyncio.get_running_loop()
        while len(self._items) >= self._size:
            self._room.clear()
            if len(self._items) >= self._size:
                await self._room.wait()
        self.add_now(item)

    def add_now(self, item: Item) -> None:
        """Add an item even if the queue is full."""
        with NEWS:
            self._items.append(item)
            NEWS.notify_all()

    def pop(self) -> Item | None:
        """Remove and return the first item, None if there is none."""
        with NEWS:
            item = self._items.popleft() if self._items else None
        loop = self._loop
        if item is not None and loop is not None and len(self._items) == self._size - 1:
            try:
                loop.call_soon_threadsafe(self._room.set)
            except RuntimeError:
                self._loop = None  # the event loop has ended: no task waits for room
        return item

    def pop_notice(self) -> Notice | Report | Failed | None:
        """Remove and return the first item if it is not a bar."""
        with NEWS:
            if not self._items or isinstance(self._items[0], Bar):
                return None
        item = self.pop()
        return item if isinstance(item, Notice | Report | Failed) else None

    def pop_bar(self, last: int) -> Bar | None:
        """Remove and return the first item if it is a bar that opens at `last` (UTC ms) or before."""
        with NEWS:
            first = self._items[0] if self._items else None
        if not isinstance(first, Bar) or first.start > last:
            return None
        self.pop()
        return first

    def next_bar(self) -> Bar | None:
        """Return the first bar without removing it, None if there is none; the caller holds NEWS."""
        return next((item for item in self._items if isinstance(item, Bar)), None)

    def has_notice(self) -> bool:
        """Return whether the first item is not a bar; the caller holds NEWS."""
        return bool(self._items) and not isinstance(self._items[0], Bar)

    def failed(self) -> bool:
        """Return whether the last item is a `Failed`, so no bar will follow it; the caller holds NEWS."""
        return bool(self._items) and isinstance(self._items[-1], Failed)
