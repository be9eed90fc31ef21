"""The registry of exchanges by name."""

from collections.abc import Callable
from importlib import import_module

from scorenet.base.registry import Registry

from ..errors import BadSource
from .protocol import Exchange

__all__ = ["DEFAULT_EXCHANGE", "EXCHANGES", "find_exchange"]

EXCHANGES: Registry[Callable[[], Exchange]] = Registry("exchange", BadSource)
"""Functions that return an exchange. A call imports the exchange's package; the first client imports ccxt."""


def _loader(name: str) -> Callable[[], Exchange]:
    def load() -> Exchange:
        exchange: Exchange = import_module(f"..{name}.exchange", __package__).EXCHANGE
        return exchange

    return load


for _name in ("bybit", "binance"):
    EXCHANGES.register(_name)(_loader(_name))

DEFAULT_EXCHANGE = "bybit"


def find_exchange(name: str) -> Exchange:
    """Return the exchange with that name.

    Raises:
        BadSource: the name is unknown; the message lists the known names and suggests the closest one.
    """
    return EXCHANGES[name]()
