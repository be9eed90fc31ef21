"""Strict ccxt clients for any exchange (synchronous, asynchronous, websocket); the only file that imports ccxt.

ccxt turns a broken HTTP 200 into "no data". Here it is an error with the HTTP status, error code and headers attached.
feeds.exchange.failures classifies errors; `CcxtRules` holds what differs between exchanges.
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

from scorenet.base.error_line import error_line

from .access import Access
from .failures import Evidence
from .protocol import CcxtRules
from .rate_limit import RateLimiter
from .sessions import SeverableSession

__all__ = [
    "ALL_REQUESTS",
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
"""The base class of all errors that a client raises."""

REQUEST_COUNTS: ContextVar[Counter[str] | None] = ContextVar("request_counts", default=None)
"""Request counts by URL path of the task that sets this variable, and of the tasks that it starts."""

ALL_REQUESTS: Counter[str] = Counter()
"""Request counts of this process by URL path."""

# Extra time for a synchronous request, so that the client's own timeout error comes first.
_SLACK_SECONDS = 0.5
# What ccxt and its HTTP libraries let through: a header with a charset that is none, a redirection to no address.
_UNREADABLE = (ValueError, LookupError, OSError)
_Mixed: Any = ccxt.Exchange if TYPE_CHECKING else object


class _Strict(_Mixed):  # type: ignore[misc]
    """Count requests, apply the rate limit and reject incomplete responses; a mixin before ccxt's class.

    `library` is the module of ccxt in which `make_client` looks up ccxt's class.
    """

    library: Any
    session: Any

    def __init__(self, rules: CcxtRules, access: Access, limiter: RateLimiter) -> None:
        self.counts: Counter[str] = Counter()
        self.rules = rules
        self.limiter = limiter
        super().__init__(_config(rules, access))
        # The sandbox mode replaces all URLs, so it must be set before `base_url` is applied.
        if access.sandbox:
            self.set_sandbox_mode(True)
        if access.base_url is not None:
            self.urls["api"] = rules.urls(access.base_url.rstrip("/"))

    def calculate_rate_limiter_cost(
        self, api: Any, method: str, path: str, params: Mapping[str, Any], config: Any = None
    ) -> int:
        return self.rules.weight(path, params)

    def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        for counts in (ALL_REQUESTS, self.counts, REQUEST_COUNTS.get()):
            if counts is not None:
                counts[rest_path(url)] += 1
        return super().fetch(url, method, headers, body)

    def parse_json(self, http_response: str) -> Any:
        try:
            return super().parse_json(http_response)
        except RecursionError:
            return None  # too deeply nested: as invalid as truncated JSON

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
        evidence = Evidence(
            code, self.rules.error_code(response), dict(headers or {}), self.rules.answer_time(response)
        )
        try:
            if code < 400 and wrong:
                raise ccxt.BadResponse(f"{wrong}: {str(body)[:80]!r}")
            # ccxt fails on JSON that is neither an object nor a list.
            whole = response if isinstance(response, dict | list) else None
            super().handle_errors(
                code, reason, url, method, headers, body, whole, request_headers, request_body
            )
            self.handle_http_status_code(code, reason, url, method, body)
            if code >= 400:
                # ccxt has no class for this status, and its asynchronous client would return an empty response.
                raise ccxt.ExchangeError(f"HTTP {code} {reason}: {str(body)[:80]!r}")
            if evidence.code:
                # ccxt takes some errors for successes, so that their response has no result.
                raise ccxt.ExchangeError(f"error {evidence.code}: {str(body)[:80]!r}")
        except ccxt.BaseError as error:
            error.evidence = evidence
            raise


class SyncClient(_Strict):
    """ccxt's synchronous client."""

    library = ccxt

    def __init__(self, rules: CcxtRules, access: Access, limiter: RateLimiter) -> None:
        super().__init__(rules, access, limiter)
        self._renew_session()

    def _renew_session(self) -> None:
        self.session = SeverableSession()
        # A redirection would take the key and a signed request to a host that nobody has named.
        if self.apiKey:
            self.session.max_redirects = 0

    def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        # ccxt's timeout limits only the pause between two bytes, so a very slow response would never time out.
        answer: Future[Any] = Future()

        def work(context: Context, ask: Callable[..., Any]) -> None:
            try:
                answer.set_result(context.run(ask, url, method, headers, body))
            except _UNREADABLE as error:
                answer.set_exception(_unreadable(method, url, error))
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
            late = self.session
            self._renew_session()
            late.sever()  # so that the thread ends
            raise ccxt.RequestTimeout(
                f"{method} {url}: no complete response within {self.timeout / 1000:g} s"
            ) from None

    def throttle(self, cost: int | None = None) -> None:
        time.sleep(self.limiter.admit(cost or 1))
        self.limiter.check()


class _AsyncStrict(_Strict):
    def __init__(self, rules: CcxtRules, access: Access, limiter: RateLimiter) -> None:
        super().__init__(rules, access, limiter)
        if (access.base_url or "").startswith("http:"):
            self.timeout_on_exit = 0  # ccxt waits only for TLS sessions to end, and HTTP has none

    def open(self, *arguments: Any) -> None:
        super().open(*arguments)
        # aiohttp would repeat a request after a lost keep-alive connection, without our rate limit and counters.
        self.session._retry_connection = False

    async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        try:
            return await super().fetch(url, method, headers, body)
        except _UNREADABLE as error:
            raise _unreadable(method, url, error) from error

    async def throttle(self, cost: int | None = None) -> None:
        await asyncio.sleep(self.limiter.admit(cost or 1))
        self.limiter.check()


class AsyncClient(_AsyncStrict):
    """ccxt's asynchronous client."""

    library = ccxt.async_support


class ProClient(_AsyncStrict):
    """ccxt's websocket client; its REST methods are as strict as those of the other clients."""

    library = ccxt.pro


_Client = TypeVar("_Client", bound=_Strict)


def make_client(
    kind: type[_Client], rules: CcxtRules, access: Access, limiter: RateLimiter | None = None
) -> _Client:
    """Return a client for the exchange of `rules`; `kind` is SyncClient, AsyncClient, ProClient or a subclass."""
    base: Any = kind
    made: _Client = _mixed(base, rules.ccxt_id)(rules, access, limiter or RateLimiter(None))
    return made


@lru_cache
def _mixed(kind: Any, ccxt_id: str) -> Any:
    """Return a subclass of `kind` and of ccxt's class."""
    return type(kind.__name__, (kind, getattr(kind.library, ccxt_id)), {})


def evidence_of(error: BaseException) -> Evidence:
    """Return the facts attached to a client's error; empty if there was no response."""
    found = getattr(error, "evidence", None)
    return found if isinstance(found, Evidence) else Evidence()


def rest_path(url: str) -> str:
    """Return the path of a URL."""
    return re.sub(r"\?.*|^\w+://[^/]*", "", url)


def _unreadable(method: str, url: str, error: BaseException) -> Exception:
    """Return an error that is retried like any other broken answer."""
    failed: Exception = ccxt.NetworkError(f"{method} {url}: the answer cannot be read: {error_line(error)}")
    failed.__cause__ = error
    return failed


def _config(rules: CcxtRules, access: Access) -> dict[str, Any]:
    config: dict[str, Any] = {
        "timeout": int(access.timeout * 1000),
        "enableRateLimit": True,  # otherwise ccxt does not call `throttle`
        **rules.config,
    }
    if access.credentials is not None:
        config |= {"apiKey": access.credentials.key, "secret": access.credentials.secret}
    return config
