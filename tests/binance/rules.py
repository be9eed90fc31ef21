"""The documented rules of Binance USD-M market data, one function per endpoint; any other request is an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tests.bybit import market
from tests.bybit.market import DAY, HOUR, MINUTE, Listing
from tests.bybit.rules import Exchange

__all__ = ["ENDPOINTS", "INTERVALS", "RefusedHere", "weight"]

INTERVALS = {f"{m}m": m * MINUTE for m in (1, 3, 5, 15, 30)}
INTERVALS |= {f"{h}h": h * HOUR for h in (1, 2, 4, 6, 8, 12)} | {"1d": DAY, "3d": 3 * DAY}
JITTER_MS = 11
"""Settlements are stamped up to so many ms after their hour."""

Query = Mapping[str, str]


class RefusedHere(Exception):
    """An answer with HTTP 400 and an error code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def weight(path: str, query: Query) -> int:
    """Return the weight of a request; the limit is 2400 per minute."""
    if path.endswith(("/klines", "/markPriceKlines")):
        limit = int(query.get("limit", "500"))
        return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10
    return 1


def _listing(exchange: Exchange, query: Query) -> Listing:
    for listing in exchange.listings:
        if listing.symbol == query.get("symbol") and listing.category == "linear":
            return listing
    raise RefusedHere(-1121, "Invalid symbol.")


def _window(exchange: Exchange, query: Query, default: int, maximum: int) -> tuple[int | None, int, int]:
    try:
        limit = int(query.get("limit", str(default)))
        start = int(query["startTime"]) if "startTime" in query else None
        end = int(query.get("endTime", str(exchange.now())))
    except ValueError:
        raise RefusedHere(-1100, "Illegal characters found in a parameter.") from None
    if not 1 <= limit <= maximum or (start is not None and start > end):
        raise RefusedHere(-1130, "Data sent for parameter is not valid.")
    return start, min(end, exchange.now()), limit


def time(exchange: Exchange, query: Query) -> Any:
    return {"serverTime": exchange.now()}


def exchange_info(exchange: Exchange, query: Query) -> Any:
    def symbol(listing: Listing) -> dict[str, Any]:
        return {
            "symbol": listing.symbol,
            "pair": listing.symbol,
            "contractType": "PERPETUAL",
            "deliveryDate": 4_133_404_800_000,
            "onboardDate": listing.launch,
            "status": "TRADING" if listing.status == "Trading" else "PENDING_TRADING",
            "baseAsset": listing.base,
            "quoteAsset": listing.quote,
            "marginAsset": listing.quote,
            "filters": [
                {"filterType": "PRICE_FILTER", "tickSize": listing.tick},
                {
                    "filterType": "LOT_SIZE",
                    "stepSize": listing.lot,
                    "minQty": listing.min_qty,
                    "maxQty": "1000",
                },
                {"filterType": "MARKET_LOT_SIZE", "stepSize": listing.lot, "minQty": "1", "maxQty": "120"},
                {"filterType": "MIN_NOTIONAL", "notional": listing.min_notional},
            ],
        }

    listed = [symbol(listing) for listing in exchange.listings if listing.category == "linear"]
    quarterly = {"symbol": "BTCUSDT_240927", "contractType": "CURRENT_QUARTER"}
    return {"timezone": "UTC", "symbols": [*listed, quarterly]}


def funding_info(exchange: Exchange, query: Query) -> Any:
    return [
        {"symbol": listing.symbol, "fundingIntervalHours": listing.funding[-1][1] // 60}
        for listing in exchange.listings
        if listing.category == "linear" and listing.funding[-1][1] != 480
    ]


def _klines(exchange: Exchange, query: Query, scale: float) -> Any:
    """Serve bars oldest first; both ends are inclusive; of more than `limit` rows the first, if there is a start."""
    listing = _listing(exchange, query)
    step = INTERVALS.get(query.get("interval", ""))
    if step is None:
        raise RefusedHere(-1120, "Invalid interval.")
    start, end, limit = _window(exchange, query, 500, 1500)
    last = end // step * step
    first = last - (limit - 1) * step if start is None else -(-start // step) * step
    first = max(first, -(-listing.launch // step) * step)
    starts = np.arange(first, min(last, first + (limit - 1) * step) + 1, step, dtype=np.int64)
    kept = [t for t in starts.tolist() if (listing.symbol, step, t) not in exchange.missing]
    table = market.bars(listing.symbol, np.array(kept, dtype=np.int64), step, exchange.now(), scale)

    def row(bar: list[float]) -> list[Any]:
        stamp, prices, volume = int(bar[0]), [f"{value:.4f}" for value in bar[1:5]], f"{bar[5]:.3f}"
        return [stamp, *prices, volume, stamp + step - 1, "0", 1, "0", "0", "0"]

    return [row(bar) for bar in table.tolist()]


def klines(exchange: Exchange, query: Query) -> Any:
    return _klines(exchange, query, 1.0)


def mark_price_klines(exchange: Exchange, query: Query) -> Any:
    return _klines(exchange, query, 1.0002)


def funding_rate(exchange: Exchange, query: Query) -> Any:
    """Serve settlements oldest first, ends inclusive; with a start the first `limit` of them."""
    listing = _listing(exchange, query)
    start, end, limit = _window(exchange, query, 100, 1000)
    settled = [
        (stamp + stamp // HOUR % (JITTER_MS + 1), rate) for stamp, rate in market.funding(listing, 0, end)
    ]
    inside = [(stamp, rate) for stamp, rate in settled if (start or 0) <= stamp <= end]
    page = inside[-limit:] if start is None else inside[:limit]
    return [
        {"symbol": listing.symbol, "fundingTime": stamp, "fundingRate": f"{rate:.8f}", "markPrice": "1.0"}
        for stamp, rate in page
    ]


ENDPOINTS: dict[str, Callable[[Exchange, Query], Any]] = {
    "/fapi/v1/time": time,
    "/fapi/v1/exchangeInfo": exchange_info,
    "/fapi/v1/fundingInfo": funding_info,
    "/fapi/v1/klines": klines,
    "/fapi/v1/markPriceKlines": mark_price_klines,
    "/fapi/v1/fundingRate": funding_rate,
}
