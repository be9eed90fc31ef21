"""Rows of Bybit's answers as columns or instruments, or a refusal that names the row."""

from collections.abc import Mapping
from typing import Any

from ..exchange.fields import moment_of, name_of, part_of, rule_of
from ..exchange.rows import Table, check_bars, check_market, read_columns, refuse, unite
from ..instruments import Instrument

__all__ = ["Table", "parse_funding", "parse_instrument", "parse_klines", "parse_open_interest", "unite"]

_PERPETUALS = {"linear": "LinearPerpetual", "inverse": "InversePerpetual"}
_BAR = {"timestamp": 0, "open": 1, "high": 2, "low": 3, "close": 4}
_FUNDING = {"timestamp": "fundingRateTimestamp", "funding_rate": "fundingRate"}
_OPEN_INTEREST = {"timestamp": "timestamp", "open_interest": "openInterest"}


def parse_klines(
    result: dict[str, Any], instrument: Instrument, start: int, end: int, step: int, *, mark: bool = False
) -> Table:
    """Return the bars of an answer, oldest first: the columns of bars, each [N]; without volume for `mark`.

    Volume is in base units everywhere: an inverse contract's own volume counts US dollars, its turnover is in the
    base coin.

    Raises:
        Malformed: another market's answer, or a row outside [start, end), off the grid, or not a possible bar.
    """
    check_market(result.get("symbol"), instrument.id)
    volume = {} if mark else {"volume": 6 if instrument.category == "inverse" else 5}
    return check_bars(read_columns(result["list"], {**_BAR, **volume}, start, end, step))


def parse_funding(result: dict[str, Any], market: str, start: int, end: int) -> Table:
    """Return the settlements of an answer, oldest first, as timestamp, funding_rate, each [N].

    Raises:
        Malformed: a row of another market, outside [start, end), off the minute, or not finite.
    """
    for row in result["list"]:
        check_market(row.get("symbol") if isinstance(row, dict) else None, market)
    return read_columns(result["list"], _FUNDING, start, end, 60_000)


def parse_open_interest(result: dict[str, Any], market: str, start: int, end: int, step: int) -> Table:
    """Return the open interest of an answer, oldest first: timestamp, open_interest, each [N].

    It is in base units, of an inverse contract in contracts of one US dollar.

    Raises:
        Malformed: another market's answer, or a row outside [start, end), off the grid, negative, not finite.
    """
    check_market(result.get("symbol"), market)
    table = read_columns(result["list"], _OPEN_INTEREST, start, end, step)
    refuse(table, table["open_interest"] < 0, "a negative open interest")
    return table


def parse_instrument(row: Mapping[str, Any], category: str) -> Instrument | None:
    """Return the instrument of a row of instruments-info, None for a contract that expires.

    Raises:
        Malformed: a name is missing, or a rule is no number >= 0.
    """
    if category in _PERPETUALS and row.get("contractType") != _PERPETUALS[category]:
        return None
    market, base, quote = (name_of(row, field) for field in ("symbol", "baseCoin", "quoteCoin"))
    pair = f"{base}/{quote}"
    price, lot = part_of(row, "priceFilter"), part_of(row, "lotSizeFilter")
    minutes = str(row.get("fundingInterval"))
    return Instrument(
        symbol=pair if category == "spot" else f"{pair}:{name_of(row, 'settleCoin')}",
        id=market,
        category=category,
        tick=rule_of(price, "tickSize"),
        lot_step=rule_of(lot, "qtyStep", "basePrecision"),
        min_quantity=rule_of(lot, "minOrderQty"),
        min_notional=rule_of(lot, "minNotionalValue", "minOrderAmt"),
        funding_minutes=int(minutes) if minutes.isascii() and minutes.isdigit() else None,
        launch=moment_of(row, "launchTime"),
        active=row.get("status") == "Trading",
        max_quantity=rule_of(lot, "maxMktOrderQty", "maxMarketOrderQty", "maxOrderQty"),
        delivery=moment_of(row, "deliveryTime"),
    )
