"""What can be traded and by which rules, and which instrument a name means."""

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import BadSymbol
from .exchange.failures import Malformed

__all__ = ["CATEGORIES", "Instrument", "categories_of", "find", "parse_instrument", "unknown"]

CATEGORIES = ("linear", "spot", "inverse")

_PERPETUALS = {"linear": "LinearPerpetual", "inverse": "InversePerpetual"}


@dataclass(frozen=True)
class Instrument:
    """Describe a market of the exchange.

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


def parse_instrument(row: Mapping[str, Any], category: str) -> Instrument | None:
    """Return the instrument of a row of instruments-info, None for a contract that expires.

    Raises:
        Malformed: a name is missing, or a rule is no number >= 0.
    """
    if category in _PERPETUALS and row.get("contractType") != _PERPETUALS[category]:
        return None
    market, base, quote = (_name(row, field) for field in ("symbol", "baseCoin", "quoteCoin"))
    pair = f"{base}/{quote}"
    price, lot = _part(row, "priceFilter"), _part(row, "lotSizeFilter")
    minutes = str(row.get("fundingInterval"))
    return Instrument(
        symbol=pair if category == "spot" else f"{pair}:{_name(row, 'settleCoin')}",
        id=market,
        category=category,
        tick=_rule(price, "tickSize"),
        lot_step=_rule(lot, "qtyStep", "basePrecision"),
        min_quantity=_rule(lot, "minOrderQty"),
        min_notional=_rule(lot, "minNotionalValue", "minOrderAmt"),
        funding_minutes=int(minutes) if minutes.isascii() and minutes.isdigit() else None,
        launch=_moment(row, "launchTime"),
        active=row.get("status") == "Trading",
        max_quantity=_rule(lot, "maxMktOrderQty", "maxMarketOrderQty", "maxOrderQty"),
        delivery=_moment(row, "deliveryTime"),
    )


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


def unknown(name: str, listed: Iterable[Markets]) -> BadSymbol:
    """Return the error for a name that no category lists; says which names are close."""
    known = {symbol: instrument for markets in listed for symbol, instrument in markets.items()}
    return BadSymbol(f"bybit lists no {name!r}{_hint(name, known)}")


def _hint(name: str, known: Markets) -> str:
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
    return "; a perpetual is written 'BTC/USDT:USDT', an inverse one 'BTC/USD:BTC', spot 'BTC/USDT'"


def _name(row: Mapping[str, Any], field: str) -> str:
    name = row.get(field)
    if not isinstance(name, str) or not name:
        raise Malformed(f"expected an instrument with {field!r}, found {str(row)[:80]}")
    return name


def _part(row: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    part = row.get(field)
    return part if isinstance(part, dict) else {}


def _rule(rules: Mapping[str, Any], *fields: str) -> float:
    text = next((rules[field] for field in fields if rules.get(field)), "0")
    try:
        value = float(text)
    except (TypeError, ValueError) as error:
        raise Malformed(f"expected a number as {fields[0]!r}, found {str(text)[:40]!r}") from error
    if not (math.isfinite(value) and value >= 0):
        raise Malformed(f"expected {fields[0]!r} to be a finite number >= 0, found {str(text)[:40]!r}")
    return value


def _moment(row: Mapping[str, Any], field: str) -> int | None:
    text = str(row.get(field))
    return int(text) or None if text.isascii() and text.isdigit() and len(text) <= 15 else None


def _closest(name: str, known: Markets) -> list[str]:
    spelled: dict[str, str] = {}
    for symbol, instrument in known.items():
        spelled.setdefault(_plain(symbol), symbol)
        if instrument.category != "spot":
            spelled.setdefault(_plain(instrument.id), symbol)
    wanted = _plain(name)
    close = [wanted] if wanted in spelled else difflib.get_close_matches(wanted, spelled, n=3, cutoff=0.75)
    return list(dict.fromkeys(spelled[match] for match in close))[:2]


def _plain(name: str) -> str:
    return "".join(c for c in name.upper() if c.isalnum())
