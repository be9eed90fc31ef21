"""Classify failed requests, for every client of every exchange: synchronous, asynchronous and websocket.

ccxt's error classes are not enough. A "system error" is often a plain ExchangeError there. A banned address (HTTP 403)
is a RateLimitExceeded, which suggests a retry. A broken HTTP 200 raises no error. So each exchange lists its error
codes (`FailureRules`), and ccxt's class is used only for errors that no table contains.
"""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Evidence", "Failure", "FailureRules", "Malformed", "classify", "reset_delay"]


class Failure(enum.Enum):
    """How to react to the failure of a read request.

    These reactions do not apply to a request that creates an order. The exchange may have executed that request even
    if the response reports a failure, so it is never simply repeated.
    """

    TRANSIENT = "transient"
    """Retry after a backoff."""
    THROTTLED = "throttled"
    """Retry after the exchange's rate-limit window resets."""
    BANNED = "banned"
    """Send no further request: it would prolong the ban."""
    FATAL = "fatal"
    """Do not retry: the request cannot succeed."""


# Used for errors that no table contains: the first of these ccxt classes in the error's class hierarchy decides.
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

_STATUSES = {
    403: Failure.BANNED,
    408: Failure.TRANSIENT,
    409: Failure.TRANSIENT,
    425: Failure.TRANSIENT,
    429: Failure.THROTTLED,
    451: Failure.BANNED,  # the region is not served
}
_DAY_SECONDS = 86_400.0
_DIGITS = re.compile(r"[0-9]{1,15}")


class Malformed(Exception):
    """The response does not have the expected form, or its content is invalid."""


@dataclass(frozen=True)
class Evidence:
    """The facts about a failed request.

    status: HTTP status; None without a response. code: the exchange's error code; None if the response has none.
    headers: of the response. time: the exchange's time in the response, UTC seconds; None if it has none.
    """

    status: int | None = None
    code: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    time: float | None = None


@dataclass(frozen=True, kw_only=True)
class FailureRules:
    """The error table of one exchange.

    codes: the reaction to each error code; messages call the code by `code_name`. statuses: HTTP statuses with another
    meaning at this exchange than usual. reset_header: the header with the UTC ms at which the rate-limit window resets,
    "" if the exchange sends only Retry-After. longest_reset: longest window of the rate limit, seconds; a header that
    states more is wrong. ban_seconds: the length of a ban if the response does not state it.
    """

    exchange: str
    codes: Mapping[int, Failure]
    code_name: str
    statuses: Mapping[int, Failure] = field(default_factory=dict)
    reset_header: str = ""
    longest_reset: float = 60.0
    ban_seconds: float = 600.0


def classify(error: BaseException, evidence: Evidence, rules: FailureRules) -> Failure:
    """Return how to react to a failure.

    The first match of this list decides: an HTTP status in the tables, a server error (5xx), an error code in the
    table, any other HTTP error, ccxt's error class.
    """
    status = evidence.status or 0
    statuses = {**_STATUSES, **rules.statuses}
    if status in statuses:
        return statuses[status]
    if status >= 500:
        return Failure.TRANSIENT
    if evidence.code is not None and evidence.code in rules.codes:
        return rules.codes[evidence.code]
    if status >= 400:
        return Failure.FATAL
    names = {base.__name__ for base in type(error).__mro__}
    # An unknown error is retried: a repeated read request does no harm, and the number of retries is limited.
    return next((failure for name, failure in _CLASSES.items() if name in names), Failure.TRANSIENT)


def reset_delay(headers: Mapping[str, str], now: float, rules: FailureRules) -> float:
    """Return the seconds until the rate limit resets, according to the response headers; 0.0 if no header states it.

    `now` is UTC seconds. A reset further away than any window of the rate limit means that the two clocks differ, so
    it counts as none. Retry-After needs no clock; more than a day counts as a day.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    reset, after = lowered.get(rules.reset_header.lower(), ""), lowered.get("retry-after", "")
    if _DIGITS.fullmatch(reset):
        seconds = int(reset) / 1000.0 - now
        return seconds if 0.0 < seconds <= rules.longest_reset else 0.0
    return min(float(after), _DAY_SECONDS) if _DIGITS.fullmatch(after) else 0.0
