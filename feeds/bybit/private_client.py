"""Signed requests to one Bybit account: the exchange's time, retries, bans, and waits that hear a request to stop."""

import logging
import math
from collections.abc import Callable, Mapping
from typing import Any, Self, TypeVar

from scorenet.base.waits import wait

from ..errors import ExchangeBanned, ExchangeRejected, ExchangeUnavailable
from ..exchange.access import Access
from ..exchange.ccxt_clients import ClientError, SyncClient, evidence_of, make_client
from ..exchange.failures import Malformed
from ..exchange.order_types import Interrupted, UnreadableAnswer
from ..exchange.rate_limit import RateLimiter
from ..exchange.retry import Attempts, Retry
from .answers import Row, rows_of
from .order_timeouts import OrderTimeouts
from .order_wire import CLOCK, FORBIDDEN
from .wire import CCXT_RULES, FAILURE_RULES, REQUESTS_PER_SECOND, server_ms

__all__ = ["PrivateClient"]

_Result = TypeVar("_Result")

_PAGES = 20
_SILENT = logging.Logger("feeds.bybit.private_client.silent")
_SILENT.disabled = True


class PrivateClient:
    """Base of `OrderClient`: it sends signed requests, and repeats those that may be repeated safely."""

    def __init__(
        self,
        access: Access,
        *,
        limiter: RateLimiter | None = None,
        retry: Retry | None = None,
        timeouts: OrderTimeouts | None = None,
    ) -> None:
        if access.credentials is None:
            raise ValueError(
                "expected Access with credentials, found none; pass credentials=Credentials(key, secret)"
            )
        self._limiter, self._shares_limiter = limiter or _own_limiter(), limiter is not None
        self._banned = -math.inf
        self._client = make_client(SyncClient, CCXT_RULES, access, self._limiter)
        # ccxt logs its request headers, which contain the key and the signature.
        self._client.logger = _SILENT
        self._retry = retry or Retry(attempts=6, cap=8.0, budget=30.0)
        self._timeouts = timeouts or OrderTimeouts()
        self._client.options["recvWindow"] = int(self._timeouts.window * 1000)
        self._stop: Callable[[], bool] = lambda: False
        self._synced = False
        self._server = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def listen(self, stop: Callable[[], bool]) -> None:
        """End every wait with `Interrupted` as soon as `stop()` is true."""
        self._stop = stop

    def now(self) -> int:
        """Request and return the exchange's time in UTC ms.

        No clock of this machine continues an earlier answer: one jumps, the other stands still while it is suspended.
        """
        self._synced = False
        self._repeat("the time", self._sync_clock)
        return self._server

    def _pause(self, seconds: float) -> None:
        if not wait(seconds, self._stop, self._timeouts.sleep):
            raise Interrupted("the wait for the exchange ended early, because the run stops or halts")

    def _sync_clock(self) -> None:
        if not self._synced:
            self._server = server_ms(self._client.public_get_v5_market_time())
            self._client.options["timeDifference"] = self._client.milliseconds() - self._server
            self._synced = True

    def _read(
        self, what: str, endpoint: str, query: Mapping[str, Any], parse: Callable[[Row], _Result]
    ) -> _Result:
        def request() -> _Result:
            answer = getattr(self._client, f"private_get_v5_{endpoint}")(dict(query))
            return parse(answer["result"])

        return self._send_signed(what, request)

    def _read_all(
        self,
        what: str,
        endpoint: str,
        query: Mapping[str, Any],
        parse: Callable[[list[Row]], _Result],
    ) -> _Result:
        """As `_read`, for the rows of all pages."""
        limit = int(query["limit"])

        def request() -> _Result:
            rows: list[Row] = []
            cursor = ""
            for _ in range(_PAGES):
                page = {**query, "cursor": cursor} if cursor else dict(query)
                result = getattr(self._client, f"private_get_v5_{endpoint}")(page)["result"]
                found = rows_of(result)
                rows += found
                cursor = str(result.get("nextPageCursor") or "")
                if not cursor or len(found) < limit:
                    return parse(rows)
            raise Malformed(f"expected at most {_PAGES * limit} rows, found more")

        return self._send_signed(what, request)

    def _send_signed(self, what: str, request: Callable[[], _Result]) -> _Result:
        """Return `request()`, signed with the exchange's time; only for requests that may be repeated safely."""

        def signed() -> _Result:
            self._sync_clock()
            return request()

        return self._repeat(what, signed)

    def _repeat(self, what: str, request: Callable[[], _Result]) -> _Result:
        self._admit()
        attempts = Attempts(self._retry, self._limiter, FAILURE_RULES, what)
        always_answered = True
        while True:
            self._limiter.check()
            try:
                return request()
            except (ClientError, Malformed) as error:
                evidence = evidence_of(error)
                always_answered = always_answered and isinstance(error, Malformed)
                if evidence.code in FORBIDDEN:
                    raise ExchangeRejected(
                        f"bybit rejected the API key (retCode {evidence.code}): {FORBIDDEN[evidence.code]}"
                    ) from error
                try:
                    delay = attempts.wait_after(error, evidence)
                except ExchangeBanned:
                    self._banned = self._timeouts.monotonic()
                    raise
                except ExchangeUnavailable as failed:
                    # One that is not valid at the end of an outage does not mean that answers stay invalid.
                    if always_answered:
                        raise UnreadableAnswer(
                            f"bybit: the answer about {what} is not valid: {error}"
                        ) from failed
                    raise
                if evidence.code == CLOCK:
                    self._synced, delay = False, 0.0
            self._pause(delay)

    def _admit(self) -> None:
        """Raise ExchangeBanned during a ban; reopen our own limiter after it."""
        over = self._timeouts.monotonic() - self._banned >= self._timeouts.ban
        if self._limiter.ban is not None and over and not self._shares_limiter:
            self._limiter = self._client.limiter = _own_limiter()
        self._limiter.check()


def _own_limiter() -> RateLimiter:
    return RateLimiter(REQUESTS_PER_SECOND)
