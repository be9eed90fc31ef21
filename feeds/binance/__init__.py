"""The code for Binance alone: requests, responses and error codes of its USD-M futures."""

from .exchange import EXCHANGE, FUNDING_LIMIT, KLINE_LIMIT

__all__ = ["EXCHANGE", "FUNDING_LIMIT", "KLINE_LIMIT"]
