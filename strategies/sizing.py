"""From a target exposure to a number of units: pure functions, no Backtrader."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from decimal import ROUND_DOWN, Context, Decimal

__all__ = ["cap_gross", "exposure_to_size", "outside_band", "round_to_step"]

_EXACT = Context(prec=60, rounding=ROUND_DOWN)
_DUST = Decimal("1e-6")


def round_to_step(size: float, step: float, *, forgive_dust: bool = False) -> float:
    """Round `size` (base units) toward zero to a multiple of `step`, in exact decimal arithmetic.

    With `forgive_dust` a size that misses a multiple by less than a millionth of a step counts as that
    multiple: 0.7 - 0.4 is 0.29999999999999993 in floats, and three lots of 0.1 to a trader. A step of 0
    allows any size.

    Raises:
        ValueError: `size` is not finite.
    """
    if not math.isfinite(size):
        raise ValueError(
            f"an order size must be finite, found {size}; check the price and the equity it comes from"
        )
    if step == 0.0 or size == 0.0:
        return size
    exact_step = Decimal(repr(step))
    units = _EXACT.divide(Decimal(repr(size)), exact_step)
    nearest = units.to_integral_value()
    if not (forgive_dust and abs(units - nearest) < _DUST):
        nearest = _EXACT.divide_int(Decimal(repr(size)), exact_step)
    return float(_EXACT.multiply(nearest, exact_step))


def exposure_to_size(
    exposure: float, equity: float, price: float, round_size: Callable[[float, float], float]
) -> float:
    """Return the position (signed base units) that holds `exposure` (fraction of `equity`) at `price`.

    `round_size(size, price)` applies the filters of the instrument. No equity, no position.
    """
    if equity <= 0.0 or exposure == 0.0:
        return 0.0
    return round_size(exposure * equity / price, price)


def outside_band(current: float, target: float, band: float) -> bool:
    """Say whether to trade: the step in exposure is at least `band`, or it goes to zero."""
    if target == current:
        return False
    return target == 0.0 or abs(target - current) >= band


def cap_gross(exposures: Mapping[str, float], max_gross: float) -> dict[str, float]:
    """Scale all exposures by one factor so that the sum of their absolute values is at most `max_gross`."""
    gross = math.fsum(abs(value) for value in exposures.values())
    if gross <= max_gross:
        return dict(exposures)
    # Scaling by value/gross first keeps the sum from creeping over the cap through a rounded factor.
    return {symbol: max_gross * (value / gross) for symbol, value in exposures.items()}
