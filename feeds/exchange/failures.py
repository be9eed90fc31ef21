"""What the failure of a request means, for every client of every exchange: synchronous, asynchronous, websocket.

ccxt's own classes are not enough: a "system error" is often a plain ExchangeError there, a banned address (HTTP 403)
a RateLimitExceeded that is worth a retry, and a broken HTTP 200 is no error at all. So each exchange states its codes
(`FailureRules`), and ccxt's class decides only about what is in no table.
"""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Evidence", "Failure", "FailureRules", "Malformed", "classify", "reset_delay"]


class Failure(enum.Enum):
    """What to do about a failed request that reads.

    A request that creates an order is never asked again, whatever this says: it may have been done.
    """

    TRANSIENT = "transient"
    """Ask again a little later."""
    THROTTLED = "throttled"
    """Ask again when the exchange's window resets."""
    BANNED = "banned"
    """Ask nothing more: every further request makes it worse."""
    FATAL = "fatal"
    """Never ask this again: it cannot succeed."""


# For what is in no table: the first of these ccxt classes that the error is an instance of.
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
_MOMENT = re.compile(r"[0-9]{1,15}")


class Malformed(Exception):
    """Report an answer that cannot be what was asked for."""


@dataclass(frozen=True)
class Evidence:
    """What is known of an answer: HTTP status (None: none came), error code (None: none readable), headers."""

    status: int | None = None
    code: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class FailureRules:
    """Say what the refusals of an exchange mean.

    `codes` are those in its answers, which messages call `code_name`; `statuses` are the HTTP statuses that mean
    something else there than usual. `reset_header` holds the UTC ms when the window of a rate limit resets, where
    there is one beside Retry-After. `ban_seconds` is how long a ban lasts when the answer does not say.
    """

    exchange: str
    codes: Mapping[int, Failure]
    code_name: str
    statuses: Mapping[int, Failure] = field(default_factory=dict)
    reset_header: str = ""
    ban_seconds: float = 600.0


def classify(error: BaseException, evidence: Evidence, rules: FailureRules) -> Failure:
    """Return what a failure means.

    The first of these decides: an HTTP status with a meaning of its own, a server error, a known code, any other
    HTTP error, ccxt's class.
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
    # An answer that fits nothing known is worth the bounded number of retries: reading twice does no harm.
    return next((failure for name, failure in _CLASSES.items() if name in names), Failure.TRANSIENT)


def reset_delay(headers: Mapping[str, str], now: float, rules: FailureRules) -> float:
    """Return the seconds until the exchange lets requests through again as its headers say, 0.0 when they do not."""
    lowered = {name.lower(): value for name, value in headers.items()}
    reset, after = lowered.get(rules.reset_header.lower(), ""), lowered.get("retry-after", "")
    if _MOMENT.fullmatch(reset):
        return max(0.0, int(reset) / 1000.0 - now)
    return float(after) if _MOMENT.fullmatch(after) else 0.0
