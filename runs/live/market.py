"""The market of a live run: symbol names, the exchange's clock, and one recorded `CCXTData` per symbol."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from feeds import FeedError
from feeds.ccxtdata import CCXTData
from feeds.errors import BadSymbol, ExchangeBanned, ExchangeUnavailable
from feeds.exchange.market import Market
from feeds.exchange.order_types import UnreadableAnswer
from feeds.exchange.protocol import require
from feeds.exchange.rate_limit import BAN_SECONDS
from feeds.exchange.registry import DEFAULT_EXCHANGE, find_exchange
from feeds.exchange.retry import Retry
from feeds.instruments import Instrument
from feeds.live.clock import ExchangeClock
from feeds.live.replay import ReplayedData
from feeds.store.rules import find_instrument
from scorenet.base.waits import wait

__all__ = ["ClockKeeper", "ExchangeMarket", "LiveMarket", "ReplayedCCXTData", "until_answered"]

_KEEP_SECONDS = 600.0  # between two requests: a bad quartz drifts 0.1 s in this time
_ANSWERS = 3  # at most, after the first one, until two agree
_PLAUSIBLE_MS = 1_000  # difference between two clocks that needs no second answer
_FIRST_PAUSE, _LONGEST_PAUSE = 15.0, 300.0  # seconds between two attempts to reach the exchange at a restart


class LiveMarket(Protocol):
    """A source of live bars. The first bar of a close waits `grace` seconds for the bars of other symbols.

    `speed` is the rate of its clock relative to the machine's.
    """

    grace: float
    exchange: str
    speed: float

    @property
    def unlisted(self) -> Mapping[str, Exception]:
        """Return, by symbol, the exchange's answer about a market that it lists no more."""
        ...

    def now(self) -> int:
        """Return the exchange's time in UTC ms."""
        ...

    def resolve(self, symbol: str) -> str:
        """Return the full name of a symbol."""
        ...

    def columns(self) -> tuple[str, ...]:
        """Return the names of the optional columns of its bars."""
        ...

    def data(self, symbol: str, timeframe: str, since: int) -> ReplayedData:
        """Return a data feed, not yet started, of closed bars whose open time is `since` (UTC ms) or later."""
        ...


def until_answered(
    ask: Callable[[], object], stop: Callable[[], bool], say: Callable[[str], None], speed: float
) -> bool:
    """Call `ask` until the exchange answers it, or `stop()` is true; return whether it answered.

    `say` gets the reason of each failure. `speed` is the rate of the exchange's clock relative to the machine's.

    Raises:
        ExchangeRejected, UnreadableAnswer: the exchange answers, but not so that waiting could help.
    """
    pause = _FIRST_PAUSE / speed
    while not stop():
        try:
            ask()
            return True
        except UnreadableAnswer:
            raise
        except (ExchangeUnavailable, ExchangeBanned) as error:
            say(
                f"{error}; the run of this folder goes on once the exchange answers, asked again in {pause:.3g} s"
            )
        wait(pause, stop)
        pause = min(2.0 * pause, _LONGEST_PAUSE / speed)
    return False


