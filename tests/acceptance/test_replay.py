"""200 random sets on a trained model, and a user's own position rule: the replay gives what Cerebro gives."""

import numpy as np
import pytest

from feeds import simulate
from feeds.bars.frame import to_arrays
from runs.settings import Account
from strategies import Rules, register_position_rule
from strategies.decision import POSITION_RULES
from strategies.replay import not_compiled, prepare, replay
from tests.strategies.market import HOUR
from tests.strategies.replay.comparison import assert_same, by_cerebro, compare

pytestmark = pytest.mark.acceptance


def random_rules(rng):
    return {
        "confidence_threshold": float(rng.uniform(0.0, 0.5)),
        "density_quantile": float(rng.uniform(0.01, 0.2)),
        "density_adaptation": float(rng.choice([0.0, 0.01])),
        "novelty_scaling": float(rng.choice([0.0, 0.3])),
        "consistency_window": int(rng.choice([0, 5])),
        "score_variance_scaling": float(rng.choice([0.0, 0.5])),
        "target_volatility": float(rng.uniform(0.1, 1.0)),
        "max_exposure": float(rng.uniform(0.5, 5.0)),
        "leverage": float(rng.uniform(0.5, 5.0)),
        "rebalance_band": float(rng.uniform(0.0, 0.3)),
        "cooldown": int(rng.integers(0, 8)),
        "max_drawdown_stop": float(rng.choice([0.0, 0.2])),
        "stale_after": int(rng.choice([0, 3])),
        "position_rule": str(rng.choice(["confidence", "proportional", "kelly", "cvar"])),
        "forecast_window": int(rng.integers(1, 25)),
        "exposure_step": float(rng.choice([0.0, 0.1])),
        "cost_band": float(rng.choice([0.0, 0.5])),
        "allocation": str(rng.choice(["equal", "risk"])),
        "max_symbol_exposure": float(rng.choice([0.0, 1.0])),
        "max_net_exposure": float(rng.choice([0.0, 1.0])),
    }


def test_two_hundred_random_sets(tiny_model):
    """One call replays all of them; each is then run by Cerebro."""
    rng = np.random.default_rng(7)
    frames = [simulate("regimes", seed=k, bars=600, symbol="AB"[k], sigma=0.01) for k in range(2)]
    account = Account(taker=0.001, slippage_model="impact", participation=0.2, lot_step=0.01)
    market = prepare({str(f.attrs["symbol"]): to_arrays(f) for f in frames}, tiny_model, HOUR, tails=True)
    sets = [random_rules(rng) for _ in range(200)]
    costs = [account.costs_of("A"), account.costs_of("B")]
    result = replay(
        market, [Rules(**one) for one in sets], [costs] * 200, cash=account.cash, curves=True, trace=True
    )
    for number, rules in enumerate(sets):
        assert_same(by_cerebro(frames, tiny_model, rules, account), result, number, account)
    assert result.figures["n_orders"].sum() > 5_000


def test_a_rule_of_the_user_is_compiled(tiny_model):
    register_position_rule("mine")(lambda rules, seen: 0.7 * seen.score / (abs(seen.score) + seen.score_std))
    try:
        frame = simulate("regimes", seed=3, bars=300, symbol="A", sigma=0.01)
        assert not_compiled(Rules(position_rule="mine"), Account().costs) is None
        real, _ = compare([frame], tiny_model, {"position_rule": "mine"}, Account())
        assert len(real.orders) > 20
    finally:
        POSITION_RULES.remove("mine")


def test_a_rule_without_a_finite_result_is_an_error(tiny_model):
    register_position_rule("broken")(lambda rules, seen: seen.score / 0.0)
    try:
        frame = simulate("regimes", seed=3, bars=300, symbol="A", sigma=0.01)
        market = prepare({"A": to_arrays(frame)}, tiny_model, HOUR)
        with pytest.raises(ValueError, match="set 0: expected a finite exposure"):
            replay(market, [Rules(position_rule="broken")], Account().costs)
    finally:
        POSITION_RULES.remove("broken")
