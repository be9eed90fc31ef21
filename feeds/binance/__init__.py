"""Everything that is Binance's own: what its USD-M futures answer, and how it says that something failed."""

from .exchange import EXCHANGE, FUNDING_LIMIT, KLINE_LIMIT

__all__ = ["EXCHANGE", "FUNDING_LIMIT", "KLINE_LIMIT"]
