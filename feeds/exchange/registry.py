"""The exchanges by name: everything that names one looks it up here."""

from collections.abc import Callable
from importlib import import_module

from scorenet.base.registry import Registry

from ..errors import BadSource
from .protocol import Exchange

__all__ = ["DEFAULT_EXCHANGE", "EXCHANGES", "find_exchange"]

EXCHANGES: Registry[Callable[[], Exchange]] = Registry("exchange", BadSource)
"""Functions that return an exchange; it is imported when it is asked for, and ccxt when a client is made."""


def _room(name: str) -> Callable[[], Exchange]:
    def load() -> Exchange:
        exchange: Exchange = import_module(f"..{name}.exchange", __package__).EXCHANGE
        return exchange

    return load


for _name in ("bybit", "binance"):
    EXCHANGES.register(_name)(_room(_name))

DEFAULT_EXCHANGE = "bybit"


def find_exchange(name: str) -> Exchange:
    """Return the exchange of a name.

    Raises:
        BadSource: there is none; says which there are and which one was probably meant.
    """
    return EXCHANGES[name]()
