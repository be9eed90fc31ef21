"""What can be traded and by which rules, and which instrument a name means."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from feeds.errors import BadSymbol

__all__ = ["Instrument", "category_of", "resolve"]


@dataclass(frozen=True)
class Instrument:
    """Describe a market of the exchange.

    `id` is the exchange's name, `category` "linear" or "spot"; `tick` (quote), `lot_step` and `min_quantity`
    (base units) and `min_notional` (quote) are the rules of an order; `funding_minutes` is today's interval
    between settlements, `launch` the announced UTC ms (bars may be older), both None on spot. `active` is
    False before trading starts.
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


Markets = Mapping[str, Instrument]


def category_of(name: str) -> str:
    """Return "spot" for a name such as BTC/USDT, "linear" for BTC/USDT:USDT and BTCUSDT."""
    return "spot" if "/" in name and ":" not in name else "linear"


def resolve(name: str, markets: Callable[[str], Markets]) -> Instrument:
    """Return the instrument that a name means; `markets(category)` is asked for no more than it takes.

    BTC/USDT:USDT and the exchange's own BTCUSDT are the linear perpetual, BTC/USDT is spot.

    Raises:
        BadSymbol: there is none; says which names are close.
    """
    category = category_of(name)
    listed = markets(category)
    if name in listed:
        return listed[name]
    if "/" not in name:
        for instrument in listed.values():
            if instrument.id == name:
                return instrument
    both = {**markets("spot"), **markets("linear")}
    raise BadSymbol(f"bybit lists no {name!r}{_hint(name, category, both)}")


def _hint(name: str, category: str, both: Markets) -> str:
    pair, _, settle = name.partition(":")
    perpetual = f"{pair}:{pair.partition('/')[2]}"
    if category == "spot" and perpetual in both:
        return f" on the spot market; the linear perpetual is {perpetual!r}"
    if settle and perpetual in both:
        return (
            f"; the linear perpetual is {perpetual!r}, settled in the quote (inverse ones are not supported)"
        )
    if settle and pair in both:
        return f" perpetual; {pair!r} is the spot market"
    close = _closest(name, both)
    if close:
        return f"; did you mean {' or '.join(map(repr, close))}?"
    return (
        "; a perpetual is written 'BTC/USDT:USDT', spot 'BTC/USDT'. "
        "Stored bars of a delisted symbol can still be read offline"
    )


def _closest(name: str, both: Markets) -> list[str]:
    spelled: dict[str, str] = {}
    for symbol, instrument in both.items():
        spelled.setdefault(_plain(symbol), symbol)
        if instrument.category == "linear":
            spelled[_plain(instrument.id)] = symbol
    wanted = _plain(name)
    close = [wanted] if wanted in spelled else difflib.get_close_matches(wanted, spelled, n=3, cutoff=0.75)
    return list(dict.fromkeys(spelled[match] for match in close))[:2]


def _plain(name: str) -> str:
    return "".join(c for c in name.upper() if c.isalnum())
