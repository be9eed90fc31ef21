"""Binance's error codes, request weights and hosts (USD-M futures)."""

from collections.abc import Mapping
from typing import Any

from ..exchange.failures import Failure, FailureRules
from ..exchange.protocol import CcxtRules

__all__ = ["CCXT_RULES", "FAILURE_RULES", "error_code", "malformed"]

_CODES = {
    -1000: Failure.TRANSIENT,  # unknown error
    -1001: Failure.TRANSIENT,  # internal error
    -1003: Failure.THROTTLED,  # too many requests
    -1006: Failure.TRANSIENT,  # unexpected response
    -1007: Failure.TRANSIENT,  # timeout of the backend
    -1008: Failure.THROTTLED,  # server overloaded
    -1016: Failure.TRANSIENT,  # service shutting down
    -1021: Failure.TRANSIENT,  # clock outside the receive window
    -1100: Failure.FATAL,  # illegal characters
    -1102: Failure.FATAL,  # parameter missing
    -1120: Failure.FATAL,  # unknown interval
    -1121: Failure.FATAL,  # unknown symbol
    -1122: Failure.FATAL,  # symbol status
    -1130: Failure.FATAL,  # invalid parameter
}
# Weight by the number of requested rows; the limit is 2400 per minute.
_KLINE_WEIGHTS = ((99, 1), (499, 2), (1000, 5), (1500, 10))
# Funding has its own limit: 500 requests in 5 minutes, or 100 a minute. The client uses a weight of 36 x 60 = 2160 a
# minute, so a weight of 22 keeps funding requests below 100 a minute.
_FUNDING_WEIGHT = 22
_LISTS = ("/klines", "/markPriceKlines", "/fundingRate", "/fundingInfo")


def error_code(answer: Any) -> int | None:
    """Return the code of an error response, None for any other response."""
    code = answer.get("code") if isinstance(answer, dict) else None
    return code if isinstance(code, int) and not isinstance(code, bool) else None


def malformed(url: str, answer: Any) -> str | None:
    """Return what is wrong with the JSON of an HTTP 200; None if it is complete or reports an error correctly."""
    if error_code(answer):
        return None
    path = url.partition("?")[0]
    if path.endswith(_LISTS):
        if not isinstance(answer, list):
            return f"expected a list, found {str(answer)[:40]!r}"
        strange = [row for row in answer if not isinstance(row, list | dict)]
        return f"expected rows, found {strange[0]!r}" if strange else None
    if not isinstance(answer, dict):
        return f"expected a JSON object, found {type(answer).__name__}"
    if path.endswith("/exchangeInfo"):
        symbols = answer.get("symbols")
        if not isinstance(symbols, list) or not all(isinstance(row, dict) for row in symbols):
            return f"expected a list of symbols, found {str(symbols)[:40]!r}"
    return None


def _urls(host: str) -> dict[str, Any]:
    return {
        "fapiPublic": f"{host}/fapi/v1",
        "fapiPrivate": f"{host}/fapi/v1",
        "fapiData": f"{host}/futures/data",
    }


def _weight(path: str, params: Mapping[str, Any]) -> int:
    if path in ("klines", "markPriceKlines"):
        return next(weight for rows, weight in _KLINE_WEIGHTS if int(params["limit"]) <= rows)
    return _FUNDING_WEIGHT if path in ("fundingRate", "fundingInfo") else 1


CCXT_RULES = CcxtRules(
    ccxt_id="binanceusdm",
    config={"has": {"fetchCurrencies": False}},
    urls=_urls,
    malformed=malformed,
    error_code=error_code,
    weight=_weight,
)
FAILURE_RULES = FailureRules(
    exchange="binance",
    codes=_CODES,
    code_name="code",
    statuses={418: Failure.BANNED},  # the client continued to send requests after HTTP 429
    ban_seconds=600.0,
)
