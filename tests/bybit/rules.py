"""The documented rules of Bybit v5 public market data, one function per endpoint.

Every function takes the query of a request and the exchange's state and returns `result`, or raises `Refused`
with the exchange's retCode. The rules are strict: every undocumented request is an error. So a client that relies on
undocumented behaviour of the real server fails its tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from tests.bybit import market
from tests.bybit.market import DAY, HOUR, MINUTE, Listing

__all__ = ["ENDPOINTS", "INTERVALS", "Exchange", "Refused", "kline"]

INTERVALS = {str(m): m * MINUTE for m in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)} | {
    "D": DAY,
    "W": 7 * DAY,
}
_OPEN_INTEREST = {
    "5min": 5 * MINUTE,
    "15min": 15 * MINUTE,
    "30min": 30 * MINUTE,
    "1h": HOUR,
    "4h": 4 * HOUR,
    "1d": DAY,
}
_CATEGORIES = ("linear", "inverse", "spot")
_MONDAY = 4 * DAY  # the epoch was a Thursday; Bybit's weeks start on Monday


class Refused(Exception):
    """An answer with HTTP 200 and a retCode other than 0."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message


class Exchange(Protocol):
    """The state that the rules read."""

    listings: list[Listing]
    missing: set[tuple[str, int, int]]
    shown_at: dict[tuple[str, int, int], int]
    funding_lag_ms: int
    interest_lag_ms: int
    ended: dict[str, int]

    def now(self) -> int: ...


Query = Mapping[str, str]


def _listing(exchange: Exchange, query: Query, category: str) -> Listing:
    for listing in exchange.listings:
        if listing.symbol == query.get("symbol") and listing.category == category:
            return listing
    raise Refused(10001, "params error: Symbol Invalid")


