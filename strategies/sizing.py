"""Convert a target exposure to an order size: pure functions without Backtrader."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from decimal import ROUND_DOWN, Context, Decimal

__all__ = ["cap_gross", "exposure_to_size", "outside_band", "round_to_step", "round_to_tick"]

_EXACT = Context(prec=60, rounding=ROUND_DOWN)
_DUST = Decimal("1e-6")


def round_to_step(size: float, step: float, *, forgive_dust: bool = False) -> float:
    """Round `size` (base units) toward zero to a multiple of `step`, in exact decimal arithmetic.

    With `forgive_dust`, a size that differs from a multiple by less than a millionth of a step counts as that
    multiple. In floats, 0.7 - 0.4 is 0.29999999999999993, but it means three lots of 0.1. A step of 0 allows any size.

    Raises:
        ValueError: `size` is not finite.
    """
    if not math.isfinite(size):
        raise ValueError(
            f"expected a finite order size, found {size}; check the price and the equity used to compute it"
        )
    if step == 0.0 or size == 0.0:
        return size
    size = float(size)  # a numpy scalar, as PandasData leaves in bounded buffers, has another repr
    exact_step = Decimal(repr(step))
    units = _EXACT.divide(Decimal(repr(size)), exact_step)
    nearest = units.to_integral_value()
    if not (forgive_dust and abs(units - nearest) < _DUST):
        nearest = _EXACT.divide_int(Decimal(repr(size)), exact_step)
    return float(_EXACT.multiply(nearest, exact_step))


def round_to_tick(price: float, tick: float, *, up: bool) -> float:
    """Round a price to a multiple of `tick`, up or down, in exact decimal arithmetic; a tick of 0 allows any price.

    A price that differs from a multiple by less than a millionth of a tick counts as that multiple.
    """
    if tick == 0.0 or not math.isfinite(price):
        return price
    below = round_to_step(price, tick, forgive_dust=True)
    if not up or abs(price - below) < 1e-6 * tick:
        return below
    return float(_EXACT.add(Decimal(repr(below)), Decimal(repr(tick))))


def exposure_to_size(
    exposure: float,
    equity: float,
    price: float,
    round_size: Callable[[float, float], float] | None = None,
    value: float | None = None,
) -> float:
    """Return the position (signed contracts) with a value of `exposure` (fraction of `equity`) at `price`.

    `value` is the value of one contract (`contract_value(commission, 1.0, price)`), by default the price.
    `round_size(size, price)` applies the order rules of the instrument, by default any size is allowed. Without equity
    the position is 0.0.
    """
    if equity <= 0.0 or exposure == 0.0:
        return 0.0
    size = exposure * equity / (price if value is None else value)
    return size if round_size is None else round_size(size, price)


def outside_band(current: float, target: float, band: float) -> bool:
    """Return whether to trade: the change of exposure is at least `band`, or the target is zero."""
    if target == current:
        return False
    return target == 0.0 or abs(target - current) >= band


def cap_gross(exposures: Mapping[str, float], max_gross: float) -> dict[str, float]:
    """Scale all exposures by one factor so that the sum of their absolute values is at most `max_gross`."""
    gross = math.fsum(abs(value) for value in exposures.values())
    if gross <= max_gross:
        return dict(exposures)
    # A factor max_gross / gross, rounded up, could raise the sum above the cap; value / gross first avoids this.
    return {symbol: max_gross * (value / gross) for symbol, value in exposures.items()}
