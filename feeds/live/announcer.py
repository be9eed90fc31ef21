"""Tell the consumer of a feed what happens: its status when it changes, and reports for the record of the run."""

import logging
from collections.abc import Awaitable, Callable

from .events import Bar, Item, Notice, Report, Status

__all__ = ["Announcer"]

_log = logging.getLogger(__name__)


class Announcer:
    """Pass on bars, statuses and reports of one series to `deliver`; `symbol` begins every warning."""

    def __init__(self, symbol: str, deliver: Callable[[Item], Awaitable[None]]) -> None:
        self._symbol, self._deliver = symbol, deliver
        self._shown: tuple[Status, bool] | None = None

    async def bar(self, bar: Bar) -> None:
        """Pass on a bar."""
        await self._deliver(bar)

    async def status(self, status: Status, reason: str = "", *, delisted: bool = False) -> None:
        """Pass on the feed's status if it has changed."""
        if (status, delisted) != self._shown:
            self._shown = (status, delisted)
            await self._deliver(Notice(status, reason, delisted))

    async def report(self, kind: str, text: str, **facts: object) -> None:
        """Log a warning and pass it on as a report."""
        self.warn(text)
        await self._deliver(Report(kind, text, facts))

    def warn(self, text: str) -> None:
        """Log a warning that needs no record."""
        _log.warning("%s: %s", self._symbol, text)
