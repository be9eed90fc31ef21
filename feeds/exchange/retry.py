"""When a failed request is repeated: one policy for the synchronous and the asynchronous client."""

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

__all__ = ["Attempts", "Retry"]


@dataclass(frozen=True, kw_only=True)
class Retry:
    """Say when a request is repeated: exponential back-off with jitter, waits of at most `budget` seconds in all.

    `sleep`, `asleep` (its asynchronous twin), `clock` (UTC seconds) and `jitter` (a number in [0, 1)) are
    injected by tests.
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
        """Return the seconds to wait after failed attempt number `attempt` (from 0).

        `reset` is how many seconds the exchange asks for; it counts when the request was throttled.
        """
        backoff = backoff_seconds(attempt, self.base, self.cap, self.jitter)
        return backoff if failure is not Failure.THROTTLED else reset + backoff


class Attempts:
    """Judge the failed attempts at one question, `what`; a ban closes the limiter for every other one."""

    def __init__(self, retry: Retry, limiter: RateLimiter, rules: FailureRules, what: str) -> None:
        self._retry = retry
        self._limiter = limiter
        self._rules = rules
        self._what = what
        self._failed = 0
        self._waited = 0.0

    def wait_after(self, error: Exception, evidence: Evidence) -> float:
        """Return the seconds to wait before the next attempt.

        Raises:
            ExchangeUnavailable: no attempt or no patience is left.
            ExchangeBanned: the exchange refuses this address.
            ExchangeRejected: no further attempt can succeed.
        """
        rules, exchange = self._rules, self._rules.exchange
        failure, reason = classify(error, evidence, rules), _reason(error, evidence)
        reset = reset_delay(evidence.headers, self._retry.clock(), rules)
        if failure is Failure.BANNED:
            text = _ban_text(evidence, rules, reset or rules.ban_seconds)
            self._limiter.close(text)
            raise ExchangeBanned(text) from error
        if failure is Failure.FATAL:
            raise ExchangeRejected(f"{exchange} refuses to give {self._what}: {reason}") from error
        delay = self._retry.delay(self._failed, failure, reset)
        self._failed += 1
        self._waited += delay
        if self._failed >= self._retry.attempts or self._waited > self._retry.budget:
            raise ExchangeUnavailable(
                f"{exchange} does not give {self._what} ({self._failed} attempts, {failure.value}): {reason}. "
                "What was stored before is kept; run the same command again to go on"
            ) from error
        return delay


def _ban_text(evidence: Evidence, rules: FailureRules, seconds: float) -> str:
    code = f"{rules.code_name} {evidence.code}" if evidence.code else f"HTTP {evidence.status}"
    return (
        f"{rules.exchange} refuses this address ({code}): too many requests, or its region is not served; no further "
        f"request is sent. What was stored is kept: resume later, in {-(-seconds // 60):.0f} minutes or more, by the "
        "same command"
    )


def _reason(error: BaseException, evidence: Evidence) -> str:
    """Return what went wrong; where no answer came, ccxt names the request alone, and its cause the fault."""
    inner = error
    while evidence.status is None and (deeper := inner.__cause__ or inner.__context__) is not None:
        inner = deeper
    lines = [error_line(error), *([] if inner is error else [error_line(inner)])]
    return ": ".join(dict.fromkeys(lines))
