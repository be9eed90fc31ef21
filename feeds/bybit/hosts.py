"""Bybit's hosts, and which of them trade with real money."""

from ..exchange.protocol import Venue

__all__ = ["venue_of"]

_DOMAINS = (
    "bybit.com",
    "bytick.com",
    "bybit.ae",
    "bybit.eu",
    "bybit.id",
    "bybit.kz",
    "bybit.nl",
    "bybit.tr",
    "bybit-tr.com",
    "bybitgeorgia.ge",
)


def venue_of(host: str) -> Venue | None:
    """Return the venue of a host, given in lower case; None if the host is not one of Bybit's.

    A host of Bybit's that is neither a testnet nor a demo host counts as the mainnet.
    """
    if not any(host == domain or host.endswith(f".{domain}") for domain in _DOMAINS):
        return None
    name = host.partition(".")[0]
    if "testnet" in name:
        return Venue.TESTNET
    return Venue.DEMO if "demo" in name else Venue.MAINNET
