"""The one table that says what an exchange's failure means, for every client: sync, async and websocket.

ccxt's own classes are not enough: a "system error" (10016) is a plain ExchangeError there, a banned address
(HTTP 403) a RateLimitExceeded that is worth a retry, and a broken HTTP 200 is no error at all.
"""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Evidence", "Failure", "Malformed", "classify", "malformed", "reset_delay"]


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


_RET_CODES = {
    429: Failure.THROTTLED,
    5004: Failure.TRANSIENT,  # server timeout
    10000: Failure.TRANSIENT,  # server timeout
    10001: Failure.FATAL,  # parameter error
    10002: Failure.TRANSIENT,  # clock outside the receive window
    10003: Failure.FATAL,  # key invalid
    10004: Failure.FATAL,  # signature wrong
    10005: Failure.FATAL,  # key lacks the permission
    10006: Failure.THROTTLED,  # too many visits
    10007: Failure.FATAL,  # account not authenticated
    10008: Failure.BANNED,  # account banned
    10009: Failure.BANNED,  # address banned
    10010: Failure.FATAL,  # address not on the key's list
    10014: Failure.FATAL,  # the same request twice
    10016: Failure.TRANSIENT,  # system error
    10017: Failure.FATAL,  # no such path
    10018: Failure.THROTTLED,  # address over its rate
    10019: Failure.TRANSIENT,  # service restarting
    10024: Failure.FATAL,  # compliance rules
    10027: Failure.FATAL,  # trading banned
    10028: Failure.FATAL,  # needs a unified account
    10029: Failure.FATAL,  # symbol not on the key's list
    10429: Failure.THROTTLED,  # system-level protection
    20003: Failure.THROTTLED,  # too frequent in one session
    33004: Failure.FATAL,  # key expired
    110001: Failure.FATAL,  # no such order
    110003: Failure.FATAL,  # price outside the allowed range
    110004: Failure.FATAL,  # wallet balance too small
    110006: Failure.FATAL,  # assets cannot cover the margin
    110007: Failure.FATAL,  # available balance too small
    110008: Failure.FATAL,  # order finished or cancelled before
    110010: Failure.FATAL,  # order cancelled before
    110012: Failure.FATAL,  # available balance too small
    110014: Failure.FATAL,  # balance cannot cover added margin
    110017: Failure.FATAL,  # reduce-only rule broken
    110020: Failure.FATAL,  # too many active orders
    110021: Failure.FATAL,  # open-interest limit of the symbol
    110025: Failure.FATAL,  # position mode is that already
    110043: Failure.FATAL,  # leverage is that already
    110045: Failure.FATAL,  # wallet balance too small
    110072: Failure.FATAL,  # order link id used before: the order exists
    110079: Failure.TRANSIENT,  # order being processed
    110094: Failure.FATAL,  # notional below the minimum
    170001: Failure.TRANSIENT,  # internal error
    170007: Failure.TRANSIENT,  # timeout of the backend
    170032: Failure.TRANSIENT,  # network error
    170124: Failure.FATAL,  # order too large
    170131: Failure.FATAL,  # balance too small
    170136: Failure.FATAL,  # quantity below the minimum
    170140: Failure.FATAL,  # notional below the minimum
    170141: Failure.FATAL,  # order link id used before: the order exists
    170213: Failure.FATAL,  # no such order
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

_CODE = re.compile(r"-?[0-9]{1,9}")
_MOMENT = re.compile(r"[0-9]{1,15}")


class Malformed(Exception):
    """Report an answer that cannot be what was asked for."""


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
    if isinstance(code, bool) or not isinstance(code, str | int) or not _CODE.fullmatch(str(code)):
        return f"expected a retCode, found {str(code)[:40]!r}"
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
    if _MOMENT.fullmatch(reset):
        return max(0.0, int(reset) / 1000.0 - now)
    return float(after) if _MOMENT.fullmatch(after) else 0.0
