"""The one table that says what an exchange's failure means, for every client: sync, async and websocket.

ccxt's own classes are not enough: a "system error" (10016) is a plain ExchangeError there, a banned address
(HTTP 403) a RateLimitExceeded that is worth a retry, and a broken HTTP 200 is no error at all.
"""

import enum
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Evidence", "Failure", "Retry", "classify", "malformed", "reset_delay"]


class Failure(enum.Enum):
    """What to do about a failed request."""

    TRANSIENT = "transient"
    """Ask again a little later."""
    THROTTLED = "throttled"
    """Ask again when the exchange's window resets."""
    BANNED = "banned"
    """Ask nothing more: every further request makes it worse."""
    FATAL = "fatal"
    """Never ask this again: it cannot succeed."""


_RET_CODES = {
    429: Failure.THROTTLED,
    5004: Failure.TRANSIENT,  # server timeout
    10000: Failure.TRANSIENT,  # server timeout
    10001: Failure.FATAL,  # parameter error
    10002: Failure.TRANSIENT,  # clock outside the receive window
    10006: Failure.THROTTLED,  # too many visits
    10009: Failure.BANNED,  # address banned
    10010: Failure.FATAL,  # address not on the key's list
    10016: Failure.TRANSIENT,  # system error
    10018: Failure.THROTTLED,  # address over its rate
    10019: Failure.TRANSIENT,  # service restarting
    10024: Failure.FATAL,  # compliance rules
    10429: Failure.THROTTLED,  # system-level protection
    20003: Failure.THROTTLED,  # too frequent in one session
    170001: Failure.TRANSIENT,  # internal error
    170007: Failure.TRANSIENT,  # timeout of the backend
    170032: Failure.TRANSIENT,  # network error
}
_STATUSES = {
    403: Failure.BANNED,
    408: Failure.TRANSIENT,
    409: Failure.TRANSIENT,
    418: Failure.THROTTLED,
    425: Failure.TRANSIENT,
    429: Failure.THROTTLED,
    451: Failure.BANNED,
}
# For codes that are in neither table: the first of these ccxt classes that the error is an instance of.
_CLASSES = {
    "DDoSProtection": Failure.THROTTLED,
    "RateLimitExceeded": Failure.THROTTLED,
    "OperationFailed": Failure.TRANSIENT,
    "AuthenticationError": Failure.FATAL,
    "ArgumentsRequired": Failure.FATAL,
    "BadRequest": Failure.FATAL,
    "OperationRejected": Failure.FATAL,
    "NotSupported": Failure.FATAL,
    "InvalidOrder": Failure.FATAL,
    "InvalidProxySettings": Failure.FATAL,
}


@dataclass(frozen=True)
class Evidence:
    """What is known of an answer: HTTP status (None: none came), retCode (None: none readable), headers."""

    status: int | None = None
    ret_code: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def classify(error: BaseException, evidence: Evidence) -> Failure:
    """Return what a failure means: by the HTTP status, else by the retCode, else by ccxt's class."""
    status = evidence.status
    if status is not None and status >= 400:
        return _STATUSES.get(status, Failure.TRANSIENT if status >= 500 else Failure.FATAL)
    if evidence.ret_code in _RET_CODES:
        return _RET_CODES[evidence.ret_code]
    names = {base.__name__ for base in type(error).__mro__}
    # An answer that fits nothing known is worth the bounded number of retries: reading twice does no harm.
    return next((failure for name, failure in _CLASSES.items() if name in names), Failure.TRANSIENT)


def malformed(url: str, answer: Any) -> str | None:
    """Return what is wrong with the JSON of an HTTP 200, None for an envelope with rows or with an error."""
    if not isinstance(answer, dict):
        return f"expected a JSON object, found {type(answer).__name__}"
    code = answer.get("retCode")
    if isinstance(code, bool) or not isinstance(code, str | int) or not str(code).lstrip("-").isdigit():
        return f"expected a retCode, found {code!r}"
    if int(code) != 0:
        return None
    result = answer.get("result")
    if not isinstance(result, dict):
        return f"expected a result object, found {type(result).__name__}"
    if "/v5/market/" not in url or "/v5/market/time" in url:
        return None
    rows = result.get("list")
    if not isinstance(rows, list):
        return f"expected a result with a list, found {type(rows).__name__}"
    strange = next((row for row in rows if not isinstance(row, list | dict)), None)
    return None if strange is None and None not in rows else f"expected rows, found {strange!r}"


def reset_delay(headers: Mapping[str, str], now: float) -> float:
    """Return the seconds until the exchange's window resets as its headers say, 0.0 when they do not."""
    lowered = {name.lower(): value for name, value in headers.items()}
    reset, after = lowered.get("x-bapi-limit-reset-timestamp", ""), lowered.get("retry-after", "")
    if reset.isdigit():
        return max(0.0, int(reset) / 1000.0 - now)
    return float(after) if after.isdigit() else 0.0


@dataclass(frozen=True)
class Retry:
    """Say how patiently to ask again: exponential back-off with jitter, at most `budget` seconds in all.

    `sleep`, `clock` (UTC seconds) and `jitter` (a number in [0, 1)) are injected by tests.
    """

    attempts: int = 6
    base: float = 0.5
    cap: float = 20.0
    budget: float = 120.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.time
    jitter: Callable[[], float] = random.random

    def delay(self, attempt: int, failure: Failure, headers: Mapping[str, str]) -> float:
        """Return the seconds to wait after failed attempt number `attempt` (from 0)."""
        backoff = min(self.cap, self.base * 2.0**attempt) * (0.5 + 0.5 * self.jitter())
        if failure is not Failure.THROTTLED:
            return backoff
        return reset_delay(headers, self.clock()) + backoff
