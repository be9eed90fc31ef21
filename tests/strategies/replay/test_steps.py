"""Sizes and prices on steps: float arithmetic gives the results of the decimal arithmetic."""

import math

from hypothesis import example, given, settings
from hypothesis import strategies as st

from strategies.replay.compiled.steps import on_step, on_tick, step_parts
from strategies.sizing import round_to_step, round_to_tick

STEPS = st.sampled_from([0.0, 1.0, 10.0, 0.5, 0.1, 0.01, 0.001, 1e-8, 0.25, 0.002, 0.05, 100.0, 0.003])


@settings(max_examples=120, deadline=None)
@given(
    step=STEPS,
    lots=st.floats(-1e6, 1e6),
    ulps=st.integers(-3, 3),
    whole=st.booleans(),
    forgive=st.booleans(),
)
@example(step=0.1, lots=3.0, ulps=0, whole=True, forgive=False)
@example(step=0.1, lots=3.0, ulps=-1, whole=True, forgive=False)
def test_sizes(step, lots, ulps, whole, forgive):
    size = (round(lots) if whole else lots) * (step or 1.0)
    for _ in range(abs(ulps)):
        size = math.nextafter(size, math.copysign(math.inf, ulps))
    assert on_step(size, *step_parts(step), forgive) == round_to_step(size, step, forgive_dust=forgive)


@settings(max_examples=120, deadline=None)
@given(tick=STEPS, steps=st.floats(1.0, 1e6), ulps=st.integers(-3, 3), whole=st.booleans(), up=st.booleans())
def test_prices(tick, steps, ulps, whole, up):
    price = (round(steps) if whole else steps) * (tick or 1.0)
    for _ in range(abs(ulps)):
        price = math.nextafter(price, math.copysign(math.inf, ulps))
    assert on_tick(price, *step_parts(tick), up) == round_to_tick(price, tick, up=up)


def test_by_hand():
    assert step_parts(0.001) == (1.0, 1000.0)
    assert on_step(0.7 - 0.4, 1.0, 10.0, True) == 0.3
    assert on_step(0.7 - 0.4, 1.0, 10.0, False) == 0.2
    assert on_step(-1.2999, 1.0, 10.0, False) == -1.2
