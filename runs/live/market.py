"""An exchange as a live run sees it: names, the exchange's clock, and one recorded `CCXTData` a symbol."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from feeds import FeedError
from feeds.ccxtdata import CCXTData
from feeds.errors import ExchangeBanned
from feeds.exchange.market import Market
from feeds.exchange.protocol import require
from feeds.exchange.rate_limit import BAN_SECONDS
from feeds.exchange.registry import DEFAULT_EXCHANGE, find_exchange
from feeds.exchange.retry import Retry
from feeds.instruments import Instrument
from feeds.live.clock import ExchangeClock
from feeds.live.replay import ReplayedData

__all__ = ["ClockKeeper", "ExchangeMarket", "ReplayedCCXTData"]

_KEEP_SECONDS = 600.0  # of the exchange's clock: a bad quartz drifts 0.1 s in them


class ClockKeeper:
    """Keep the exchange's time for days: ask for it every few minutes in a thread, as timers drift and machines sleep.

    Attributes:
        clock: the clock as it was set last.
    """

    def __init__(
        self,
        ask: Callable[[], int],
        speed: float = 1.0,
        seconds: float = _KEEP_SECONDS,
        ban: float = BAN_SECONDS,
    ) -> None:
        self.clock = ExchangeClock(speed)
        self._ask, self._pause, self._ban = ask, seconds / speed, ban
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def believe(self, stamp: int) -> None:
        """Set the clock to what the exchange answered just now."""
        # Replaced, not changed: another thread must not read a clock that is half set.
        clock = ExchangeClock(self.clock.speed)
        clock.set(stamp)
        self.clock = clock

    def start(self) -> None:
        """Begin to ask; does nothing when it has begun."""
        if self._thread is None:
            self._stopping = threading.Event()
            self._thread = threading.Thread(target=self._run, name="exchange's clock", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread, without waiting for an answer that it may be waiting for."""
        self._stopping.set()
        self._thread = None

    def _run(self) -> None:
        pause, stopping = self._pause, self._stopping
        while not stopping.wait(pause):
            pause = self._pause
            try:
                self.believe(self._ask())
            except ExchangeBanned:
                pause = self._ban
            except FeedError:
                pass  # the timer goes on meanwhile


class ReplayedCCXTData(ReplayedData, CCXTData):  # type: ignore[misc]
    """`CCXTData` whose bars a live run records and replays, with the exchange's clock."""

    keeper: ClockKeeper

    def exchange_now(self) -> int | None:
        """Return the exchange's time in UTC ms."""
        return self.keeper.clock.now()

    def start(self) -> None:
        """Get the history, then begin to listen."""
        super().start()
        self.keeper.start()

    def stop(self) -> None:
        """End the threads."""
        self.keeper.stop()
        super().stop()


@dataclass(kw_only=True)
class ExchangeMarket:
    """Bring closed bars of an exchange, with the optional columns named by `funding` and `open_interest`.

    `base_url` replaces the exchange's host, `speed` is how many times as fast as the machine's its clock runs (1 but
    for a loopback exchange), `sync` how many seconds a bar waits for those of the other symbols.

    Raises:
        BadSource: the exchange is unknown or has no live bars.
    """

    exchange: str = DEFAULT_EXCHANGE
    data_dir: str = "data"
    base_url: str | None = None
    funding: bool = True
    open_interest: bool = False
    speed: float = 1.0
    sync: float = 10.0
    progress: bool = True
    # The feeds wait for each other by themselves.
    grace: float = 0.0
    keeper: ClockKeeper = field(init=False)

    def __post_init__(self) -> None:
        self._exchange = find_exchange(self.exchange)
        require(self._exchange, "stream")
        self.keeper = ClockKeeper(self._ask_time, self.speed)
        self._instruments: dict[str, Instrument] = {}

    def now(self) -> int:
        """Return the exchange's time in UTC ms, asked for now."""
        with Market(self._exchange, base_url=self.base_url) as client:
            now = client.server_time()
        self.keeper.believe(now)
        return self.keeper.clock.now()

    def _ask_time(self) -> int:
        with Market(self._exchange, base_url=self.base_url, retry=Retry(attempts=1)) as client:
            return client.server_time()

    def resolve(self, symbol: str) -> str:
        """Return the full name of a symbol."""
        return self.instrument(symbol).symbol

    def instrument(self, symbol: str) -> Instrument:
        """Return the rules of a symbol, asked for once.

        Raises:
            BadSymbol: there is none; says which names are close.
        """
        if symbol not in self._instruments:
            with Market(self._exchange, base_url=self.base_url) as client:
                found = client.instrument(symbol)
            self._instruments |= {symbol: found, found.symbol: found}
        return self._instruments[symbol]

    def columns(self) -> tuple[str, ...]:
        """Return the optional columns of the bars."""
        asked = {"funding_rate": self.funding, "open_interest": self.open_interest}
        return tuple(name for name, wanted in asked.items() if wanted)

    def data(self, symbol: str, timeframe: str, since: int) -> ReplayedData:
        """Return a data of the closed bars that open at `since` (UTC ms) or later."""
        make: Any = ReplayedCCXTData
        data: Any = make(
            dataname=symbol,
            exchange=self.exchange,
            timeframe=timeframe,
            since=since,
            data_dir=self.data_dir,
            base_url=self.base_url,
            funding=self.funding,
            open_interest=self.open_interest,
            speed=self.speed,
            sync=self.sync,
            progress=self.progress,
        )
        data.keeper = self.keeper
        replayed: ReplayedData = data
        return replayed
