"""What can be traded and by which rules, and which instrument a name means."""

from collections.abc import Mapping
from dataclasses import dataclass

from scorenet.base.did_you_mean import close_matches

from .errors import BadSymbol

__all__ = ["Instrument", "Markets", "categories_of", "find", "unknown"]

_FORMS = {
    "linear": "a perpetual is written 'BTC/USDT:USDT'",
    "inverse": "an inverse one 'BTC/USD:BTC'",
    "spot": "spot 'BTC/USDT'",
}


@dataclass(frozen=True)
class Instrument:
    """Describe a market of an exchange.

    `id` is the exchange's name, `category` "linear", "inverse" or "spot". `tick` (quote), `lot_step`,
    `min_quantity` and `max_quantity` of a market order (base units; contracts of one US dollar if inverse)
    and `min_notional` (quote) are the rules of an order, 0.0 where there is none. `funding_minutes` is
    today's interval between settlements, None on spot. `launch` is the announced UTC ms (bars may be older),
    `delivery` when trading ends, None if unknown. `active` is False before trading starts.
    """

    symbol: str
    id: str
    category: str
    tick: float
    lot_step: float
    min_quantity: float
    min_notional: float
    funding_minutes: int | None
    launch: int | None
    active: bool
    max_quantity: float = 0.0
    delivery: int | None = None


Markets = Mapping[str, Instrument]
"""The instruments of one category by symbol."""


def categories_of(name: str) -> tuple[str, ...]:
    """Return where to look for a name: BTC/USDT is spot, BTC/USDT:USDT linear, BTC/USD:BTC inverse.

    The exchange's own BTCUSDT and BTCUSD are perpetuals, linear before inverse.
    """
    if "/" not in name:
        return ("linear", "inverse")
    pair, colon, settle = name.partition(":")
    if not colon:
        return ("spot",)
    return ("linear",) if pair.endswith(f"/{settle}") else ("inverse",)


def find(name: str, listed: Markets) -> Instrument | None:
    """Return the instrument that a name means among those of one category; None if there is none."""
    if name in listed or "/" in name:
        return listed.get(name)
    return next((instrument for instrument in listed.values() if instrument.id == name), None)


def unknown(exchange: str, name: str, listed: Mapping[str, Markets]) -> BadSymbol:
    """Return the error for a name that an exchange does not list, given its markets by category; hints at others."""
    known = {symbol: instrument for markets in listed.values() for symbol, instrument in markets.items()}
    return BadSymbol(f"{exchange} lists no {name!r}{_hint(name, known, tuple(listed))}")


def _hint(name: str, known: Markets, categories: tuple[str, ...]) -> str:
    pair, _, settle = name.partition(":")
    base, slash, quote = pair.partition("/")
    perpetual = f"{pair}:{quote}"
    if slash and not settle and perpetual in known:
        return f" on the spot market; the linear perpetual is {perpetual!r}"
    if settle and perpetual in known:
        return f"; the linear perpetual is {perpetual!r}, settled in the quote"
    if settle and f"{pair}:{base}" in known:
        return f"; the inverse perpetual is {pair + ':' + base!r}, settled in the base"
    if settle and pair in known:
        return f" perpetual; {pair!r} is the spot market"
    close = _closest(name, known)
    if close:
        return f"; did you mean {' or '.join(map(repr, close))}?"
    return f"; {', '.join(form for category, form in _FORMS.items() if category in categories)}"


def _closest(name: str, known: Markets) -> list[str]:
    spelled: dict[str, str] = {}
    for symbol, instrument in known.items():
        spelled.setdefault(_plain(symbol), symbol)
        if instrument.category != "spot":
            spelled.setdefault(_plain(instrument.id), symbol)
    wanted = _plain(name)
    close = [wanted] if wanted in spelled else close_matches(wanted, spelled, 3, 0.75)
    return list(dict.fromkeys(spelled[match] for match in close))[:2]


def _plain(name: str) -> str:
    return "".join(c for c in name.upper() if c.isalnum())
