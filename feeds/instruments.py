"""Instruments with their trading rules, and the lookup of an instrument by name."""

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
    """A market of an exchange; a trading rule of 0.0 means that there is no such rule.

    Attributes:
        symbol: unified name, e.g. "BTC/USDT:USDT".
        id: the exchange's own name, e.g. "BTCUSDT".
        category: "linear", "inverse" or "spot".
        tick: price step, quote currency.
        lot_step, min_quantity: step and minimum of an order's size, base units (inverse: contracts of one US dollar).
        min_notional: smallest order value, quote currency.
        funding_minutes: present interval between settlements; None for spot, or if the exchange does not tell it.
        launch: announced start of trading, UTC ms; bars may be older. None if unknown.
        active: False before trading starts.
        max_quantity: largest size of a market order, in the units of `lot_step`.
        delivery: end of trading, UTC ms; None if unknown.
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
    """Return the categories to search for a name: BTC/USDT is spot, BTC/USDT:USDT linear, BTC/USD:BTC inverse.

    Names without "/", such as BTCUSDT and BTCUSD, are perpetuals; linear is searched before inverse.
    """
    if "/" not in name:
        return ("linear", "inverse")
    pair, colon, settle = name.partition(":")
    if not colon:
        return ("spot",)
    return ("linear",) if pair.endswith(f"/{settle}") else ("inverse",)


def find(name: str, listed: Markets) -> Instrument | None:
    """Return the instrument with a name (symbol or exchange id) in one category, None if there is none."""
    if name in listed or "/" in name:
        return listed.get(name)
    return next((instrument for instrument in listed.values() if instrument.id == name), None)


def unknown(exchange: str, name: str, listed: Mapping[str, Markets]) -> BadSymbol:
    """Return the error for a name that an exchange does not list; the message suggests similar markets."""
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
