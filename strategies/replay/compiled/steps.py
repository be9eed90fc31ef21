"""Sizes and prices on whole steps in float arithmetic, with the results of the decimal arithmetic in `sizing`.

A step is the quotient of two whole numbers, 0.001 = 1 / 1000. Then n steps are n * units / scale, which a single
division rounds correctly: it is the float nearest to the decimal number. A size is at least n steps, as decimals, if
and only if it is at least that float, as long as n steps have at most 15 digits: such a decimal is the shortest one
that gives its float.
"""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np

__all__ = ["on_step", "on_tick", "step_parts"]

_DUST = 1e-6


def step_parts(step: float) -> tuple[float, float]:
    """Return (units, scale), whole numbers with step = units / scale; (0.0, 1.0) without a step."""
    if step == 0.0:
        return 0.0, 1.0
    units, scale = Decimal(repr(step)).as_integer_ratio()
    return float(units), float(scale)


def on_step(size: float, units: float, scale: float, forgive_dust: bool) -> float:
    """Return `sizing.round_to_step` of a finite size for the step units / scale."""
    if units == 0.0 or size == 0.0:
        return size
    amount = abs(size)
    steps = float(np.rint(amount * scale / units))
    whole = steps * units / scale
    if forgive_dust and abs(amount - whole) < _DUST * (units / scale):
        return math.copysign(whole, size)
    if whole > amount:
        whole = (steps - 1.0) * units / scale
    return math.copysign(whole, size)


def on_tick(price: float, units: float, scale: float, up: bool) -> float:
    """Return `sizing.round_to_tick` of a finite, positive price for the tick units / scale."""
    if units == 0.0:
        return price
    below = on_step(price, units, scale, True)
    if not up or abs(price - below) < _DUST * (units / scale):
        return below
    return (float(np.rint(below * scale / units)) + 1.0) * units / scale
