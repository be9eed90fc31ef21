"""A loopback Binance (USD-M futures, REST) on 127.0.0.1, with the market and the faults of the loopback Bybit."""

from tests.binance.server import LoopbackBinance, Refuse

__all__ = ["LoopbackBinance", "Refuse"]
