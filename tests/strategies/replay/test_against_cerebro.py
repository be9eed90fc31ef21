"""The replay gives the orders, reason codes, equity and figures of real Cerebro runs, whatever rules and markets."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runs.settings import Account
from tests.strategies.market import HOUR, START
from tests.strategies.replay.comparison import compare
from tests.strategies.replay.synthetic import StubModel, market

TIERS = ((20_000.0, 0.01, 20.0), (60_000.0, 0.02, 8.0), (500_000.0, 0.05, 4.0))
WILD = {
    "leverage": 10.0,
    "max_exposure": 10.0,
    "target_volatility": None,
    "position_rule": "confidence",
    "forecast_window": 1,
}
QUICK = settings(
    max_examples=8, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


def one_of(*values):
    return st.sampled_from(values)


rule_sets = st.fixed_dictionaries(
    {},
    optional={
        "confidence_threshold": one_of(0.0, 0.3),
        "density_quantile": one_of(0.05, 0.2),
        "density_adaptation": one_of(0.0, 0.05),
        "novelty_scaling": one_of(0.0, 0.3),
        "consistency_window": one_of(0, 3),
        "score_variance_scaling": one_of(0.0, 0.1),
        "target_volatility": one_of(None, 0.2, 1.0),
        "max_exposure": one_of(0.5, 1.0, 4.0),
        "leverage": one_of(0.7, 1.0, 4.0, 9.0),
        "rebalance_band": one_of(0.0, 0.1, 0.3),
        "cooldown": one_of(0, 3),
        "max_drawdown_stop": one_of(0.0, 0.3),
        "stale_after": one_of(0, 2),
        "expire_after": one_of(0.0, 2.0),
        "drift_alarm": one_of(0.0, 0.05),
        "drift_window": one_of(240),
        "position_rule": one_of("confidence", "proportional", "kelly", "cvar"),
        "kelly_fraction": one_of(0.25, 2.0),
        "forecast_window": one_of(1, 2, None, 9),
        "close_quantile": one_of(0.0, 0.01),
        "exposure_step": one_of(0.0, 0.25),
        "cost_band": one_of(0.0, 1.0),
        "allocation": one_of("equal", "risk"),
        "allocation_every": one_of(5, 24),
        "max_symbol_exposure": one_of(0.0, 0.4),
        "max_net_exposure": one_of(0.0, 0.5),
    },
)
accounts = st.fixed_dictionaries(
    {},
    optional={
        "cash": one_of(10_000.0, 900.0, 40_000.0),
        "taker": one_of(0.0, 0.001),
        "slippage": one_of(0.0, 0.002),
        "slippage_model": one_of("fixed", "spread", "impact"),
        "impact": one_of(0.01, 0.2),
        "participation": one_of(0.0, 0.05),
        "tick_size": one_of(0.0, 0.05),
        "lot_step": one_of(0.0, 0.001, 0.5),
        "min_size": one_of(0.0, 0.2),
        "min_notional": one_of(5.0, 500.0),
        "max_size": one_of(0.0, 60.0),
        "margin_leverage": one_of(4.0, 10.0),
        "risk_tiers": one_of((), TIERS),
        "contract": one_of("linear", "linear", "spot"),
        "mult": one_of(1.0, 0.1),
        "funding": one_of(True, False),
    },
)
shapes = st.fixed_dictionaries(
    {
        "late": one_of(0, 0, 11),
        "ended": one_of(0, 0, 25),
        "jump": one_of(0.02, 0.2),
        "holes": one_of("none", "keep", "ffill"),
    }
)


@QUICK
@given(seed=st.integers(0, 9), rules=rule_sets, account=accounts, shape=shapes)
def test_one_symbol(seed, rules, account, shape):
    frame = market(np.random.default_rng(seed), "A", 90, **{**shape, "late": 0})
    compare([frame], StubModel(seed, strong=3.0), rules, Account(**account))


@QUICK
@given(seed=st.integers(0, 9), rules=rule_sets, account=accounts, shapes=st.tuples(shapes, shapes, shapes))
def test_several_symbols_in_one_account(seed, rules, account, shapes):
    rng = np.random.default_rng(seed)
    frames = [market(rng, name, 90, **shape) for name, shape in zip("ABC", shapes, strict=True)]
    since = START + 20 * HOUR if seed % 2 else None
    compare(frames, StubModel(seed, strong=3.0), rules, Account(**account), since)


@pytest.mark.parametrize("contract", ["inverse", "linear"])
def test_mark_prices_and_inverse_contracts(contract):
    rng = np.random.default_rng(3)
    frames = [market(rng, name, 120, marked=True, jump=0.15) for name in "AB"]
    costs = {"contract": contract, "cash": 100.0 if contract == "inverse" else 10_000.0, "lot_step": 0.01}
    rules = {"leverage": 6.0, "max_exposure": 6.0, "target_volatility": None}
    real, _ = compare(frames, StubModel(1, strong=3.0), rules, Account(min_notional=0.0, **costs))
    assert len(real.orders) > 20


def test_orders_at_one_close_after_closes_at_which_nothing_happened():
    """The margin check of an order values positions at the prices of this close, not of the last one with an event."""
    for seed in (0, 1, 4, 7):
        rng = np.random.default_rng(seed)
        frames = [market(rng, name, 120, jump=0.3) for name in "ABCD"]
        rules = {**WILD, "confidence_threshold": 0.5, "density_quantile": 0.0}
        account = Account(margin_leverage=10.0, taker=0.001, min_notional=0.0)
        compare(frames, StubModel(seed, strong=3.0), rules, account)


def test_the_comparison_sees_every_kind_of_event():
    """Liquidations, refusals, settlements, invented bars and partial fills do happen in the markets above."""
    seen = set()
    for seed, participation in ((3, 0.0), (4, 0.0), (8, 0.0), (1, 0.05)):
        rng = np.random.default_rng(seed)
        frames = [
            market(rng, "A", 90, jump=0.2, holes="ffill"),
            market(rng, "B", 90, ended=25, holes="keep"),
        ]
        account = Account(participation=participation, taker=0.001, margin_leverage=9.0)
        rules = {**WILD, "stale_after": 2}
        real, compiled = compare(frames, StubModel(seed, strong=3.0), rules, account)
        metrics = compiled.metrics(0)
        seen |= {name for name in ("liquidations", "settlements", "orders_in_filled_bars") if metrics[name]}
        seen |= {f"refused {name}" for name, count in compiled.refused.items() if count[0]}
        seen |= set(real.orders["status"])
    assert {"liquidations", "settlements", "orders_in_filled_bars", "refused margin", "canceled"} <= seen
