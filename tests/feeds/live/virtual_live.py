"""Run the live feed of one series against the loopback's rules in virtual time: no socket, no waiting, no jitter.

The event loop's clock jumps to the next timer whenever nothing is ready, so an hour of minute bars takes a moment. The
exchange is a `LoopbackBybit` that is not started: its faults, its rules and its pushes are those of the other tests.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from feeds.bybit.exchange import EXCHANGE
from feeds.bybit.stream import BybitStream
from feeds.exchange.candles import Values
from feeds.exchange.ccxt_clients import ClientError
from feeds.exchange.failures import Evidence
from feeds.exchange.market import AsyncMarket
from feeds.exchange.retry import Retry
from feeds.instruments import Instrument
from feeds.live.announcer import Announcer
from feeds.live.bars import LiveBars
from feeds.live.charged import Charged
from feeds.live.clock import ExchangeClock
from feeds.live.events import Bar, Connected, LiveSettings, Notice, Report
from feeds.live.extras import Extras
from tests.bybit import MINUTE, LoopbackBybit, Request, market
from tests.bybit.faults import Fault, Hang, Respond
from tests.bybit.websocket import Connection

__all__ = ["BTC", "Seen", "follow", "inject", "true_bar", "virtual_exchange"]

BTC = Instrument("BTC/USDT:USDT", "BTCUSDT", "linear", 0.1, 0.001, 0.001, 5.0, 480, None, True)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer."""

    def __init__(self) -> None:
        super().__init__(selectors.SelectSelector())
        self.at = 1_000.0
        waiting = self._selector.select

        def select(timeout: float | None = None) -> Any:
            if timeout is None:
                raise RuntimeError("nothing is scheduled any more")
            self.at += max(timeout, 0.0)
            return waiting(0)

        self._selector.select = select

    def time(self) -> float:
        return self.at


class VirtualClock:
    """The exchange's true time on the loop's clock; stands in for `tests.bybit.clock.Clock`."""

    speed = 1.0

    def __init__(self, loop: VirtualLoop, start: int) -> None:
        self._loop, self._start, self._since = loop, start, loop.time()

    def now(self) -> int:
        return self._start + round(1000 * (self._loop.time() - self._since))

    def seconds_until(self, stamp: int) -> float:
        return max(0.0, (stamp - self.now()) / 1000.0)


class _Refused(ClientError):
    def __init__(self, text: str, evidence: Evidence) -> None:
        super().__init__(text)
        self.evidence = evidence


class Client:
    """ccxt's asynchronous client as far as the requests use it, on the loopback's rules."""

    def __init__(self, exchange: LoopbackBybit, latency: float) -> None:
        self._exchange, self._latency = exchange, latency

    def __getattr__(self, name: str) -> Any:
        paths = {"time": "time", "kline": "kline", "funding_history": "funding/history"}
        paths |= {"open_interest": "open-interest", "instruments_info": "instruments-info"}
        path = "/v5/market/" + paths[name.removeprefix("public_get_v5_market_")]

        async def ask(query: Any = None) -> dict[str, Any]:
            await asyncio.sleep(self._latency)
            fault = self._exchange.next_fault(path)
            if isinstance(fault, Hang):
                await asyncio.sleep(fault.seconds)
                fault = None
            if isinstance(fault, Respond):
                raise _Refused(f"HTTP {fault.status}", Evidence(status=fault.status))
            text = {name: str(value) for name, value in (query or {}).items()}
            self._exchange.log.append(Request(path, text, 200))
            answer = self._exchange._envelope(path, text, fault, None)
            if answer["retCode"]:
                raise _Refused(answer["retMsg"], Evidence(status=200, code=answer["retCode"]))
            return answer

        return ask


class Pushes(Connection):
    """The websocket's pushes, straight into the feed's inbox."""

    def __init__(self, exchange: LoopbackBybit, inbox: asyncio.Queue[Any]) -> None:
        super().__init__(exchange, "linear")
        self._inbox = inbox

    async def _send(self, frame: Any) -> None:
        for candle in BybitStream().candles(frame, BTC, "1m"):
            await self._inbox.put(candle)

    async def run(self) -> None:
        self._topics["kline.1.BTCUSDT"] = self._topic("kline.1.BTCUSDT")
        await self._inbox.put(Connected())
        await self._push()


