"""The loopback exchange: an aiohttp server in its own thread, with a settable clock and a request log."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from aiohttp import web

from tests.bybit import faults
from tests.bybit.clock import Clock
from tests.bybit.faults import Fault
from tests.bybit.market import HOUR, MINUTE, Listing, default_listings
from tests.bybit.private import PRIVATE, Account, Signed, check_signature
from tests.bybit.rules import ENDPOINTS, Refused
from tests.bybit.virtual_time import VirtualTime
from tests.bybit.websocket import CATEGORIES, Connection, reset

__all__ = ["LoopbackBybit", "Request"]


@dataclass(frozen=True)
class Request:
    """One request as the server saw it, with the status that it answered (0: the connection was cut)."""

    path: str
    query: Mapping[str, str]
    status: int


@dataclass
class _Planned:
    fault: Fault
    on: str
    skip: int
    times: int


class LoopbackBybit:
    """Serve Bybit v5 REST and the public websocket on 127.0.0.1; `account` is the one private account.

    `clock` is the exchange's time in UTC ms, or None for the machine's; with a `speed` it runs that many times as
    fast as the machine's from there, else it stands until it is set (`exchange.clock = ...`). The open candle is
    pushed every `push_ms` of it. `limit` is (requests, seconds): one more inside the window bans the address for
    `ban_seconds` with HTTP 403, as the exchange does; `connect_limit` is the same for websockets, without the ban.
    Every answer is delayed by `delay` seconds of the machine's, like a network round trip. `missing` holds (symbol,
    bar size in ms, bar start) that the exchange never recorded. `log` holds every request answered. `timer` passes as
    `clock` is set.

    Faults that last: every stamp is `ahead_ms` ahead of the data, and a candle is confirmed `confirm_early_ms` before
    its end, with the stamp of its end. `shown_at` holds the times from which bars are in the history. Settlements and
    open interest are published `funding_lag_ms` and `interest_lag_ms` after their time. `ended` holds symbols that left
    the listing, and when; their klines are still answered, without bars from then on.
    """

    def __init__(
        self,
        *,
        clock: int | None = None,
        speed: float = 0.0,
        push_ms: int = 5_000,
        listings: list[Listing] | None = None,
        limit: tuple[int, float] = (600, 5.0),
        connect_limit: tuple[int, float] = (500, 300.0),
        ban_seconds: float = 600.0,
        delay: float = 0.0,
        port: int = 0,
        missing: Iterable[tuple[str, int, int]] = (),
        account: Account | None = None,
        timer: VirtualTime | None = None,
    ) -> None:
        self.timer = timer
        self.time = Clock(clock, speed)
        if timer is not None:
            timer.seconds = self.time.now() / 1000.0
        self.push_ms = push_ms
        self.listings = default_listings() if listings is None else listings
        self.limit = limit
        self.connect_limit = connect_limit
        self.ban_seconds = ban_seconds
        self.delay = delay
        self.port = port
        self.missing = set(missing)
        self.ahead_ms = 0
        self.confirm_early_ms = 0
        self.shown_at: dict[tuple[str, int, int], int] = {}
        self.funding_lag_ms = self.interest_lag_ms = 0
        self.ended: dict[str, int] = {}
        self.account = account or Account()
        self.log: list[Request] = []
        self.connections: set[Connection] = set()
        self._planned: list[_Planned] = []
        self._recent: deque[float] = deque()
        self._dialled: deque[float] = deque()
        self._banned_until = 0.0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="loopback-bybit", daemon=True)

    @property
    def clock(self) -> int:
        """The exchange's time in UTC ms; setting it pushes what has closed meanwhile."""
        return self.time.now()

    @clock.setter
    def clock(self, now: int | None) -> None:
        if self.timer is not None and now is not None:
            self.timer.seconds = now / 1000.0
        self.time.set(now)
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(lambda: [connection.wake() for connection in self.connections])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def now(self) -> int:
        """Return the exchange's time in UTC ms."""
        return self.time.now()

    def inject(self, fault: Fault, *, on: str = "/v5/market/kline", times: int = 1, skip: int = 0) -> None:
        """Plan `fault` for the next `times` requests to the path `on`, after letting `skip` through.

        On the websocket `on` is "ws:connect", "ws:subscribe", "ws:push" or "ws:closed".
        """
        self._planned.append(_Planned(fault, on, skip, times))

    def heal(self) -> None:
        """Remove planned faults and end a ban."""
        self._planned.clear()
        self._recent.clear()
        self._banned_until = 0.0

    def lose_bars(self, symbol: str, starts: Iterable[int], step: int = HOUR) -> None:
        """Remove the bars of `step` ms that open at `starts` from the exchange's history."""
        self.missing.update((symbol, step, start) for start in starts)

    def hide_bars(self, symbol: str, starts: Iterable[int], until: int, step: int = MINUTE) -> None:
        """Let bars appear in the history only at `until` (UTC ms)."""
        self.shown_at.update({(symbol, step, start): until for start in starts})

    def delist(self, symbol: str, *, refuse: bool) -> None:
        """Remove a symbol from the listing: its requests are refused, or answered without newer bars."""
        if refuse:
            self.listings = [listing for listing in self.listings if listing.symbol != symbol]
        else:
            self.ended[symbol] = self.now()

    def requests(self, path: str = "/v5/market/kline") -> list[Request]:
        """Return the logged requests to `path`."""
        return [r for r in self.log if r.path == path]

    def start(self) -> Self:
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the loopback exchange did not start within 10 s")
        return self

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(10)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._run())
        finally:
            # Close connections that are still open here; otherwise the interpreter would warn about them at exit.
            for task in (left := asyncio.all_tasks(self._loop)):
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.close()

    async def _run(self) -> None:
        self._stopping = asyncio.Event()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port)
        await site.start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._stopping.wait()
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path, query = request.path, dict(request.query)
        if path.removeprefix("/v5/public/") in CATEGORIES:
            return await self._stream(request, path.removeprefix("/v5/public/"))
        if self.delay:
            await asyncio.sleep(self.delay)
        if self._over_limit():
            self.log.append(Request(path, query, 403))
            return web.Response(status=403, text="access too frequent")
        if (request.method, path) in PRIVATE:
            try:
                text = await request.text() if request.method == "POST" else request.query_string
            except ConnectionResetError:
                return web.Response(status=499)  # the client went away first; nobody reads it
            query = json.loads(text) if request.method == "POST" else query
            signed: Signed | None = Signed(request.method, request.headers, text)
        elif request.method == "GET":
            signed = None
        else:
            return web.Response(status=405)
        fault = self.next_fault(path)
        if isinstance(fault, faults.Hang):
            await asyncio.sleep(fault.seconds)
        if isinstance(fault, faults.Swallow):
            self.log.append(Request(path, query, 0))
            await asyncio.sleep(fault.seconds)
            return await self._cut(request, b"", whole=True)
        if isinstance(fault, faults.Respond):
            self.log.append(Request(path, query, fault.status))
            headers = {"Content-Type": fault.content_type, **fault.headers}
            return web.Response(status=fault.status, body=fault.body, headers=headers)
        body = json.dumps(self._envelope(path, query, fault, signed)).encode()
        if isinstance(fault, faults.Afterwards):
            fault = fault.fault
            if isinstance(fault, faults.Hang):
                self.log.append(Request(path, query, 200))
                await asyncio.sleep(fault.seconds)
                return web.Response(body=body, content_type="application/json")
            if isinstance(fault, faults.Respond):
                self.log.append(Request(path, query, fault.status))
                return web.Response(status=fault.status, body=fault.body, content_type=fault.content_type)
        if isinstance(fault, faults.Corrupt):
            body = fault.change(body)
        if isinstance(fault, faults.Trickle):
            self.log.append(Request(path, query, 200))
            return await self._trickle(request, body, fault.seconds)
        if isinstance(fault, faults.Reset | faults.DieMidBody):
            self.log.append(Request(path, query, 0))
            return await self._cut(request, body, whole=isinstance(fault, faults.Reset))
        self.log.append(Request(path, query, 200))
        headers = fault.headers if isinstance(fault, faults.RetCode) else {}
        return web.Response(body=body, content_type="application/json", headers=headers)

    def _envelope(
        self, path: str, query: dict[str, str], fault: Fault | None, signed: Signed | None
    ) -> dict[str, Any]:
        # The time is read before the data, because at high speed a bar may close in between.
        code, message, result, stamp = 0, "OK", {}, self.now()
        try:
            if isinstance(fault, faults.RetCode):
                raise Refused(fault.code, fault.message)
            if signed is not None:
                check_signature(self, signed)
                result = PRIVATE[signed.method, path](self, query)
            elif path not in ENDPOINTS:
                raise Refused(10001, f"unknown endpoint {path}")
            else:
                result = ENDPOINTS[path](self, query)
        except Refused as refused:
            code, message = refused.code, refused.message
        if isinstance(fault, faults.Mutate) and code == 0:
            result = fault.change(result)
        return {
            "retCode": code,
            "retMsg": message,
            "result": result,
            "retExtInfo": {},
            "time": stamp + self.ahead_ms,
        }

    async def _trickle(self, request: web.Request, body: bytes, seconds: float) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(body))})
        await response.prepare(request)
        with suppress(ConnectionResetError):  # a client that does not wait for the end, as it should
            for position in range(len(body)):
                await response.write(body[position : position + 1])
                await asyncio.sleep(seconds)
        return response

    async def _cut(self, request: web.Request, body: bytes, *, whole: bool) -> web.StreamResponse:
        transport = request.transport
        if transport is None:
            return web.Response(status=499)  # the client went away first; nobody reads it
        if not whole:
            response = web.StreamResponse(headers={"Content-Length": str(len(body))})
            await response.prepare(request)
            await response.write(body[: len(body) // 2])
            transport.close()
            return response
        reset(request)
        return web.Response()

    async def _stream(self, request: web.Request, category: str) -> web.StreamResponse:
        fault = self.next_fault("ws:connect")
        status = 403 if self._too_many_dials() else fault.status if isinstance(fault, faults.Respond) else 101
        self.log.append(Request(request.path, {}, 0 if isinstance(fault, faults.Reset) else status))
        if status != 101:
            return web.Response(status=status, text="no websocket")
        if isinstance(fault, faults.Reset):
            reset(request)
            return web.Response()
        if isinstance(fault, faults.Hang):
            await asyncio.sleep(fault.seconds)
        connection = Connection(self, category)
        self.connections.add(connection)
        try:
            return await connection.serve(request)
        finally:
            self.connections.discard(connection)

    def next_fault(self, *points: str) -> Fault | None:
        """Return the next planned fault for one of the points, None if there is none."""
        for planned in self._planned:
            if planned.on not in points:
                continue
            if planned.skip:
                planned.skip -= 1
                continue
            planned.times -= 1
            if planned.times <= 0:
                self._planned.remove(planned)
            return planned.fault
        return None

    def _too_many_dials(self) -> bool:
        now, (allowed, seconds) = time.monotonic(), self.connect_limit
        while self._dialled and self._dialled[0] <= now - seconds:
            self._dialled.popleft()
        self._dialled.append(now)
        return len(self._dialled) > allowed

    def _over_limit(self) -> bool:
        now = time.monotonic()
        if now < self._banned_until:
            return True
        allowed, seconds = self.limit
        while self._recent and self._recent[0] <= now - seconds:
            self._recent.popleft()
        self._recent.append(now)
        if len(self._recent) > allowed:
            self._banned_until = now + self.ban_seconds
            return True
        return False
