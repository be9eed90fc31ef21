"""Clients of Bybit's public market data."""

from typing import Unpack

from ..exchange.market import AsyncMarket, Market, Settings
from .exchange import EXCHANGE

__all__ = ["AsyncBybit", "Bybit"]


class Bybit(Market):
    """Ask Bybit; see `feeds.exchange.market.Market` for what and how, `Settings` there for the arguments."""

    def __init__(self, **settings: Unpack[Settings]) -> None:
        super().__init__(EXCHANGE, **settings)


class AsyncBybit(AsyncMarket):
    """Ask as `Bybit` does, of many things at once; use in `async with`, or `await close()`."""

    def __init__(self, **settings: Unpack[Settings]) -> None:
        super().__init__(EXCHANGE, **settings)
