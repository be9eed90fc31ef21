"""The retry policy for failed requests, shared by the synchronous and the asynchronous client."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from scorenet.base.backoff import backoff_seconds
from scorenet.base.error_line import error_line

from ..errors import ExchangeBanned, ExchangeRejected, ExchangeUnavailable
from .failures import Evidence, Failure, FailureRules, classify, reset_delay
from .rate_limit import RateLimiter

__all__ = ["Attempts", "Retry", "reset_of"]


@dataclass(frozen=True, kw_only=True)
class Retry:
    """Retry policy: exponential backoff with jitter.

    attempts: largest number of attempts. base, cap: first and longest backoff in seconds. budget: longest total wait in
    seconds. sleep, asleep (for asyncio), clock (UTC seconds) and jitter (returns a number in [0, 1)) are replaced in
    tests.
    """

    attempts: int = 6
    base: float = 0.5
    cap: float = 20.0
    budget: float = 120.0
    sleep: Callable[[float], None] = time.sleep
    asleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = time.time
    jitter: Callable[[], float] = random.random

    def delay(self, attempt: int, failure: Failure, reset: float = 0.0) -> float:
        """Return the seconds to wait after the failed attempt number `attempt` (from 0).

        `reset` is the number of seconds until the rate limit resets; it is added only if the request was throttled.
        """
        backoff = backoff_seconds(attempt, self.base, self.cap, self.jitter)
        return backoff if failure is not Failure.THROTTLED else reset + backoff


class Attempts:
    """Count the failed attempts of one request and decide about the next; a ban closes the limiter for all requests.

    `description` names the request in errors.
    """

    def __init__(self, retry: Retry, limiter: RateLimiter, rules: FailureRules, description: str) -> None:
        self._retry = retry
        self._limiter = limiter
        self._rules = rules
        self._description = description
        self._failed = 0
        self._waited = 0.0

    def wait_after(self, error: Exception, evidence: Evidence) -> float:
        """Return the seconds to wait before the next attempt.

        Raises:
            ExchangeUnavailable: the number of attempts or the total wait has reached its limit.
            ExchangeBanned: the exchange refuses this address.
            ExchangeRejected: the failure is fatal, so a retry is useless.
        """
        rules, exchange = self._rules, self._rules.exchange
        failure, reason = classify(error, evidence, rules), _reason(error, evidence)
        reset = reset_of(evidence, self._retry.clock, rules)
        if failure is Failure.BANNED:
            text = _ban_text(evidence, rules, reset or rules.ban_seconds)
            self._limiter.close(text)
            raise ExchangeBanned(text) from error
        if failure is Failure.FATAL:
            raise ExchangeRejected(
                f"{exchange} rejected the request for {self._description}: {reason}"
            ) from error
        delay = self._retry.delay(self._failed, failure, reset)
        self._failed += 1
        self._waited += delay
        if self._failed >= self._retry.attempts or self._waited > self._retry.budget:
            raise ExchangeUnavailable(
                f"{exchange}: the request for {self._description} failed ({self._failed} attempts, {failure.value}): "
                f"{reason}. Data stored so far is kept; run the same command again to continue"
            ) from error
        return delay


def reset_of(evidence: Evidence, clock: Callable[[], float], rules: FailureRules) -> float:
    """Return the seconds until the rate limit resets, by the exchange's own time if the response states it.

    `clock` is this machine's (UTC seconds).
    """
    return reset_delay(evidence.headers, clock() if evidence.time is None else evidence.time, rules)


def _ban_text(evidence: Evidence, rules: FailureRules, seconds: float) -> str:
    code = f"{rules.code_name} {evidence.code}" if evidence.code else f"HTTP {evidence.status}"
    return (
        f"{rules.exchange} refuses this address ({code}): too many requests, or its region is not served; no further "
        f"request is sent. Data stored so far is kept; run the same command again in {-(-seconds // 60):.0f} minutes "
        "or later"
    )


def _reason(error: BaseException, evidence: Evidence) -> str:
    """Return the error's text; without a response it names only the request, so the cause's text is added."""
    inner = error
    while evidence.status is None and (deeper := inner.__cause__ or inner.__context__) is not None:
        inner = deeper
    lines = [error_line(error), *([] if inner is error else [error_line(inner)])]
    return ": ".join(dict.fromkeys(lines))
