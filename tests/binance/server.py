"""The loopback Binance: server, clock, log and faults of the loopback Bybit, with Binance's responses and limits."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.binance.rules import ENDPOINTS, RefusedHere, weight
from tests.bybit import faults
from tests.bybit.server import LoopbackBybit, Request

__all__ = ["LoopbackBinance", "Refuse"]

_PATIENCE = 10
"""Requests after HTTP 429 that are one too many: then the address is banned."""


@dataclass(frozen=True)
class Refuse:
    """Answer with HTTP `status` and an error code, as Binance does."""

    code: int
    status: int = 400


class LoopbackBinance(LoopbackBybit):
    """Serve USD-M market data; a weight above `weights` per minute gives HTTP 429, more requests HTTP 418 (ban)."""

    def __init__(self, *, weights: int = 1_000_000, **options: Any) -> None:
        super().__init__(**options)
        self.weights = weights
        self._spent: deque[tuple[float, int]] = deque()
        self._ignored = 0

    def requests(self, path: str = "/fapi/v1/klines") -> list[Request]:
        """Return the logged requests to `path`."""
        return super().requests(path)

    def inject(self, fault: Any, *, on: str = "/fapi/v1/klines", times: int = 1, skip: int = 0) -> None:
        """Plan `fault` for the next `times` requests to the path `on`, after letting `skip` through."""
        super().inject(fault, on=on, times=times, skip=skip)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path, query = request.path, dict(request.query)
        if (limited := self._limited(path, query)) is not None:
            self.log.append(Request(path, query, limited.status))
            return limited
        fault: Any = self.next_fault(path)
        if isinstance(fault, faults.Hang):
            await asyncio.sleep(fault.seconds)
        if isinstance(fault, faults.Respond):
            self.log.append(Request(path, query, fault.status))
            return web.Response(
                status=fault.status, body=fault.body, headers=fault.headers, content_type=fault.content_type
            )
        status, answer = self._result(path, query, fault)
        if isinstance(fault, faults.Mutate):
            answer = fault.change(answer)
        body = json.dumps(answer).encode()
        if isinstance(fault, faults.Corrupt):
            body = fault.change(body)
        if isinstance(fault, faults.Trickle):
            self.log.append(Request(path, query, status))
            return await self._trickle(request, body, fault.seconds)
        if isinstance(fault, faults.Reset | faults.DieMidBody):
            self.log.append(Request(path, query, 0))
            return await self._cut(request, body, whole=isinstance(fault, faults.Reset))
        self.log.append(Request(path, query, status))
        return web.Response(status=status, body=body, content_type="application/json")

    def _result(self, path: str, query: dict[str, str], fault: Any) -> tuple[int, Any]:
        if isinstance(fault, Refuse):
            return fault.status, {"code": fault.code, "msg": "injected"}
        if path not in ENDPOINTS:
            return 404, {"code": -5000, "msg": "Path is invalid"}
        try:
            return 200, ENDPOINTS[path](self, query)
        except RefusedHere as refused:
            return 400, {"code": refused.code, "msg": str(refused)}

    def _limited(self, path: str, query: dict[str, str]) -> web.Response | None:
        now = time.monotonic()
        while self._spent and self._spent[0][0] <= now - 60.0:
            self._spent.popleft()
        if sum(spent for _, spent in self._spent) + weight(path, query) <= self.weights:
            self._spent.append((now, weight(path, query)))
            return None
        self._ignored += 1
        body = json.dumps({"code": -1003, "msg": "Too many requests."}).encode()
        status = 418 if self._ignored > _PATIENCE else 429
        return web.Response(
            status=status, body=body, content_type="application/json", headers={"Retry-After": "60"}
        )
