"""The public websocket, /v5/public/{linear,inverse,spot}: subscriptions, pings and candles by the exchange's clock.

A candle is pushed when it is subscribed, every `push_ms` of the exchange's time while it is open (confirm false), and
once when it has closed (confirm true). When the clock jumps, every candle that closed meanwhile is pushed, in order.
Its numbers are those of the kline endpoint.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import struct
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiohttp import WSMsgType, web

from tests.bybit import faults
from tests.bybit.clock import Clock
from tests.bybit.faults import Fault
from tests.bybit.rules import INTERVALS, Exchange, Refused, kline

__all__ = ["CATEGORIES", "Connection", "reset"]

CATEGORIES = ("linear", "inverse", "spot")
_IDLE_SECONDS = 600.0
_FIELDS = ("start", "open", "high", "low", "close", "volume", "turnover")
_numbers = itertools.count(1)


class PushingExchange(Exchange, Protocol):
    """The state that pushes read."""

    time: Clock
    push_ms: int
    ahead_ms: int
    confirm_early_ms: int

    def next_fault(self, *points: str) -> Fault | None: ...


@dataclass
class _Topic:
    name: str
    symbol: str
    interval: str
    step: int
    until: int
    """Closings up to here have been pushed."""
    pushed: int = field(default=0)
    """When the open candle was pushed last."""


class _Ended(Exception):
    """The connection is over."""


def reset(request: web.Request) -> None:
    """Cut the connection of a request with a TCP reset."""
    if request.transport is not None:
        linger = struct.pack("ii", 1, 0)
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        request.transport.abort()


class Connection:
    """Serve one client until either side ends it; `wake` it when the clock was set."""

    def __init__(self, exchange: PushingExchange, category: str) -> None:
        self._exchange = exchange
        self._category = category
        self._identity = f"loopback-{next(_numbers)}"
        self._topics: dict[str, _Topic] = {}
        self._delayed: list[tuple[int, dict[str, Any]]] = []
        self._silence: faults.Silence | None = None
        self._wake = asyncio.Event()
        self._socket = web.WebSocketResponse()

    def wake(self) -> None:
        """Check the clock again; must be called in the server's thread."""
        self._wake.set()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer and push until the connection ends."""
        self._request = request
        await self._socket.prepare(request)
        tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._push())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception) and not isinstance(end, _Ended | ConnectionError | TimeoutError):
                raise end
        return self._socket

    async def _listen(self) -> None:
        while True:
            message = await self._socket.receive(timeout=_IDLE_SECONDS)
            if message.type is not WSMsgType.TEXT:
                raise _Ended
            request = json.loads(message.data)
            match request.get("op"):
                case "ping":
                    if self._silence is None or self._silence.pongs:
                        await self._send(self._answer(request, "pong"))
                case "subscribe":
                    await self._subscribe(request)
                case "unsubscribe":
                    for name in request.get("args", []):
                        self._topics.pop(name, None)
                    await self._send(self._answer(request, ""))
                case other:
                    await self._send(self._answer(request, f"error:invalid op {other!r}", success=False))

    def _answer(self, request: dict[str, Any], message: str, *, success: bool = True) -> dict[str, Any]:
        answer = {"success": success, "ret_msg": message, "conn_id": self._identity, "op": request.get("op")}
        return answer | {"req_id": str(request["req_id"])} if "req_id" in request else answer

    async def _subscribe(self, request: dict[str, Any]) -> None:
        fault = self._exchange.next_fault("ws:subscribe")
        try:
            if isinstance(fault, faults.RetCode):
                raise Refused(fault.code, fault.message)
            topics = [self._topic(name) for name in request.get("args", [])]
        except Refused as refused:
            await self._send(self._answer(request, f"error:{refused.message}", success=False))
            return
        await self._deliver(self._answer(request, ""), fault)
        self._topics.update((topic.name, topic) for topic in topics)
        self._wake.set()

    def _topic(self, name: str) -> _Topic:
        kind, _, rest = name.partition(".")
        interval, _, symbol = rest.partition(".")
        known = any(x.symbol == symbol and x.category == self._category for x in self._exchange.listings)
        if kind != "kline" or interval not in INTERVALS or not known:
            raise Refused(10001, f"handler not found,topic:{name}")
        return _Topic(name, symbol, interval, INTERVALS[interval], self._exchange.now())

    async def _push(self) -> None:
        while True:
            self._wake.clear()
            for topic in list(self._topics.values()):
                await self._push_due(topic)
            now = self._exchange.now()
            for late in [entry for entry in self._delayed if entry[0] <= now]:
                self._delayed.remove(late)
                await self._send(late[1])
            wait = self._exchange.time.seconds_until(self._next_stamp(now)) if self._topics else None
            try:
                # The limit is needed because the clock runs on during a slow push.
                async with asyncio.timeout(None if wait is None else max(wait, 0.0005)):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _next_stamp(self, now: int) -> int:
        early = self._exchange.confirm_early_ms
        stamps = [(topic.until // topic.step + 1) * topic.step - early for topic in self._topics.values()]
        stamps += [topic.pushed + self._exchange.push_ms for topic in self._topics.values()]
        return min([*stamps, *(due for due, _ in self._delayed)])

    async def _push_due(self, topic: _Topic) -> None:
        now = self._exchange.now()
        while (closing := (topic.until // topic.step + 1) * topic.step) <= (
            now + self._exchange.confirm_early_ms
        ):
            topic.until = closing
            await self._push_candle(topic, closing - topic.step, closed=True)
        topic.until = max(topic.until, now)
        if now - topic.pushed >= self._exchange.push_ms:
            topic.pushed = now
            await self._push_candle(topic, now // topic.step * topic.step, closed=False)

    async def _push_candle(self, topic: _Topic, start: int, *, closed: bool) -> None:
        if not any(x.symbol == topic.symbol for x in self._exchange.listings):
            return  # delisted
        query = {"category": self._category, "symbol": topic.symbol, "interval": topic.interval}
        rows = kline(self._exchange, query | {"start": str(start), "end": str(start), "limit": "1"})["list"]
        if not rows or self._silence is not None:
            return
        candle: dict[str, Any] = dict(zip(_FIELDS, rows[0], strict=True))
        now = self._exchange.now() + self._exchange.ahead_ms
        if closed:
            now = max(now, start + topic.step)
        candle |= {"start": start, "end": start + topic.step - 1, "interval": topic.interval}
        candle |= {"confirm": closed, "timestamp": min(now, start + topic.step - 1)}
        frame = {"topic": topic.name, "type": "snapshot", "ts": now, "data": [candle]}
        points = ("ws:closed", "ws:push") if closed else ("ws:push",)
        await self._deliver(frame, self._exchange.next_fault(*points))

    async def _deliver(self, frame: dict[str, Any], fault: Fault | None) -> None:
        match fault:
            case None:
                await self._send(frame)
            case faults.Frames(change=change):
                for changed in change(frame):
                    await self._send(changed)
            case faults.Late(ms=ms):
                self._delayed.append((self._exchange.now() + ms, frame))
            case faults.Hang(seconds=seconds):
                await asyncio.sleep(seconds)
                await self._send(frame)
            case faults.Silence():
                self._silence = fault
            case faults.Drop(code=code):
                await self._socket.close(code=code)
                raise _Ended
            case faults.Reset():
                reset(self._request)
                raise _Ended
            case _:
                raise TypeError(f"{fault} is no fault of a websocket")

    async def _send(self, frame: dict[str, Any] | str | bytes) -> None:
        if isinstance(frame, bytes):
            await self._socket.send_bytes(frame)
        else:
            await self._socket.send_str(frame if isinstance(frame, str) else json.dumps(frame))
