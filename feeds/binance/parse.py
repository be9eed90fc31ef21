"""Convert the rows of Binance's responses to columns or instruments, or raise an error that names the row."""

from collections.abc import Mapping
from typing import Any

from ..exchange.failures import Malformed
from ..exchange.fields import name_of, rule_of, time_of
from ..exchange.rows import Table, check_bars, check_market, read_columns, read_timestamp
from ..instruments import Instrument

__all__ = ["parse_funding", "parse_instrument", "parse_klines"]

_BAR: dict[str, str | int] = {"timestamp": 0, "open": 1, "high": 2, "low": 3, "close": 4}
_FIELDS = 12
_CLOSE_TIME = 6
_MINUTE_MS = 60_000
# The timestamp of a settlement may be some milliseconds after its full minute.
_LATE_MS = 5_000
_NEVER = 4_133_404_800_000  # the delivery date of a contract that does not expire


def parse_klines(rows: list[Any], start: int, end: int, step: int, *, mark: bool = False) -> Table:
    """Return the bars of a response, oldest first, as columns [N]; bars of the mark price (`mark`) have no volume.

    Raises:
        Malformed: a row does not have 12 fields, has another bar size, is outside [start, end), off the grid, or
            invalid.
    """
    for row in rows:
        if not isinstance(row, list) or len(row) != _FIELDS:
            raise Malformed(f"expected a row with {_FIELDS} fields, found {str(row)[:80]}")
        opened, closed = read_timestamp(row[0]), read_timestamp(row[_CLOSE_TIME])
        if closed != opened + step - 1:
            raise Malformed(f"expected bars of {step // _MINUTE_MS} minutes, found {opened} to {closed} ms")
    return check_bars(read_columns(rows, _BAR if mark else {**_BAR, "volume": 5}, start, end, step))


def parse_funding(rows: list[Any], market: str, start: int, end: int) -> Table:
    """Return settlements, oldest first: timestamp (UTC ms, the full minute) and funding_rate (fraction), each [N].

    Raises:
        Malformed: a row is for another market, outside [start, end), far from a full minute, or not finite.
    """
    found = []
    for row in rows:
        check_market(row.get("symbol") if isinstance(row, dict) else None, market)
        stamp = read_timestamp(row.get("fundingTime"))
        if stamp % _MINUTE_MS > _LATE_MS:
            raise Malformed(f"expected a settlement on a full minute, found one at {stamp} ms")
        found.append([stamp // _MINUTE_MS * _MINUTE_MS, row.get("fundingRate")])
    return read_columns(found, {"timestamp": 0, "funding_rate": 1}, start, end, _MINUTE_MS)


def parse_instrument(row: Mapping[str, Any], funding_hours: Mapping[str, int]) -> Instrument | None:
    """Return the instrument of a row of exchangeInfo, None for a contract that expires.

    Raises:
        Malformed: a name is missing, or a rule is not a number >= 0.
    """
    if row.get("contractType") != "PERPETUAL":
        return None
    filters = {rule.get("filterType"): rule for rule in row.get("filters") or () if isinstance(rule, dict)}
    lots, market = filters.get("LOT_SIZE", {}), name_of(row, "symbol")
    delivery = time_of(row, "deliveryDate")
    return Instrument(
        symbol=f"{name_of(row, 'baseAsset')}/{name_of(row, 'quoteAsset')}:{name_of(row, 'marginAsset')}",
        id=market,
        category="linear",
        tick=rule_of(filters.get("PRICE_FILTER", {}), "tickSize"),
        lot_step=rule_of(lots, "stepSize"),
        min_quantity=rule_of(lots, "minQty"),
        min_notional=rule_of(filters.get("MIN_NOTIONAL", {}), "notional"),
        funding_minutes=60 * funding_hours.get(market, 8),
        launch=time_of(row, "onboardDate"),
        active=row.get("status") != "PENDING_TRADING",
        max_quantity=rule_of(filters.get("MARKET_LOT_SIZE", lots), "maxQty"),
        delivery=None if delivery is None or delivery >= _NEVER else delivery,
    )
