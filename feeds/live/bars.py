"""Deliver the closed bars of one series exactly once and in order, from the websocket or else from the REST history.

The feed always waits for the next bar only. If the websocket confirms that bar, it is delivered at once. In all other
cases (connection lost; candle missing, out of order or never confirmed; silence) the bar is requested from the REST
history shortly after its close, together with all bars that have closed since. So no fault of the websocket can lose
or repeat a bar, or delay it beyond that request. Without a websocket every bar is requested.

Two things may delay a bar for a limited time: a missing bar before it, and contradictions between the exchange's stamps
(feeds.live.evidence).
"""

import asyncio
import random
from collections.abc import Mapping

from scorenet.base.backoff import backoff_seconds

from ..bars.timeframes import to_ms
from ..bars.times import iso
from ..errors import ExchangeRejected, ExchangeUnavailable
from ..exchange.candles import Candle, Values
from ..exchange.market import AsyncMarket
from ..instruments import Instrument
from .announcer import Announcer
from .clock import ExchangeClock
from .events import Bar, Connected, LiveSettings, Lost, Status, StreamEvent
from .evidence import BarHistory, Doubt, Holes
from .evidence.history import PAGE, SETTLED_MS
from .evidence.holes import ends_of_holes
from .evidence.revisions import Revisions
from .extras import Extras
from .stamps import Stamps
from .writer import LiveStore

__all__ = ["LiveBars"]

# Pauses between two requests for a bar that is missing before others (s).
_FIRST_HOLE_PAUSE, _HOLE_PAUSE = 1.0, 5.0
_AHEAD = 256


