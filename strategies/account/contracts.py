"""Contracts: what a position of a linear, an inverse or a spot market is worth, and in which coin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = [
    "CONTRACTS",
    "contract_of",
    "contract_value",
    "price_of_worth",
    "settlement_coin",
    "worth_of_price",
]

CONTRACTS = ("linear", "inverse", "spot")


def contract_value(commission: Any, size: float, price: float) -> float:
    """Return the signed value of `size` contracts at `price` in the settlement coin; exposure is this over equity.

    `commission` is any Backtrader commission scheme; its `mult` counts. A linear contract or a spot coin is worth
    `mult * price` in quote currency, an inverse contract `mult / price` in base currency.
    """
    if getattr(commission, "inverse", False):
        return float(size * commission.p.mult / price)
    return float(size * commission.p.mult * price)


def worth_of_price(mult: float, inverse: bool) -> Callable[[float], float] | None:
    """Return the function from a price to the worth of one contract; None if the worth is the price itself.

    Buying `size` contracts lowers cash by `size * worth(price)`, and equity is cash + sum(size * worth). So the worth
    of an inverse contract is -mult / price: its profit from p0 to p1 is mult * (1 / p0 - 1 / p1).
    """
    if inverse:
        return lambda price: -mult / price
    if mult == 1.0:
        return None
    return lambda price: mult * price


def price_of_worth(mult: float, inverse: bool, worth: float) -> float:
    """Return the price at which one contract has this worth."""
    return -mult / worth if inverse else worth / mult


def contract_of(symbol: str) -> str:
    """Return the kind of contract that a name means: BTC/USDT is spot, BTC/USD:BTC inverse, any other name linear."""
    pair, _, settle = symbol.partition(":")
    base, slash, quote = pair.partition("/")
    if not slash:
        return "linear"
    if not settle:
        return "spot"
    coin = settle.partition("-")[0]
    return "inverse" if coin == base and coin != quote else "linear"


def settlement_coin(symbol: str, contract: str) -> str | None:
    """Return the coin in which a market settles, None if the name does not tell.

    BTC/USDT:USDT and BTC/USDT settle in USDT, BTC/USD:BTC in BTC.
    """
    pair, _, settle = symbol.partition(":")
    base, slash, quote = pair.partition("/")
    if not slash:
        return None
    if settle:
        return settle.partition("-")[0]
    return base if contract == "inverse" else quote