class ClockKeeper:
    """Keep a clock synchronised with the exchange: a thread asks for the time every few minutes.

    A clock that is set once would be wrong after days: timers drift, and machines sleep.

    Attributes:
        clock: the clock as last set.
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

    def set_time(self, stamp: int) -> None:
        """Set the clock to the exchange's time `stamp` (UTC ms), received just now."""
        # A new object: another thread must not read a clock between two assignments.
        clock = ExchangeClock(self.clock.speed)
        clock.set(stamp)
        self.clock = clock

    def start(self) -> None:
        """Start the thread, unless it is running."""
        if self._thread is None:
            self._stopping = threading.Event()
            self._thread = threading.Thread(target=self._run, name="exchange's clock", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop the thread without waiting for a request in progress."""
        self._stopping.set()
        self._thread = None

    def _run(self) -> None:
        pause, stopping = self._pause, self._stopping
        while not stopping.wait(pause):
            pause = self._pause
            try:
                stamp = self._ask()
                if abs(stamp - self.clock.now()) > _PLAUSIBLE_MS * self.clock.speed:
                    # One wrong answer would let late bars count as timely until the next one.
                    stamp = self._ask()
                self.set_time(stamp)
            except ExchangeBanned:
                pause = self._ban
            except FeedError:
                pass  # the clock keeps running from its last setting


class ReplayedCCXTData(ReplayedData, CCXTData):  # type: ignore[misc]
    """A `CCXTData` whose bars a live run records and replays, with the exchange's clock."""

    keeper: ClockKeeper

    def exchange_now(self) -> int | None:
        """Return the exchange's time in UTC ms."""
        return self.keeper.clock.now()

    def start(self) -> None:
        """Load the history, then start the clock's thread."""
        super().start()
        self.keeper.start()

    def stop(self) -> None:
        """Stop the threads."""
        self.keeper.stop()
        super().stop()


@dataclass(kw_only=True)
class ExchangeMarket:
    """Deliver closed bars of an exchange; `funding` and `open_interest` add these columns.

    `base_url` replaces the exchange's host. `speed` is the rate of its clock relative to the machine's (1, except
    for a loopback exchange). A bar waits at most `sync` seconds for the bars of the other symbols.

    Attributes:
        unlisted: the exchange's answer by symbol, if it no longer lists a market that the store has rules of.

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
    # The feeds themselves wait for each other.
    grace: float = 0.0
    keeper: ClockKeeper = field(init=False)
    unlisted: dict[str, Exception] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._exchange = find_exchange(self.exchange)
        require(self._exchange, "stream")
        self.keeper = ClockKeeper(self._ask_time, self.speed)
        self._instruments: dict[str, Instrument] = {}

    def now(self) -> int:
        """Request and return the exchange's time, UTC ms; two answers in a row must agree.

        With one that is old, late bars would count as timely, and recorded ones would lie in the future.
        """
        with Market(self._exchange, base_url=self.base_url) as client:
            self.keeper.set_time(client.server_time())
            for _ in range(_ANSWERS):
                stamp = client.server_time()
                agrees = abs(stamp - self.keeper.clock.now()) <= _PLAUSIBLE_MS * self.speed
                self.keeper.set_time(stamp)
                if agrees:
                    break
        return self.keeper.clock.now()

    def wait_for_answer(self, stop: Callable[[], bool], say: Callable[[str], None]) -> None:
        """Wait until the exchange answers, or `stop()` is true; `say` gets the reason of each attempt that fails."""
        until_answered(self.now, stop, say, self.speed)

    def _ask_time(self) -> int:
        with Market(self._exchange, base_url=self.base_url, retry=Retry(attempts=1)) as client:
            return client.server_time()

    def resolve(self, symbol: str) -> str:
        """Return the full name of a symbol."""
        return self.instrument(symbol).symbol

    def instrument(self, symbol: str) -> Instrument:
        """Return the trading rules of a symbol; they are requested once.

        Those of a market that is `unlisted` are the stored ones.

        Raises:
            BadSymbol: the exchange has no such symbol, nor has the store; the message names similar ones.
        """
        if symbol not in self._instruments:
            try:
                with Market(self._exchange, base_url=self.base_url) as client:
                    found = client.instrument(symbol)
            except BadSymbol as error:
                stored = find_instrument(self.data_dir, self._exchange.name, symbol)
                if stored is None:
                    raise
                found = stored
                self.unlisted[found.symbol] = error
            self._instruments |= {symbol: found, found.symbol: found}
        return self._instruments[symbol]

    def columns(self) -> tuple[str, ...]:
        """Return the optional columns of the bars."""
        asked = {"funding_rate": self.funding, "open_interest": self.open_interest}
        return tuple(name for name, wanted in asked.items() if wanted)

    def data(self, symbol: str, timeframe: str, since: int) -> ReplayedData:
        """Return a data feed of closed bars whose open time is `since` (UTC ms) or later."""
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
        if symbol in self.unlisted:
            data.unlisted = self.instrument(symbol)
        replayed: ReplayedData = data
        return replayed
