"""Convert the rows of Bybit's responses to columns or instruments, or raise an error that names the row."""

from collections.abc import Mapping
from typing import Any

from ..exchange.failures import Malformed
from ..exchange.fields import count_of, name_of, part_of, rule_of, time_of
from ..exchange.rows import Table, TierRows, check_bars, check_market, read_columns, reject_rows, unite
from ..instruments import Instrument

__all__ = [
    "Table",
    "parse_funding",
    "parse_instrument",
    "parse_klines",
    "parse_open_interest",
    "parse_risk_tiers",
    "parse_rules",
    "unite",
]

# The exchange rounds both, e.g. 0.011 to a leverage of 90.
_MARGIN_ROUNDING = 0.03
_PERPETUALS = {"linear": "LinearPerpetual", "inverse": "InversePerpetual"}
_BAR = {"timestamp": 0, "open": 1, "high": 2, "low": 3, "close": 4}
_FUNDING = {"timestamp": "fundingRateTimestamp", "funding_rate": "fundingRate"}
_OPEN_INTEREST = {"timestamp": "timestamp", "open_interest": "openInterest"}


def parse_klines(
    result: dict[str, Any], instrument: Instrument, start: int, end: int, step: int, *, mark: bool = False
) -> Table:
    """Return the bars of a response, oldest first, as columns [N]; bars of the mark price (`mark`) have no volume.

    Volume is in base units. Bybit reports the volume of an inverse contract in US dollars and its turnover in the base
    coin, so the turnover is used there.

    Raises:
        Malformed: the response is for another market, or a row is outside [start, end), off the grid, or invalid.
    """
    check_market(result.get("symbol"), instrument.id)
    volume = {} if mark else {"volume": 6 if instrument.category == "inverse" else 5}
    return check_bars(read_columns(result["list"], {**_BAR, **volume}, start, end, step))


def parse_funding(result: dict[str, Any], market: str, start: int, end: int) -> Table:
    """Return the settlements of a response, oldest first: timestamp (UTC ms) and funding_rate (fraction), each [N].

    Raises:
        Malformed: a row is for another market, outside [start, end), not on a full minute, or not finite.
    """
    for row in result["list"]:
        check_market(row.get("symbol") if isinstance(row, dict) else None, market)
    return read_columns(result["list"], _FUNDING, start, end, 60_000)


def parse_open_interest(result: dict[str, Any], market: str, start: int, end: int, step: int) -> Table:
    """Return the open interest of a response, oldest first: timestamp (UTC ms) and open_interest, each [N].

    The unit is base units; for an inverse contract it is contracts of one US dollar.

    Raises:
        Malformed: the response is for another market, or a row is outside [start, end), off the grid, negative, or not
            finite.
    """
    check_market(result.get("symbol"), market)
    table = read_columns(result["list"], _OPEN_INTEREST, start, end, step)
    reject_rows(table, table["open_interest"] < 0, "a negative open interest")
    return table


def parse_instrument(row: Mapping[str, Any], category: str) -> Instrument | None:
    """Return the instrument of a row of instruments-info, None for a contract that expires.

    Raises:
        Malformed: a name is missing, or a rule is not a number >= 0.
    """
    if category in _PERPETUALS and row.get("contractType") != _PERPETUALS[category]:
        return None
    market, base, quote = (name_of(row, field) for field in ("symbol", "baseCoin", "quoteCoin"))
    pair = f"{base}/{quote}"
    price, lot = part_of(row, "priceFilter"), part_of(row, "lotSizeFilter")
    return Instrument(
        symbol=pair if category == "spot" else f"{pair}:{name_of(row, 'settleCoin')}",
        id=market,
        category=category,
        tick=rule_of(price, "tickSize"),
        lot_step=rule_of(lot, "qtyStep", "basePrecision"),
        min_quantity=rule_of(lot, "minOrderQty"),
        min_notional=rule_of(lot, "minNotionalValue", "minOrderAmt"),
        funding_minutes=count_of(row, "fundingInterval"),
        launch=time_of(row, "launchTime"),
        active=row.get("status") == "Trading",
        max_quantity=rule_of(lot, "maxMktOrderQty", "maxMarketOrderQty", "maxOrderQty"),
        delivery=time_of(row, "deliveryTime"),
    )


def parse_risk_tiers(result: Mapping[str, Any], market: str) -> TierRows:
    """Return the rows of a risk-limit response, smallest first: limit, maintenance rate, max leverage[, deduction].

    Raises:
        Malformed: there is no row, a row is for another market, lacks a number, or its initial margin is not that of
            its largest leverage.
    """
    found = []
    for row in result["list"]:
        check_market(row.get("symbol") if isinstance(row, dict) else None, market)
        limit, rate, initial, leverage = (
            rule_of(row, name)
            for name in ("riskLimitValue", "maintenanceMargin", "initialMargin", "maxLeverage")
        )
        if not (limit and rate and leverage and abs(initial * leverage - 1.0) <= _MARGIN_ROUNDING):
            raise Malformed(
                "expected a tier with a limit, a maintenance margin, a leverage and the initial margin "
                f"1 / leverage, found {str(row)[:200]}"
            )
        # The smallest tier has an empty deduction, as has every tier of an older response.
        deduction = (rule_of(row, "mmDeduction"),) if row.get("mmDeduction") else ()
        found.append((limit, rate, leverage, *deduction))
    if not found:
        raise Malformed("expected risk tiers, found none")
    return tuple(sorted(found))


def parse_rules(result: Mapping[str, Any], instrument: Instrument) -> Instrument:
    """Return an instrument with its present trading rules, from the answer about this instrument.

    Raises:
        Malformed: the answer is about something else, or has no lot step.
    """
    rows = result.get("list")
    row = rows[0] if isinstance(rows, list) and len(rows) == 1 and isinstance(rows[0], dict) else {}
    found = parse_instrument(row, instrument.category) if row.get("symbol") == instrument.id else None
    if found is None or not found.lot_step:
        raise Malformed(f"expected the trading rules of {instrument.id}, found {str(rows)[:80]!r}")
    return found
