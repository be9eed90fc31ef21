"""Live bars of one series from a background thread, through a queue."""

import asyncio
import logging
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from scorenet.base.backoff import backoff_seconds

from ..errors import ExchangeBanned, ExchangeError
from ..exchange.access import Access
from ..exchange.candles import Values
from ..exchange.market import AsyncMarket
from ..exchange.rate_limit import shared_limiter
from ..exchange.registry import DEFAULT_EXCHANGE, find_exchange
from ..exchange.retry import Retry
from ..instruments import Instrument
from .announcer import Announcer
from .bars import LiveBars
from .charged import Charged
from .clock import ExchangeClock
from .events import Failed, LiveSettings, Status, StreamEvent
from .extras import Extras
from .queue import LiveQueue
from .stream import KlineStream
from .writer import LiveStore

__all__ = ["LiveSource", "LiveThread"]

_log = logging.getLogger(__name__)

_STOP_SECONDS = 30.0
_EVENTS = 1024


@dataclass(frozen=True, kw_only=True)
class LiveSource:
    """The series to follow: bars that open from `first` (UTC ms) on; `charged`: what the bars before them charged.

    `delivered` are bars before `first` that have not been compared with the history, by their open (UTC ms).
    `speed` is the speed of the exchange's clock relative to the machine's: 1, except for a loopback exchange.
    """

    instrument: Instrument
    timeframe: str
    first: int
    charged: Charged
    data_dir: Path
    base_url: str | None = None
    funding: bool = True
    open_interest: bool = True
    speed: float = 1.0
    settings: LiveSettings = field(default_factory=LiveSettings)
    exchange: str = DEFAULT_EXCHANGE
    delivered: Mapping[int, Values] = field(default_factory=dict)


class LiveThread:
    """Run a live source until `stop`; bars, notices and a final error arrive in `queue`."""

    def __init__(self, source: LiveSource, size: int) -> None:
        self.queue = LiveQueue(size)
        self._source = source
        self._running = threading.Event()
        name = f"live {source.instrument.symbol} {source.timeframe}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()
        self._running.wait()

    def stop(self) -> None:
        """Stop the thread; it first closes its connections and stores all received rows."""
        if not self._thread.is_alive():
            return
        with suppress(RuntimeError):  # the loop is already closing
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(_STOP_SECONDS)
        if self._thread.is_alive():
            _log.error("%s did not stop in time and is abandoned", self._thread.name)

    def _run(self) -> None:
        try:
            asyncio.run(self._until_stopped())
        except Exception as error:  # every error must reach the trading thread
            self.queue.add_now(Failed(error))

    async def _until_stopped(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self._running.set()
        work = asyncio.create_task(_follow(self._source, self.queue))
        stop = asyncio.create_task(self._stopping.wait())
        await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
        for task in (work, stop):
            task.cancel()
        ended, _ = await asyncio.gather(work, stop, return_exceptions=True)
        if isinstance(ended, Exception):
            raise ended


async def _follow(source: LiveSource, queue: LiveQueue) -> None:
    """Deliver bars until cancelled; after any failure of the exchange, pause and go on."""
    announcer = Announcer(source.instrument.symbol, queue.put)
    clock = ExchangeClock(source.speed)
    store = LiveStore(source.data_dir, source.exchange, source.instrument.symbol, source.timeframe)
    extras = Extras(
        source.instrument,
        source.timeframe,
        clock,
        store.add,
        announcer,
        funding=source.funding,
        open_interest=source.open_interest,
        charged=source.charged,
    )
    bars = LiveBars(
        source.instrument, source.timeframe, source.first, clock, source.settings, extras, store, announcer
    )
    bars.remember(source.delivered)
    failures = 0
    try:
        while True:
            try:
                await _connected(source, clock, bars, store)
            except ExchangeError as error:
                await announcer.status(Status.DISCONNECTED, str(error))
                banned = isinstance(error, ExchangeBanned)
                failures = 0 if banned else failures + 1
                pause = backoff_seconds(failures, source.settings.reconnect, source.settings.reconnect_cap)
                await asyncio.sleep(source.settings.ban if banned else clock.seconds(pause))
    finally:
        await store.flush()


async def _connected(source: LiveSource, clock: ExchangeClock, bars: LiveBars, store: LiveStore) -> None:
    # Few, quick attempts: LiveBars retries on its own and reports DISCONNECTED meanwhile.
    retry = Retry(attempts=3, base=0.3 / source.speed, cap=2.0 / source.speed)
    events: asyncio.Queue[StreamEvent] = asyncio.Queue(_EVENTS)
    exchange = find_exchange(source.exchange)
    limiter = shared_limiter(
        f"{source.exchange} {source.base_url or ''}",
        exchange.capabilities.requests_per_second,
        source.settings.ban,
    )
    async with AsyncMarket(
        exchange, base_url=source.base_url, timeout=source.settings.request, retry=retry, limiter=limiter
    ) as rest:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(store.run())
                tasks.create_task(bars.run(rest, events))
                if source.settings.websocket:
                    access = Access(base_url=source.base_url, timeout=source.settings.request)
                    stream = KlineStream(
                        exchange,
                        access,
                        source.instrument,
                        source.timeframe,
                        clock,
                        source.settings,
                        events.put,
                    )
                    tasks.create_task(stream.run())
        except BaseExceptionGroup as group:
            raise _first(group) from group


def _first(error: BaseException) -> BaseException:
    """Return the error of the task that failed; the others were only cancelled."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