def _integer(query: Query, name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not text.isdigit():
        raise Refused(10001, f"params error: {name} invalid")
    return int(text)


def _limit(query: Query, default: int, maximum: int) -> int:
    limit = _integer(query, "limit")
    if limit is None:
        return default
    if not 1 <= limit <= maximum:
        raise Refused(10001, f"params error: limit must be in [1, {maximum}]")
    return limit


def _category(query: Query, allowed: tuple[str, ...]) -> str:
    category = query.get("category", "linear")
    if category not in allowed:
        raise Refused(10001, "params error: Category is invalid")
    return category


def time(exchange: Exchange, query: Query) -> dict[str, Any]:
    now = exchange.now()
    return {"timeSecond": str(now // 1000), "timeNano": str(now * 1_000_000)}


def _instrument(listing: Listing) -> dict[str, Any]:
    common = {
        "symbol": listing.symbol,
        "baseCoin": listing.base,
        "quoteCoin": listing.quote,
        "status": listing.status,
    }
    if listing.category == "spot":
        lots = {"basePrecision": listing.lot, "quotePrecision": "0.00000001", "minOrderQty": listing.min_qty}
        lots |= {"maxOrderQty": "1000000", "minOrderAmt": listing.min_notional, "maxOrderAmt": "4000000"}
        return common | {
            "innovation": "0",
            "marginTrading": "both",
            "lotSizeFilter": lots,
            "priceFilter": {"tickSize": listing.tick},
        }
    return common | {
        "contractType": "InversePerpetual" if listing.category == "inverse" else "LinearPerpetual",
        "settleCoin": listing.base if listing.category == "inverse" else listing.quote,
        "launchTime": str(listing.announced or listing.launch),
        "deliveryTime": "0",
        "fundingInterval": listing.interval or listing.funding[-1][1],
        "unifiedMarginTrade": True,
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": listing.tick, "maxPrice": "1999999.80", "tickSize": listing.tick},
        "lotSizeFilter": {
            "minOrderQty": listing.min_qty,
            "maxOrderQty": "1190.000",
            "qtyStep": listing.lot,
            "maxMktOrderQty": "119.000",
            "minNotionalValue": listing.min_notional,
        },
    }


def instruments_info(exchange: Exchange, query: Query) -> dict[str, Any]:
    """Serve one page; the default filter is Trading only, and spot is not paged."""
    category = _category(query, _CATEGORIES)
    limit = _limit(query, 500, 1000)
    status = query.get("status", "Trading")
    listed = [x for x in exchange.listings if x.symbol not in exchange.ended]
    found = [x for x in listed if x.category == category and x.status == status]
    if "symbol" in query:
        found = [x for x in found if x.symbol == query["symbol"]]
    if category == "spot":
        return {"category": category, "list": [_instrument(x) for x in found]}
    offset = int(query.get("cursor") or 0)
    page = found[offset : offset + limit]
    following = str(offset + limit) if offset + limit < len(found) else ""
    return {"category": category, "list": [_instrument(x) for x in page], "nextPageCursor": following}


def _starts(exchange: Exchange, query: Query, launch: int) -> tuple[np.ndarray, int]:
    """Return the starts of the bars of a kline window, oldest first, and the bar size.

    `start` and `end` are inclusive; a `start` inside a candle means that candle; of more than `limit` rows
    the newest are served; `start` alone runs forward from it.
    """
    step = INTERVALS.get(query.get("interval", ""))
    if step is None:
        raise Refused(10001, "params error: Invalid period!")
    limit = _limit(query, 200, 1000)
    start, end = _integer(query, "start"), _integer(query, "end")
    anchor = _MONDAY if step == 7 * DAY else 0

    def candle(stamp: int) -> int:
        return (stamp - anchor) // step * step + anchor

    if start is not None and end is not None and start > end:
        raise Refused(10001, "params error: The start time must not be after the end time")
    last = candle(exchange.now() if end is None else min(end, exchange.now()))
    if start is not None and end is None:
        last = min(last, candle(start) + (limit - 1) * step)
    first = last - (limit - 1) * step
    if start is not None:
        first = max(first, candle(start))
    return np.arange(max(first, candle(launch)), last + 1, step, dtype=np.int64), step


def _klines(exchange: Exchange, query: Query, category: str, scale: float, *, volume: bool) -> dict[str, Any]:
    listing = _listing(exchange, query, category)
    starts, step = _starts(exchange, query, listing.launch)
    if exchange.missing or exchange.shown_at:
        keys = [(listing.symbol, step, t) for t in starts.tolist()]
        shown = [
            key[2]
            for key in keys
            if key not in exchange.missing and exchange.shown_at.get(key, 0) <= exchange.now()
        ]
        starts = np.array(shown, dtype=np.int64)
    starts = starts[starts + step <= exchange.ended.get(listing.symbol, 2**62)]
    table = market.bars(listing.symbol, starts, step, exchange.now(), scale)
    rows = []
    for stamp, opened, high, low, closed, traded in reversed(table.tolist()):
        row = [str(int(stamp)), f"{opened:.4f}", f"{high:.4f}", f"{low:.4f}", f"{closed:.4f}"]
        base, quote = f"{traded:.3f}", f"{traded * closed:.4f}"
        # An inverse contract is one US dollar: its volume counts dollars, its turnover the base coin.
        amounts = [quote, base] if category == "inverse" else [base, quote]
        rows.append([*row, *amounts] if volume else row)
    return {"symbol": listing.symbol, "category": category, "list": rows}


def kline(exchange: Exchange, query: Query) -> dict[str, Any]:
    """Serve candles newest first; the newest one is still open."""
    return _klines(exchange, query, _category(query, _CATEGORIES), 1.0, volume=True)


def mark_price_kline(exchange: Exchange, query: Query) -> dict[str, Any]:
    """Serve mark-price candles: rows of five, no volume, not on spot."""
    return _klines(exchange, query, _category(query, ("linear", "inverse")), 1.0002, volume=False)


def funding_history(exchange: Exchange, query: Query) -> dict[str, Any]:
    """Serve settled rates newest first; `startTime` without `endTime` is an error."""
    category = _category(query, ("linear", "inverse"))
    listing = _listing(exchange, query, category)
    limit = _limit(query, 200, 200)
    start, end = _integer(query, "startTime"), _integer(query, "endTime")
    if start is not None and end is None:
        raise Refused(10001, "params error: startTime alone is not supported, endTime is required")
    if start is not None and end is not None and start > end:
        raise Refused(10001, "params error: startTime must not be after endTime")
    until = exchange.now() if end is None else min(end, exchange.now())
    until = min(until, exchange.now() - exchange.funding_lag_ms)
    settled = market.funding(listing, start or 0, until)[-limit:]
    rows = [
        {"symbol": listing.symbol, "fundingRate": f"{rate:.8f}", "fundingRateTimestamp": str(stamp)}
        for stamp, rate in reversed(settled)
    ]
    return {"category": category, "list": rows}


def open_interest(exchange: Exchange, query: Query) -> dict[str, Any]:
    """Serve open interest newest first, back from `endTime` by cursor; a lone `startTime` is ignored."""
    category = _category(query, ("linear", "inverse"))
    listing = _listing(exchange, query, category)
    step = _OPEN_INTEREST.get(query.get("intervalTime", ""))
    if step is None:
        raise Refused(10001, "params error: intervalTime invalid")
    limit = _limit(query, 50, 200)
    start, end = _integer(query, "startTime"), _integer(query, "endTime")
    until = exchange.now() if end is None else min(end, exchange.now())
    if query.get("cursor"):
        until = min(until, int(query["cursor"]))
    until = min(until, exchange.now() - exchange.interest_lag_ms)
    values = market.open_interest(listing, 0 if start is None or end is None else start, until, step)
    page = values[-limit:]
    following = str(page[0][0] - 1) if len(values) > limit else ""
    rows = [{"openInterest": f"{value:.8f}", "timestamp": str(stamp)} for stamp, value in reversed(page)]
    return {"symbol": listing.symbol, "category": category, "list": rows, "nextPageCursor": following}


def risk_limit(exchange: Exchange, query: Query) -> dict[str, Any]:
    """Serve three risk tiers, the smallest without a deduction; not on spot."""
    category = _category(query, ("linear", "inverse"))
    listing = _listing(exchange, query, category)
    table = [
        ("2000000", "0.005", "0.01", "100.00", ""),
        ("2600000", "0.0056", "0.0111", "90.00", "1200"),
        ("3200000", "0.0062", "0.0125", "80.00", "2760"),
    ]
    rows = [
        {
            "id": number,
            "symbol": listing.symbol,
            "riskLimitValue": limit,
            "maintenanceMargin": rate,
            "initialMargin": initial,
            "isLowestRisk": int(number == 1),
            "maxLeverage": leverage,
            "mmDeduction": deduction,
        }
        for number, (limit, rate, initial, leverage, deduction) in enumerate(table, 1)
    ]
    return {"category": category, "list": rows, "nextPageCursor": ""}


ENDPOINTS: dict[str, Callable[[Exchange, Query], dict[str, Any]]] = {
    "/v5/market/time": time,
    "/v5/market/instruments-info": instruments_info,
    "/v5/market/kline": kline,
    "/v5/market/mark-price-kline": mark_price_kline,
    "/v5/market/funding/history": funding_history,
    "/v5/market/open-interest": open_interest,
    "/v5/market/risk-limit": risk_limit,
}
