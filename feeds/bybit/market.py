"""Clients of Bybit's public market data."""

from typing import Unpack

from ..exchange.market import AsyncMarket, Market, Settings
from .exchange import EXCHANGE

__all__ = ["AsyncBybit", "Bybit"]


class Bybit(Market):
    """Synchronous client for Bybit: `feeds.exchange.market.Market` has the methods, `Settings` there the arguments."""

    def __init__(self, **settings: Unpack[Settings]) -> None:
        super().__init__(EXCHANGE, **settings)


class AsyncBybit(AsyncMarket):
    """Asynchronous client for Bybit, for concurrent requests; use it in `async with`, or call `await close()`."""

    def __init__(self, **settings: Unpack[Settings]) -> None:
        super().__init__(EXCHANGE, **settings)
