"""Where real orders go, who sends them, and what a run folder says about orders that went there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from feeds.exchange.access import host_of
from feeds.exchange.protocol import Exchange, Venue
from scorenet import ConfigError

from ..watch.ledger import Ledger
from .journal import Journal

__all__ = ["Place", "RealOrders", "check_paper", "place_of"]


@dataclass(frozen=True)
class Place:
    """The place of real orders: its name in the journal, and its text for the user."""

    venue: str
    text: str


class RealOrders(Protocol):
    """An account with real orders that follows the paper account; see `Mirror`."""

    def prepare(self, symbols: Sequence[str]) -> None:
        """Reconcile the account with the journal, before the first bar."""
        ...

    def follow(self, record: Mapping[str, Any]) -> None:
        """Bring the account to the target positions of a new bar's record."""
        ...

    def halt(self, flatten: bool) -> None:
        """Cancel open orders, close positions if `flatten`, and send no more orders."""
        ...

    def retry_halt(self) -> None:
        """Retry the parts of a halt that failed; called in every round of the event loop."""
        ...

    def report_positions(self) -> None:
        """Show the remaining positions, at the end of the session."""
        ...


def place_of(exchange: Exchange, base_url: str | None, mainnet: bool, order_host: str | None) -> Place:
    """Return where real orders go.

    Real money needs `mainnet`, wherever the host's name comes from. A host that is not known as one of the exchange's
    must be named a second time, as `order_host`.

    Raises:
        ConfigError: the options contradict each other, or do not state the place.
    """
    name = exchange.name.capitalize()
    if base_url is None:
        if order_host is not None:
            raise ConfigError("--order-host names the host of --base-url; it needs --base-url")
        venue = Venue.MAINNET if mainnet else Venue.TESTNET
        return Place(venue.value, _text(name, venue))
    host = host_of(base_url)
    if order_host is not None and order_host != host:
        raise ConfigError(f"--order-host: expected the host of --base-url, {host}, found {order_host}")
    found = exchange.venue(host)
    if found is None:
        if order_host is None:
            raise ConfigError(
                f"{host} is not known as a host of {name}, and real orders and the API key would go there; "
                f"if that is what you want, say so with --order-host {host}"
            )
        return Place(host, f"{host}, a host named by --order-host, perhaps with REAL MONEY")
    if found is Venue.MAINNET and not mainnet:
        raise ConfigError(
            f"--base-url {base_url} is {name}'s mainnet, with real money; pass --mainnet as well if you want that"
        )
    if mainnet and found in (Venue.TESTNET, Venue.DEMO):
        raise ConfigError(f"--mainnet contradicts --base-url {base_url}, which is {name}'s {found.value}")
    return Place(found.value, f"{base_url} ({_text(name, found)})")


def _text(name: str, venue: Venue) -> str:
    if venue is Venue.MAINNET:
        return f"{name}'s MAINNET, with real money"
    return venue.value if venue is Venue.LOCAL else f"{name}'s {venue.value}"


def check_paper(journal: Journal, stated: bool, say: Callable[[str], None]) -> None:
    """Tell, at the start of a session on paper, what real position the earlier sessions of its folder left.

    `stated`: the user has asked for paper.

    Raises:
        ConfigError: there were some, and the user has not asked for paper.
    """
    before = list(journal.records("reconciled"))
    if not before:
        return
    ledger = Ledger()
    for record in journal.records("intent", "outcome", "adopted"):
        ledger.add(record)
    listed = [f"{symbol} {size:+f}" for symbol, size in ledger.held.items() if size]
    listed += [f"an order in {order.symbol} whose outcome is unknown" for order in ledger.unknown.values()]
    text = f"this folder holds a run with real orders on {before[-1]['place']}; by its journal it holds "
    text += ", ".join(listed) or "no position"
    if not stated:
        raise ConfigError(
            f"{text}; pass --real-orders to go on, or --paper to go on without them and leave the real account as it is"
        )
    say(f"{text}; it is left as it is, because --paper was given")
