"""How patiently to ask again: one policy for the synchronous and the asynchronous client."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from ..errors import ExchangeBanned, ExchangeRejected, ExchangeUnavailable
from .failures import Evidence, Failure, classify, reset_delay
from .rate_limit import Gate

__all__ = ["Attempts", "Retry"]


@dataclass(frozen=True, kw_only=True)
class Retry:
    """Say how patiently to ask again: exponential back-off with jitter, at most `budget` seconds in all.

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

    def delay(self, attempt: int, failure: Failure, headers: Mapping[str, str]) -> float:
        """Return the seconds to wait after failed attempt number `attempt` (from 0)."""
        backoff = min(self.cap, self.base * 2.0**attempt) * (0.5 + 0.5 * self.jitter())
        if failure is not Failure.THROTTLED:
            return backoff
        return reset_delay(headers, self.clock()) + backoff


class Attempts:
    """Judge the failed attempts at one question, `what`; a ban closes the gate for every other one."""

    def __init__(self, retry: Retry, gate: Gate, what: str) -> None:
        self._retry = retry
        self._gate = gate
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
        failure, reason = classify(error, evidence), _reason(error, evidence)
        if failure is Failure.BANNED:
            self._gate.close(_ban_text(evidence))
            raise ExchangeBanned(_ban_text(evidence)) from error
        if failure is Failure.FATAL:
            raise ExchangeRejected(f"bybit refuses to give {self._what}: {reason}") from error
        delay = self._retry.delay(self._failed, failure, evidence.headers)
        self._failed += 1
        self._waited += delay
        if self._failed >= self._retry.attempts or self._waited > self._retry.budget:
            raise ExchangeUnavailable(
                f"bybit does not give {self._what} ({self._failed} attempts, {failure.value}): {reason}. "
                "What was stored before is kept; run the same command again to go on"
            ) from error
        return delay


def _ban_text(evidence: Evidence) -> str:
    code = f"retCode {evidence.ret_code}" if evidence.ret_code else f"HTTP {evidence.status}"
    return (
        f"bybit refuses this address ({code}): too many requests, or its region is not served; no further "
        "request is sent. What was stored is kept: resume later, in 10 minutes or more, by the same command"
    )


def _reason(error: BaseException, evidence: Evidence) -> str:
    """Return what went wrong; where no answer came, ccxt names the request alone, and its cause the fault."""
    inner = error
    while evidence.status is None and (deeper := inner.__cause__ or inner.__context__) is not None:
        inner = deeper
    lines = [_first_line(error), *([] if inner is error else [_first_line(inner)])]
    return ": ".join(dict.fromkeys(lines))


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
