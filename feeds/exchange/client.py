"""Strict clients of Bybit, synchronous, asynchronous and by websocket: the one file that imports ccxt.

ccxt turns a broken HTTP 200 into "no data"; here it is an error that carries its evidence. What a failure
means is in feeds.exchange.failures, what to ask and how to read the answer in feeds.bybit.endpoints.
"""

import asyncio
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ccxt
import ccxt.async_support
import ccxt.pro

from ..errors import BadSource
from .failures import Evidence, malformed
from .rate_limit import Gate

__all__ = [
    "TALLY",
    "Access",
    "AsyncClient",
    "ClientError",
    "Credentials",
    "ProClient",
    "SyncClient",
    "evidence_of",
    "rest_path",
]

ClientError = ccxt.BaseError
"""The class of everything that a client raises by itself."""

TALLY: ContextVar[Counter[str] | None] = ContextVar("tally", default=None)
"""Counts requests by path for the task that sets it and the tasks that it starts, beside the client's counts."""

# What a synchronous request may take beyond its timeout, so that the client's own error comes first.
_SLACK_SECONDS = 0.5
_CATEGORIES = ("linear", "inverse", "spot", "option")
_Mixed: Any = ccxt.bybit if TYPE_CHECKING else object


@dataclass(frozen=True)
class Credentials:
    """Hold an API key; its secret is never printed."""

    key: str
    secret: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Access:
    """Say how to reach the exchange.

    `base_url` ("http://HOST:PORT") replaces the exchange's host for REST and, as ws://HOST:PORT/v5/..., for
    the websocket; `sandbox` means the exchange's testnet where no base URL is given. `timeout` is seconds a
    request.

    Raises:
        BadSource: `base_url` is no URL of a host.
    """

    base_url: str | None = None
    timeout: float = 10.0
    credentials: Credentials | None = None
    sandbox: bool = False

    def __post_init__(self) -> None:
        if self.base_url is not None and not re.fullmatch(r"https?://[^/\s?#@]+/?", self.base_url):
            raise BadSource(f"expected a base URL such as 'http://127.0.0.1:8899', found {self.base_url!r}")


class _Strict(_Mixed):  # type: ignore[misc]
    """Count requests, let them through the gate one by one, and refuse what is not a whole answer."""

    session: Any

    def __init__(self, access: Access, gate: Gate | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self.gate = gate or Gate()
        super().__init__(_config(access))
        # Replaces every URL, so it comes before our own.
        if access.sandbox:
            self.set_sandbox_mode(True)
        if access.base_url is not None:
            self.urls["api"] = _urls(access.base_url.rstrip("/"))

    def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        for counts in (self.counts, TALLY.get()):
            if counts is not None:
                counts[rest_path(url)] += 1
        return super().fetch(url, method, headers, body)

    def parse_json(self, http_response: str) -> Any:
        try:
            return super().parse_json(http_response)
        except RecursionError:
            return None  # a million brackets are as broken as half a brace

    def handle_errors(
        self,
        code: int,
        reason: str,
        url: str,
        method: str,
        headers: Mapping[str, str],
        body: str,
        response: Any,
        request_headers: Any,
        request_body: Any,
    ) -> Any:
        wrong = malformed(url, response)
        evidence = Evidence(code, None if wrong else int(response["retCode"]), dict(headers or {}))
        try:
            if code < 400 and wrong:
                raise ccxt.BadResponse(f"{wrong}: {str(body)[:80]!r}")
            whole = response if isinstance(response, dict) else None
            super().handle_errors(
                code, reason, url, method, headers, body, whole, request_headers, request_body
            )
            self.handle_http_status_code(code, reason, url, method, body)
            if code >= 400:
                # ccxt has no class for it, and its asynchronous client would call it an empty answer.
                raise ccxt.ExchangeError(f"HTTP {code} {reason}: {str(body)[:80]!r}")
        except ccxt.BaseError as error:
            error.evidence = evidence
            raise


class SyncClient(_Strict, ccxt.bybit):  # type: ignore[misc]
    """ccxt's synchronous client."""

    def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        # ccxt limits the silence between two bytes: an answer that trickles in would be waited for without end.
        answer: Future[Any] = Future()

        def work(context: Context, ask: Callable[..., Any]) -> None:
            try:
                answer.set_result(context.run(ask, url, method, headers, body))
            except BaseException as error:
                answer.set_exception(error)

        threading.Thread(
            target=work, args=(copy_context(), super().fetch), name="exchange request", daemon=True
        ).start()
        try:
            return answer.result(self.timeout / 1000 + _SLACK_SECONDS)
        except FutureTimeout:
            if answer.done():
                raise
            self.session = type(self.session)()  # the other one is still in use
            raise ccxt.RequestTimeout(
                f"{method} {url}: no whole answer in {self.timeout / 1000:g} s"
            ) from None

    def throttle(self, cost: Any = None) -> None:
        time.sleep(self.gate.admit())
        self.gate.check()


class _AsyncStrict(_Strict):
    def __init__(self, access: Access, gate: Gate | None = None) -> None:
        super().__init__(access, gate)
        if str(self.urls["api"]["public"]).startswith("http:"):
            self.timeout_on_exit = 0  # what ccxt waits for is the end of TLS sessions

    def open(self, *arguments: Any) -> None:
        super().open(*arguments)
        # aiohttp sends a request again by itself when a kept connection was cut: past the gate, uncounted.
        self.session._retry_connection = False

    async def throttle(self, cost: Any = None) -> None:
        await asyncio.sleep(self.gate.admit())
        self.gate.check()


class AsyncClient(_AsyncStrict, ccxt.async_support.bybit):  # type: ignore[misc]
    """ccxt's asynchronous client."""


class ProClient(_AsyncStrict, ccxt.pro.bybit):  # type: ignore[misc]
    """ccxt's websocket client, its REST part as strict as the others."""


def evidence_of(error: BaseException) -> Evidence:
    """Return what is known of the answer that made a client raise `error`; nothing, if none came."""
    found = getattr(error, "evidence", None)
    return found if isinstance(found, Evidence) else Evidence()


def rest_path(url: str) -> str:
    """Return the path of a URL."""
    return re.sub(r"\?.*|^\w+://[^/]*", "", url)


def _config(access: Access) -> dict[str, Any]:
    config: dict[str, Any] = {
        "timeout": int(access.timeout * 1000),
        "enableRateLimit": True,  # or `throttle` is not called
        "has": {"fetchCurrencies": False},
        "options": {"defaultType": "swap"},
    }
    if access.credentials is not None:
        config |= {"apiKey": access.credentials.key, "secret": access.credentials.secret}
    return config


def _urls(host: str) -> dict[str, Any]:
    stream = re.sub(r"^http", "ws", host) + "/v5"
    private = f"{stream}/private"
    return {
        **dict.fromkeys(("public", "private", "spot", "futures", "v2"), host),
        "ws": {
            "public": {category: f"{stream}/public/{category}" for category in _CATEGORIES},
            "private": {
                "spot": {"unified": private, "nonUnified": private},
                "contract": private,
                "usdc": private,
                "trade": f"{stream}/trade",
            },
        },
    }
