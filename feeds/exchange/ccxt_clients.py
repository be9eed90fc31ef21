"""Strict clients of any exchange, synchronous, asynchronous and by websocket: the one file that imports ccxt.

ccxt turns a broken HTTP 200 into "no data"; here it is an error that carries its evidence. What a failure means is in
feeds.exchange.failures; what is special about an exchange is in its `CcxtRules`.
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
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import ccxt
import ccxt.async_support
import ccxt.pro

from .access import Access
from .failures import Evidence
from .protocol import CcxtRules
from .rate_limit import RateLimiter

__all__ = [
    "REQUEST_COUNTS",
    "AsyncClient",
    "ClientError",
    "ProClient",
    "SyncClient",
    "evidence_of",
    "make_client",
    "rest_path",
]

ClientError = ccxt.BaseError
"""The class of everything that a client raises by itself."""

REQUEST_COUNTS: ContextVar[Counter[str] | None] = ContextVar("request_counts", default=None)
"""Counts requests by path for the task that sets it and the tasks that it starts, beside the client's counts."""

# What a synchronous request may take beyond its timeout, so that the client's own error comes first.
_SLACK_SECONDS = 0.5
_Mixed: Any = ccxt.Exchange if TYPE_CHECKING else object


class _Strict(_Mixed):  # type: ignore[misc]
    """Count requests, keep the rate limit, and refuse what is not a whole answer; ccxt's class comes after it.

    `library` is the part of ccxt that has the class to build on, which `make_client` looks up.
    """

    library: Any
    session: Any

    def __init__(self, rules: CcxtRules, access: Access, limiter: RateLimiter) -> None:
        self.counts: Counter[str] = Counter()
        self.rules = rules
        self.limiter = limiter
        super().__init__(_config(rules, access))
        # Replaces every URL, so it comes before our own.
        if access.sandbox:
            self.set_sandbox_mode(True)
        if access.base_url is not None:
            self.urls["api"] = rules.urls(access.base_url.rstrip("/"))

    def calculate_rate_limiter_cost(
        self, api: Any, method: str, path: str, params: Mapping[str, Any], config: Any = None
    ) -> int:
        return self.rules.weight(path, params)

    def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        for counts in (self.counts, REQUEST_COUNTS.get()):
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
        wrong = self.rules.malformed(url, response)
        evidence = Evidence(code, self.rules.error_code(response), dict(headers or {}))
        try:
            if code < 400 and wrong:
                raise ccxt.BadResponse(f"{wrong}: {str(body)[:80]!r}")
            # ccxt expects JSON that is an object or a list, or nothing.
            whole = response if isinstance(response, dict | list) else None
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


class SyncClient(_Strict):
    """ccxt's synchronous client."""

    library = ccxt

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

    def throttle(self, cost: int | None = None) -> None:
        time.sleep(self.limiter.admit(cost or 1))
        self.limiter.check()


class _AsyncStrict(_Strict):
    def __init__(self, rules: CcxtRules, access: Access, limiter: RateLimiter) -> None:
        super().__init__(rules, access, limiter)
        if (access.base_url or "").startswith("http:"):
            self.timeout_on_exit = 0  # what ccxt waits for is the end of TLS sessions

    def open(self, *arguments: Any) -> None:
        super().open(*arguments)
        # aiohttp sends a request again by itself when a kept connection was cut: past the rate limit, uncounted.
        self.session._retry_connection = False

    async def throttle(self, cost: int | None = None) -> None:
        await asyncio.sleep(self.limiter.admit(cost or 1))
        self.limiter.check()


class AsyncClient(_AsyncStrict):
    """ccxt's asynchronous client."""

    library = ccxt.async_support


class ProClient(_AsyncStrict):
    """ccxt's websocket client, its REST part as strict as the others."""

    library = ccxt.pro


_Client = TypeVar("_Client", bound=_Strict)


def make_client(
    kind: type[_Client], rules: CcxtRules, access: Access, limiter: RateLimiter | None = None
) -> _Client:
    """Return a client of a kind (one of the above, or a class based on it) of the exchange that `rules` describe."""
    base: Any = kind
    made: _Client = _mixed(base, rules.ccxt_id)(rules, access, limiter or RateLimiter(None))
    return made


@lru_cache
def _mixed(kind: Any, ccxt_id: str) -> Any:
    """Return a class of ccxt's with a kind of strict client before it."""
    return type(kind.__name__, (kind, getattr(kind.library, ccxt_id)), {})


def evidence_of(error: BaseException) -> Evidence:
    """Return what is known of the answer that made a client raise `error`; nothing, if none came."""
    found = getattr(error, "evidence", None)
    return found if isinstance(found, Evidence) else Evidence()


def rest_path(url: str) -> str:
    """Return the path of a URL."""
    return re.sub(r"\?.*|^\w+://[^/]*", "", url)


def _config(rules: CcxtRules, access: Access) -> dict[str, Any]:
    config: dict[str, Any] = {
        "timeout": int(access.timeout * 1000),
        "enableRateLimit": True,  # or `throttle` is not called
        **rules.config,
    }
    if access.credentials is not None:
        config |= {"apiKey": access.credentials.key, "secret": access.credentials.secret}
    return config