class LiveBars:
    """Pass the bars that open from `first` (UTC ms) on to `announcer`, together with the feed's status and reports."""

    def __init__(
        self,
        instrument: Instrument,
        timeframe: str,
        first: int,
        clock: ExchangeClock,
        settings: LiveSettings,
        extras: Extras,
        store: LiveStore,
        announcer: Announcer,
    ) -> None:
        self._instrument = instrument
        self._timeframe = timeframe
        self._step = to_ms(timeframe)
        self._next = first
        self._clock = clock
        self._settings = settings
        self._extras = extras
        self._store = store
        self._announcer = announcer
        self._connected = False
        self._ahead: dict[int, Candle] = {}
        self._holes = Holes(int(1000 * settings.hole))
        self._doubt = Doubt(self._step)
        self._stamps = Stamps(clock, self._doubt, self._announcer, self._step, settings.slack)
        self._revisions = Revisions(clock, store, announcer, self._step, self._stamps.contradict_delivered)
        self._tries = 0
        self._due = 0
        self._prepared = 0

    def remember(self, delivered: Mapping[int, Values]) -> None:
        """Compare bars that an earlier session has delivered, by their open (UTC ms), with the history."""
        for start, values in sorted(delivered.items()):
            self._revisions.add(start, values, pushed=True)

    async def run(self, rest: AsyncMarket, events: "asyncio.Queue[StreamEvent]") -> None:
        """Deliver bars without end; after any failed request it waits and goes on.

        Raises:
            ExchangeBanned: the exchange refuses this address; no further request is sent.
        """
        self._rest = rest
        self._history = BarHistory(rest, self._instrument, self._timeframe)
        failures = 0
        while True:
            try:
                await self._stamps.synchronise(self._rest)
                await self._catch_up()
                failures = 0
                while True:
                    await self._step_once(events)
            except (ExchangeUnavailable, ExchangeRejected) as error:
                pause = backoff_seconds(failures, self._settings.reconnect, self._settings.reconnect_cap)
                failures += 1
                if isinstance(error, ExchangeRejected) and await self._is_delisted():
                    pause = max(pause, self._settings.delisted)
                else:
                    await self._announcer.status(Status.DISCONNECTED, str(error))
                await asyncio.sleep(self._clock.seconds(pause))

    async def _step_once(self, events: "asyncio.Queue[StreamEvent]") -> None:
        middle = self._next + self._step // 2
        times = [self._due]
        if self._prepared < self._next:
            times.append(middle)
        if self._revisions.delivered.unread:
            times.append(self._revisions.due)
        try:
            async with asyncio.timeout(self._clock.seconds_until(min(times))):
                event = await events.get()
        except TimeoutError:
            await self._on_time(middle)
        else:
            await self._on_event(event)

    async def _on_time(self, middle: int) -> None:
        now = self._clock.now()
        if now >= self._due:
            await self._catch_up()
        elif self._revisions.delivered.unread and now >= self._revisions.due:
            await self._revisions.compare(self._history)
        elif now >= middle and self._prepared < self._next:
            # Funding and open interest of the bar were published at its open, so they are requested before its close.
            self._prepared = self._next
            await self._extras.prepare(self._rest, self._next)
            await self._ask_left_out()
            if await self._stamps.synchronise_if_due(self._rest):
                self._schedule()

    async def _on_event(self, event: StreamEvent) -> None:
        match event:
            case Candle():
                await self._on_candle(event)
            case Connected():
                self._connected = True
                await self._catch_up()
            case Lost(reason=reason):
                self._announcer.warn(f"{self._timeframe}: {reason}")
                self._ahead.clear()
                if self._connected:
                    self._connected = False
                    await self._announcer.status(Status.DISCONNECTED, reason)
                self._schedule()

    async def _on_candle(self, candle: Candle) -> None:
        if not await self._stamps.accepts(candle, self._rest):
            return
        if candle.closed:
            self._revisions.delivered.compare(candle.start, candle.values)
        await self._revisions.recheck(self._history)
        if not candle.closed or not self._next <= candle.start < self._next + _AHEAD * self._step:
            return
        other = self._ahead.setdefault(candle.start, candle)
        if other.values != candle.values:
            self._announcer.warn(f"received two versions of the bar of {iso(candle.start)}")
            del self._ahead[candle.start]
            await self._catch_up()
        await self._deliver_ahead()
        if self._ahead:
            await self._catch_up()

    async def _deliver_ahead(self) -> None:
        while (candle := self._ahead.get(self._next)) is not None:
            if self._doubt.on and not self._is_confirmed(candle.start, candle.values):
                return
            await self._deliver_bar(candle.start, candle.values, pushed=True)

    async def _catch_up(self) -> None:
        """Deliver from the history all closed bars that were not delivered yet."""
        while (closed := self._closed()) > self._next:
            again = len(self._revisions.delivered)
            before, rows = await self._history.from_next(self._next, closed, again=again)
            for start, values in before:
                await self._revisions.revise(start, values)
            if not rows:
                await self._wait_for_history()
                return
            self._holes.see(ends_of_holes(rows, self._next, self._step), self._clock.now())
            confirmed = [self._is_confirmed(*row) for row in rows] if self._doubt.on else [True] * len(rows)
            for (start, values), certain in zip(rows, confirmed, strict=True):
                if start > self._next and not await self._passes_hole(start):
                    return
                if start != self._next or not certain:
                    break
                await self._deliver_bar(start, values)
            if not all(confirmed):
                await self._announcer.status(Status.DELAYED, f"reads bars twice: {self._doubt.reason}")
                return
        self._ahead = {start: candle for start, candle in self._ahead.items() if start >= self._next}
        await self._deliver_ahead()
        if self._connected or not self._settings.websocket:
            await self._announcer.status(Status.LIVE)
        self._schedule()

    def _closed(self) -> int:
        """Return the end of the last bar that is certainly closed."""
        return (self._clock.now() - SETTLED_MS) // self._step * self._step

    async def _wait_for_history(self) -> None:
        """Schedule another request: a bar has closed, but the history does not have it yet, or our clock is ahead."""
        await self._stamps.synchronise(self._rest)
        self._tries += 1
        pause = backoff_seconds(self._tries, 0.5, 15.0, jitter=lambda: 1.0)
        overdue = (self._clock.now() - self._next - self._step) / 1000.0
        if overdue > self._settings.overdue:
            if await self._is_delisted():
                pause = self._settings.delisted
            else:
                await self._announcer.status(
                    Status.DISCONNECTED, f"the history has no bar of {iso(self._next)} and none after it"
                )
        self._due = self._clock.now() + int(1000 * pause)

    async def _is_delisted(self) -> bool:
        """Return whether the exchange no longer lists the market, and report it; False if it does not say so."""
        try:
            if await self._rest.lists(self._instrument):
                return False
        except (ExchangeUnavailable, ExchangeRejected):
            return False
        text = f"{self._rest.name} no longer lists {self._instrument.symbol}: it was delisted or renamed"
        await self._announcer.status(Status.DISCONNECTED, text, delisted=True)
        return True

    async def _passes_hole(self, start: int) -> bool:
        """Return whether the bars before `start` are left out now; until then another request is scheduled."""
        now, span = self._clock.now(), (self._next, start)
        left = self._holes.wait_left(start, now)
        if left:
            waited = 1000 * self._settings.hole - left
            pause = _FIRST_HOLE_PAUSE if waited < 1000 * _HOLE_PAUSE else _HOLE_PAUSE
            self._due = now + min(left, int(1000 * pause))
            await self._announcer.status(
                Status.DELAYED, f"waits for bars from {iso(span[0])} to {iso(start)}, which the history lacks"
            )
            return False
        self._holes.leave_out(span, now)
        self._next = start
        await self._announcer.report(
            "hole",
            f"the exchange has no bars from {iso(span[0])} to {iso(start)}; they are left out",
            start=span[0],
            end=start,
        )
        return True

    async def _ask_left_out(self) -> None:
        """Ask again for bars that were left out; they correct the store, but the strategy has passed them."""
        span = self._holes.due(self._clock.now())
        if span is None:
            return
        rows = await self._history.rows(span[0], min(span[1], span[0] + PAGE * self._step))
        self._holes.found(span, ((start, start + self._step) for start, _ in rows))
        for start, values in rows:
            self._store.add_bar(start, values, self._step)
            await self._announcer.report(
                "filled",
                f"the bar of {iso(start)}, which was left out, has come; it is stored and not delivered",
                start=start,
            )

    def _is_confirmed(self, start: int, values: Values) -> bool:
        """Return whether a bar may be delivered in spite of doubts; if not, its next reading is scheduled."""
        again = self._doubt.confirms(start, values, self._clock.now())
        if again and start == self._next:
            self._due = again
        return not again

    async def _deliver_bar(self, start: int, values: Values, *, pushed: bool = False) -> None:
        rate, interest = await self._extras.of(self._rest, start)
        self._ahead.pop(start, None)
        self._next = start + self._step
        self._tries = 0
        self._revisions.add(start, values, pushed=pushed)
        self._store.add_bar(start, values, self._step)
        current = self._next + self._step > self._clock.now()
        await self._announcer.status(Status.LIVE if current else Status.DELAYED)
        if self._doubt.delivered(start):
            await self._announcer.report("trust", "the exchange's stamps agree again: trades go on")
        await self._announcer.bar(Bar(start, values, rate, interest, self._doubt.on))
        self._schedule()

    def _schedule(self) -> None:
        seconds = self._settings.grace
        if not self._connected:
            seconds = self._settings.poll_delay * (1.0 + random.random())
        self._due = self._next + self._step + int(1000 * seconds)