@dataclass
class Seen:
    """What the consumer got: (true time, item), and what was stored: (kind, start, end, rows)."""

    items: list[tuple[int, Any]] = field(default_factory=list)
    stored: list[tuple[str, int, int, dict[str, np.ndarray]]] = field(default_factory=list)

    def of(self, kind: type) -> list[Any]:
        return [item for _, item in self.items if isinstance(item, kind)]

    @property
    def bars(self) -> list[Bar]:
        return self.of(Bar)

    @property
    def statuses(self) -> list[str]:
        return [notice.status.name for notice in self.of(Notice)]

    def reports(self, kind: str) -> list[Report]:
        return [report for report in self.of(Report) if report.kind == kind]

    def at(self, start: int) -> int:
        """Return the true time at which a bar was delivered."""
        return next(now for now, item in self.items if isinstance(item, Bar) and item.start == start)

    # The store.
    def add(self, kind: str, rows: dict[str, np.ndarray], start: int, end: int) -> None:
        self.stored.append((kind, start, end, rows))

    def add_bar(self, start: int, values: tuple[float, ...], step: int) -> None:
        self.stored.append(("bars", start, start + step, {"values": np.array(values)}))


def virtual_exchange(start: int, **options: Any) -> tuple[VirtualLoop, LoopbackBybit]:
    """Return a loop, and an exchange in its time."""
    loop, exchange = VirtualLoop(), LoopbackBybit(clock=start, **{"push_ms": 20_000, **options})
    exchange._loop.close()
    exchange.time = VirtualClock(loop, start)  # type: ignore[assignment]
    return loop, exchange


def follow(
    loop: VirtualLoop,
    exchange: LoopbackBybit,
    seconds: float,
    *,
    first: int,
    plan: dict[float, Any] | None = None,
    pushes: bool = True,
    funding: bool = False,
    open_interest: bool = False,
    charged: Charged | None = None,
    delivered: Mapping[int, Values] = MappingProxyType({}),
    latency: float = 0.05,
    **settings: Any,
) -> Seen:
    """Follow minute bars from `first` on for `seconds`; `plan` has functions to call after so many seconds."""
    seen = Seen()

    async def deliver(item: Any) -> None:
        seen.items.append((exchange.time.now(), item))

    async def acts() -> None:
        began = loop.time()
        for after, act in sorted((plan or {}).items(), key=lambda pair: pair[0]):
            await asyncio.sleep(began + after - loop.time())
            act()
        await asyncio.Event().wait()

    async def main() -> None:
        clock = ExchangeClock(timer=loop.time)
        announcer = Announcer(BTC.symbol, deliver)
        inbox: asyncio.Queue[Any] = asyncio.Queue()
        extras = Extras(
            BTC, "1m", clock, seen.add, announcer,
            funding=funding, open_interest=open_interest, charged=charged or Charged(first - 1),
        )  # fmt: skip
        live = LiveBars(
            BTC, "1m", first, clock, LiveSettings(websocket=pushes, **settings), extras, seen, announcer
        )
        live.remember(delivered)
        rest = AsyncMarket(EXCHANGE, requests_per_second=None, retry=Retry(attempts=2, base=0.3, cap=2.0))
        await rest.close()
        rest._client = Client(exchange, latency)
        jobs = [live.run(rest, inbox), acts()]
        if pushes:
            jobs.append(Pushes(exchange, inbox).run())
        tasks = [asyncio.ensure_future(job) for job in jobs]
        done, pending = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        for task in done:
            task.result()

    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(main())
    finally:
        loop.close()
    return seen


def true_bar(start: int) -> tuple[float, ...]:
    """Return the final values of a minute bar."""
    row = market.bars("BTCUSDT", np.array([start]), MINUTE, start + MINUTE)[0]
    return (*(float(f"{value:.4f}") for value in row[1:5]), float(f"{row[5]:.3f}"))


def inject(exchange: LoopbackBybit, fault: Fault, **where: Any) -> Any:
    """Return a function that plans a fault."""
    return lambda: exchange.inject(fault, **where)
