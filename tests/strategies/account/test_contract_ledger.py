"""Isolated, tiered, inverse and spot accounts against independent books, on random markets and orders."""

from __future__ import annotations

from dataclasses import replace

import backtrader as bt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies.account.costs import Costs
from tests.strategies.account.contract_ledger import ContractLedger
from tests.strategies.account.random_market import random_market
from tests.strategies.account.test_ledger import play

TIERS = ((3_000, 0.02, 10), (12_000, 0.03, 8), (40_000, 0.05, 5))
# (starting cash, scale of order sizes, costs); walks begin at 100, an inverse contract is one unit of quote currency.
KINDS = {
    "isolated": (10_000.0, 1.0, {"margin_mode": "isolated"}),
    "isolated tiers": (10_000.0, 1.0, {"margin_mode": "isolated", "risk_tiers": TIERS}),
    "tiers": (10_000.0, 1.0, {"risk_tiers": TIERS}),
    "multiplied": (10_000.0, 100.0, {"mult": 0.01, "margin_mode": "isolated"}),
    "inverse": (100.0, 100.0, {"contract": "inverse"}),
    "inverse isolated": (100.0, 100.0, {"contract": "inverse", "margin_mode": "isolated"}),
    "inverse tiers": (1_000.0, 1_000.0, {"contract": "inverse", "risk_tiers": TIERS}),
    "spot": (10_000.0, 1.0, {"contract": "spot", "funding": False}),
}


@st.composite
def scenarios(draw, kind):
    """Return frames, markets, orders, costs and starting cash."""
    cash, scale, more = KINDS[kind]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, jump = draw(st.integers(10, 36)), draw(st.sampled_from([0.0, 0.1, 0.35]))
    holes = [draw(st.sampled_from(["none", "keep", "ffill"])) if number else "none" for number in range(2)]
    made = [random_market(rng, n, 3 * number, 0, jump, "plain", hole) for number, hole in enumerate(holes)]
    orders = {}
    for _ in range(draw(st.integers(1, 12))):
        entry = draw(order(scale))
        orders.setdefault(draw(st.integers(0, n - 2)), []).append(entry)
    costs = Costs(
        taker=0.001,
        maker=draw(st.sampled_from([-0.0002, 0.0004])),
        slippage=draw(st.sampled_from([0.0, 0.002])),
        lot_step=0.0,
        min_notional=0.0,
        **more,
    )
    return [frame for frame, _ in made], [market for _, market in made], orders, costs, cash


@st.composite
def order(draw, scale):
    """Return (data number, method, arguments) of an order."""
    number, method = draw(st.integers(0, 1)), draw(st.sampled_from(["buy", "buy", "sell"]))
    kind = draw(st.sampled_from(["Market", "Market", "Limit", "Stop", "close"]))
    if kind == "close":
        return number, "order_target_size", {"target": 0}
    size = scale * draw(st.sampled_from([1.0, 20.0, 60.0, 150.0, 400.0]))
    more = {} if kind == "Market" else {"price": draw(st.floats(85.0, 115.0))}
    return number, method, {"size": size, "exectype": getattr(bt.Order, kind), **more}


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=6, deadline=None)
def test_every_contract_agrees_with_independent_books(kind, data):
    frames, markets, orders, costs, cash = data.draw(scenarios(kind))
    witness = play(frames, markets, orders, costs, {}, cash)
    ContractLedger(markets, costs, cash).check(witness.steps)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "spot"])
def test_a_long_at_full_leverage_is_liquidated_by_a_fall_and_the_books_agree(kind):
    cash, scale, _ = KINDS[kind]
    costs = Costs(lot_step=0.0, min_notional=0.0, **KINDS[kind][2])
    rng = np.random.default_rng(0)
    frame, market = random_market(rng, 20, 0, 0, 0.0, "plain", "none")
    fall = np.linspace(1.0, 0.3, 20)
    frame = frame.assign(**{name: frame[name] * fall for name in ("open", "high", "low", "close")})
    for name in ("open", "high", "low", "close"):
        setattr(market, name, frame[name].to_numpy())
    witness = play([frame], [market], {0: [(0, "buy", {"size": 290.0 * scale})]}, costs, {}, cash)
    ledger = ContractLedger([market], costs, cash)
    ledger.check(witness.steps)
    assert ledger.liquidated == 1
    if ledger.isolated:
        assert witness.steps[-1].equity > 0.0


@pytest.mark.parametrize("wrong", ["equity", "margin", "fee"])
def test_the_books_notice_a_wrong_amount(wrong):
    costs = Costs(lot_step=0.0, min_notional=0.0, margin_mode="isolated")
    frame, market = random_market(np.random.default_rng(1), 20, 0, 0, 0.0, "plain", "none")
    fall = np.linspace(1.0, 0.3, 20)
    frame = frame.assign(**{name: frame[name] * fall for name in ("open", "high", "low", "close")})
    for name in ("open", "high", "low", "close"):
        setattr(market, name, frame[name].to_numpy())
    witness = play([frame], [market], {0: [(0, "buy", {"size": 100.0})]}, costs, {}, 10_000.0)
    ContractLedger([market], costs, 10_000.0).check(witness.steps)
    if wrong == "equity":
        witness.steps[10].equity += 0.01
    elif wrong == "margin":
        costs = replace(costs, margin_leverage=9.9)
    else:
        costs = replace(costs, taker=0.00056)
    with pytest.raises(AssertionError):
        ContractLedger([market], costs, 10_000.0).check(witness.steps)
