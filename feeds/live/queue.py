"""From the thread of the network to the thread of Backtrader: a bounded queue, waited for without spinning."""

import asyncio
import threading
from collections import deque

from .events import Bar, Failed, Item, Notice

__all__ = ["NEWS", "LiveQueue"]

NEWS = threading.Condition()
"""Notified whenever any queue gets something: whoever waits for several feeds waits for it. Guards all queues."""


class LiveQueue:
    """Hold at most `size` items; `put` belongs to an event loop, everything else to the consumer."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: deque[Item] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._room = asyncio.Event()

    async def put(self, item: Item) -> None:
        """Add an item, once there is room for it."""
        self._loop = asyncio.get_running_loop()
        while len(self._items) >= self._size:
            self._room.clear()
            if len(self._items) >= self._size:
                await self._room.wait()
        self.fail_or_add(item)

    def fail_or_add(self, item: Item) -> None:
        """Add an item whether there is room or not."""
        with NEWS:
            self._items.append(item)
            NEWS.notify_all()

    def pop(self) -> Item | None:
        """Take the first item, None when there is none."""
        with NEWS:
            item = self._items.popleft() if self._items else None
        loop = self._loop
        if item is not None and loop is not None and len(self._items) == self._size - 1:
            try:
                loop.call_soon_threadsafe(self._room.set)
            except RuntimeError:
                self._loop = None  # the loop has ended: nobody waits for room
        return item

    def pop_notice(self) -> Notice | Failed | None:
        """Take the first item if it is no bar."""
        with NEWS:
            if not self._items or isinstance(self._items[0], Bar):
                return None
        item = self.pop()
        return item if isinstance(item, Notice | Failed) else None

    def next_bar(self) -> Bar | None:
        """Return the first bar without taking it, None when there is none; call it holding NEWS."""
        return next((item for item in self._items if isinstance(item, Bar)), None)

    def has_notice(self) -> bool:
        """Tell whether the first item is no bar; call it holding NEWS."""
        return bool(self._items) and not isinstance(self._items[0], Bar)

    def failed(self) -> bool:
        """Tell whether the feed's end is in the queue; call it holding NEWS."""
        return bool(self._items) and isinstance(self._items[-1], Failed)
