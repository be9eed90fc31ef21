"""Deliver the closed bars of one series exactly once and in order, from the websocket or else from the REST history.

The feed always waits for the next bar only. If the websocket confirms that bar, it is delivered at once. In all other
cases (connection lost; candle missing, out of order or never confirmed; silence) the bar is requested from the REST
history shortly after its close, together with all bars that have closed since. So no fault of the websocket can lose
or repeat a bar, or delay it beyond that request. Without a websocket every bar is requested.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable

from scorenet.base.backoff import backoff_seconds

from ..bars.timeframes import to_ms
from ..bars.times import iso
from ..errors import ExchangeUnavailable
from ..exchange.candles import Candle, Values
from ..exchange.market import AsyncMarket
from ..instruments import Instrument
from .clock import ExchangeClock
from .events import (
    Bar,
    Connected,
    Item,
    LiveSettings,
    Lost,
    Notice,
    Status,
    StreamEvent,
)
from .extras import Extras
from .writer import LiveStore

__all__ = ["LiveBars"]

_log = logging.getLogger(__name__)

# A bar of the history counts as closed only this long after its end. The margin covers the error of our clock. It also
# covers the exchange, which may set the timestamp of a response a little after it read the data.
_SETTLED_MS = 300
_PAGE = 900
# Number of delivered bars that every request checks again.
_OVERLAP = 3
_SECOND_REQUEST_SECONDS = 1.0
_RESYNC = 600.0
_AHEAD = 256


class LiveBars:
    """Pass the bars that open from `first` (UTC ms) on to `deliver`, together with the feed's status."""

    def __init__(
        self,
        instrument: Instrument,
        timeframe: str,
        first: int,
        clock: ExchangeClock,
        settings: LiveSettings,
        extras: Extras,
        store: LiveStore,
        deliver: Callable[[Item], Awaitable[None]],
    ) -> None:
        self._instrument = instrument
        self._timeframe = timeframe
        self._step = to_ms(timeframe)
        self._next = first
        self._clock = clock
        self._settings = settings
        self._extras = extras
        self._store = store
        self._deliver = deliver
        self._status: Status | None = None
        self._connected = False
        self._ahead: dict[int, Candle] = {}
        self._recent: deque[tuple[int, Values]] = deque(maxlen=_OVERLAP)
        self._tries = 0
        self._due = 0
        self._prepared = 0
        self._resync_at = 0.0

    async def run(self, rest: AsyncMarket, events: "asyncio.Queue[StreamEvent]") -> None:
        """Deliver bars without end; temporary failures are retried.

        Raises:
            ExchangeBanned: the exchange refuses this address; no further request is sent.
            ExchangeRejected: the exchange will never provide these bars.
        """
        self._rest = rest
        failures = 0
        while True:
            try:
                await self._synchronise()
                await self._catch_up()
                failures = 0
                while True:
                    await self._step_once(events)
            except ExchangeUnavailable as error:
                await self.set_status(Status.DISCONNECTED, str(error))
                pause = backoff_seconds(failures, self._settings.reconnect, self._settings.reconnect_cap)
                failures += 1
                await asyncio.sleep(self._clock.seconds(pause))

    async def set_status(self, status: Status, reason: str = "") -> None:
        """Set the feed's status, and notify the consumer if it has changed."""
        if status is not self._status:
            self._status = status
            await self._deliver(Notice(status, reason))

    async def _step_once(self, events: "asyncio.Queue[StreamEvent]") -> None:
        waits = [self._clock.seconds_until(self._due)]
        middle = self._next + self._step // 2
        if self._prepared < self._next:
            waits.append(self._clock.seconds_until(middle))
        try:
            async with asyncio.timeout(min(waits)):
                event = await events.get()
        except TimeoutError:
            await self._on_time(middle)
        else:
            await self._on_event(event)

    async def _on_time(self, middle: int) -> None:
        now = self._clock.now()
        if now >= self._due:
            await self._catch_up()
        elif now >= middle and self._prepared < self._next:
            # Funding and open interest of the bar were published at its open, so they are requested before its close.
            self._prepared = self._next
            await self._extras.prepare(self._rest, self._next)
            if asyncio.get_running_loop().time() >= self._resync_at:
                await self._synchronise()

    async def _on_event(self, event: StreamEvent) -> None:
        match event:
            case Candle():
                await self._on_candle(event)
            case Connected():
                self._connected = True
                await self._catch_up()
            case Lost(reason=reason):
                _log.warning("%s %s: %s", self._instrument.symbol, self._timeframe, reason)
                self._ahead.clear()
                if self._connected:
                    self._connected = False
                    await self.set_status(Status.DISCONNECTED, reason)
                self._schedule()

    async def _on_candle(self, candle: Candle) -> None:
        if not self._clock.move_forward(candle.stamp):
            await self._synchronise()
            if not self._clock.move_forward(candle.stamp):
                _log.warning(
                    "%s: received a candle with a time in the future, %s",
                    self._instrument.symbol,
                    iso(candle.stamp),
                )
                return
        if not candle.closed or candle.start >= self._next + _AHEAD * self._step:
            return
        if candle.start < self._next:
            if self._differs(candle.start, candle.values):
                await self._recheck(candle.start)
            return
        other = self._ahead.setdefault(candle.start, candle)
        if other.values != candle.values:
            _log.warning(
                "%s: received two versions of the bar of %s", self._instrument.symbol, iso(candle.start)
            )
            del self._ahead[candle.start]
            await self._catch_up()
        await self._deliver_ahead()
        if self._ahead:
            await self._catch_up()

    async def _deliver_ahead(self) -> None:
        while (candle := self._ahead.pop(self._next, None)) is not None:
            await self._deliver_bar(candle.start, candle.values)

    async def _catch_up(self) -> None:
        """Deliver from the history all closed bars that were not delivered yet."""
        while (closed := self._closed()) > self._next:
            rows = await self._fresh(closed)
            if not rows:
                # Closed but not in the history yet: the exchange is slow, or our clock is ahead of it.
                await self._synchronise()
                self._tries += 1
                self._due = self._clock.now() + int(
                    1000 * backoff_seconds(self._tries, 0.5, 15.0, jitter=lambda: 1.0)
                )
                return
            for start, values in rows:
                if start > self._next and not await self._skip_gap(start):
                    break
                await self._deliver_bar(start, values)
        self._ahead = {start: candle for start, candle in self._ahead.items() if start >= self._next}
        await self._deliver_ahead()
        if self._connected or not self._settings.websocket:
            await self.set_status(Status.LIVE)
        self._schedule()

    def _closed(self) -> int:
        """Return the end of the last bar that is certainly closed."""
        return (self._clock.now() - _SETTLED_MS) // self._step * self._step

    async def _fresh(self, closed: int) -> list[tuple[int, Values]]:
        """Return the first bars in the history from the next one on, up to `closed`."""
        low = self._next
        while True:
            high = min(closed, low + _PAGE * self._step)
            back = _OVERLAP * self._step if low == self._next and self._recent else 0
            rows = await self._rows(low - back, high)
            for start, values in rows:
                if start < self._next:
                    self._revise(start, values)
            fresh = [row for row in rows if row[0] >= self._next]
            if fresh or high == closed:
                return fresh
            low = high

    async def _skip_gap(self, start: int) -> bool:
        """Request the bars before `start` a second time; if they do not exist, skip them and return True."""
        await asyncio.sleep(self._clock.seconds(_SECOND_REQUEST_SECONDS))
        missing = (start - self._next) // self._step
        if missing <= _PAGE and await self._rows(self._next, start):
            return False
        _log.warning(
            "%s: the exchange has no bars from %s to %s", self._instrument.symbol, iso(self._next), iso(start)
        )
        self._next = start
        return True

    async def _deliver_bar(self, start: int, values: Values) -> None:
        rate, interest = await self._extras.of(self._rest, start)
        self._next = start + self._step
        self._tries = 0
        self._recent.append((start, values))
        self._store.add_bar(start, values, self._step)
        current = self._next + self._step > self._clock.now()
        await self.set_status(Status.LIVE if current else Status.DELAYED)
        await self._deliver(Bar(start, values, rate, interest))
        self._schedule()

    def _schedule(self) -> None:
        seconds = self._settings.grace
        if not self._connected:
            seconds = self._settings.poll_delay * (1.0 + random.random())
        self._due = self._next + self._step + int(1000 * seconds)

    def _differs(self, start: int, values: Values) -> bool:
        return dict(self._recent).get(start, values) != values

    async def _recheck(self, start: int) -> None:
        """Request a delivered bar again, because the websocket has sent another version; the history decides."""
        for found, values in await self._rows(start, start + self._step):
            self._revise(found, values)

    def _revise(self, start: int, values: Values) -> None:
        """Store the history's version of a delivered bar, and warn if it differs from the delivered one."""
        if not self._differs(start, values):
            return
        _log.warning(
            "%s: the bar of %s was delivered as %s and is now %s",
            self._instrument.symbol,
            iso(start),
            dict(self._recent)[start],
            values,
        )
        for place, (stamp, _) in enumerate(self._recent):
            if stamp == start:
                self._recent[place] = (start, values)
        self._store.add_bar(start, values, self._step)

    async def _synchronise(self) -> None:
        self._clock.set(await self._rest.server_time())
        self._resync_at = asyncio.get_running_loop().time() + _RESYNC
        self._schedule()

    async def _rows(self, start: int, end: int) -> list[tuple[int, Values]]:
        """Return the closed bars of the history in [start, end); the response's timestamp decides which are closed."""
        table = await self._rest.klines(self._instrument, self._timeframe, start, end, closed_for=_SETTLED_MS)
        columns = [table[name].tolist() for name in ("open", "high", "low", "close", "volume")]
        return list(zip(table["timestamp"].tolist(), zip(*columns, strict=True), strict=True))
