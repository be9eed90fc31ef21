"""Bybit's response format, error codes and hosts."""

import re
from collections.abc import Mapping
from typing import Any

from ..exchange.failures import Failure, FailureRules, Malformed
from ..exchange.protocol import CcxtRules

__all__ = ["CCXT_RULES", "FAILURE_RULES", "REQUESTS_PER_SECOND", "error_code", "malformed", "server_ms"]

_CODES = {
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
    10032: Failure.FATAL,  # not for demo accounts
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
_CATEGORIES = ("linear", "inverse", "spot", "option")
_LAST_MS = 10**14  # the year 5138
_CODE = re.compile(r"-?[0-9]{1,9}")


def error_code(answer: Any) -> int | None:
    """Return the retCode of a response, 0 for success; None if the response has none."""
    code = answer.get("retCode") if isinstance(answer, dict) else None
    if isinstance(code, bool) or not isinstance(code, str | int) or not _CODE.fullmatch(str(code)):
        return None
    return int(code)


def answer_time(answer: Any) -> float | None:
    """Return the exchange's time in a response, UTC seconds; None if it has none."""
    stamp = answer.get("time") if isinstance(answer, dict) else None
    return stamp / 1000.0 if type(stamp) is int and 0 < stamp < _LAST_MS else None


def server_ms(answer: Any) -> int:
    """Return the time in the answer of the time endpoint, UTC ms.

    Raises:
        Malformed: it has none.
    """
    seconds = answer_time(answer)
    if seconds is None:
        raise Malformed(f"expected a time in ms, found {str(answer)[:80]!r}")
    return round(seconds * 1000)


def malformed(url: str, answer: Any) -> str | None:
    """Return what is wrong with the JSON of an HTTP 200; None if it has rows or reports an error correctly."""
    if not isinstance(answer, dict):
        return f"expected a JSON object, found {type(answer).__name__}"
    code = error_code(answer)
    if code is None:
        return f"expected a retCode, found {str(answer.get('retCode'))[:40]!r}"
    if code != 0:
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


def _urls(host: str) -> dict[str, Any]:
    stream = re.sub(r"^http", "ws", host) + "/v5"
    private = f"{stream}/private"
    return {
        **dict.fromkeys(("public", "private", "spot", "futures", "v2"), host),
        "ws": {
            "public": {category: f"{stream}/public/{category}" for category in _CATEGORIES},
            "private": {
                "spot": {"unified": private, "nonUnified": private},
                "contract": private,
                "usdc": private,
                "trade": f"{stream}/trade",
            },
        },
    }


def _weight(path: str, params: Mapping[str, Any]) -> int:
    return 1


# Bybit allows 600 requests in 5 s per address. At 100 requests per second, at most 600 are sent in any 6 s. So the
# limit is kept even if network delays differ by up to one second.
REQUESTS_PER_SECOND = 100.0
CCXT_RULES = CcxtRules(
    ccxt_id="bybit",
    config={"has": {"fetchCurrencies": False}, "options": {"defaultType": "swap"}},
    urls=_urls,
    malformed=malformed,
    error_code=error_code,
    weight=_weight,
    answer_time=answer_time,
)
FAILURE_RULES = FailureRules(
    exchange="bybit",
    codes=_CODES,
    code_name="retCode",
    statuses={418: Failure.THROTTLED},
    reset_header="X-Bapi-Limit-Reset-Timestamp",
    ban_seconds=600.0,
)
