"""Many sets at once: chunks, threads, sharing, what is not covered, and a user's own position rule."""

import pickle

import numpy as np
import pytest

from feeds.bars.frame import to_arrays
from runs.settings import Account
from strategies import Costs, Rules, register_position_rule, register_slippage
from strategies.account.slippage import SLIPPAGE
from strategies.decision import POSITION_RULES
from strategies.replay import ReplayMarket, not_compiled, prepare, replay, replay_chunks
from strategies.replay.compiled.kernel import forget_others
from tests.strategies.market import HOUR, START
from tests.strategies.replay.comparison import compare
from tests.strategies.replay.synthetic import StubModel, market

SETS = [Rules(rebalance_band=0.01 * k, confidence_threshold=0.02 * k) for k in range(20)]


@pytest.fixture(scope="module")
def prepared():
    frame = market(np.random.default_rng(5), "A", 90)
    return prepare({"A": to_arrays(frame)}, StubModel(5), HOUR)


def test_a_set_has_the_same_figures_alone_in_chunks_and_on_threads(prepared):
    together = replay(prepared, SETS, Costs(), threads=2)
    assert len(together) == 20
    assert len(set(together.figures["final_equity"])) > 10
    chunks = replay_chunks(prepared, ((rules, Costs()) for rules in SETS), chunk=7, threads=1)
    parts = [part.figures["sharpe_ratio"] for part in chunks]
    assert [len(part) for part in parts] == [7, 7, 6]
    np.testing.assert_array_equal(np.concatenate(parts), together.figures["sharpe_ratio"])
    alone = replay(prepared, SETS[11:12], [Costs()], threads=1)
    assert alone.metrics(0) == together.metrics(11)


def test_only_the_loops_of_older_sources_are_forgotten(tmp_path):
    names = [f"kernel.kernel_{k}-77.py311{end}" for k in "ab" for end in (".nbi", ".1.nbc")]
    for name in (*names, "other.other_b-1.py311.nbi"):
        (tmp_path / name).touch()
    forget_others(tmp_path, "kernel_b")
    forget_others(tmp_path / "missing", "kernel_b")
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(
        (*names[2:], "other.other_b-1.py311.nbi")
    )


def test_a_market_is_the_same_after_saving_and_pickling(prepared, tmp_path):
    expected = replay(prepared, SETS[:3], Costs()).figures["final_equity"]
    mapped = ReplayMarket.load(prepared.save(tmp_path / "market"))
    assert mapped.facts == prepared.facts
    for other in (mapped, pickle.loads(pickle.dumps(prepared))):  # noqa: S301
        np.testing.assert_array_equal(replay(other, SETS[:3], Costs()).figures["final_equity"], expected)


def test_returns_follow_from_the_curve(prepared):
    result = replay(prepared, SETS[:2], Costs(), curves=True)
    assert result.equity.shape == (2, 90)
    np.testing.assert_allclose(
        np.prod(1.0 + result.bar_returns()[1]), result.equity[1, -1] / result.equity[1, 0]
    )
    days, daily = result.daily_returns()
    assert len(days) == daily.shape[1] == 4
    np.testing.assert_allclose(np.prod(1.0 + daily[0]), result.equity[0, -1] / result.equity[0, 0])
    with pytest.raises(ValueError, match="curves=True"):
        replay(prepared, SETS[:1], Costs()).bar_returns()


def test_one_trade_by_hand():
    """10,000 at 100; a target of 1/2 is 50 units at 100.02: fee 2.75055, slippage 1; the price then stays at 100."""
    frame = market(np.random.default_rng(0), "A", 8, jump=0.0)
    for name in ("open", "high", "low", "close"):
        frame[name] = 100.0
    frame["funding_rate"] = 0.0
    model = StubModel(0)
    for name in ("score", "strength", "signal"):
        model._table[name][:] = 0.5
    model._table["density_rank"][:] = 0.5
    result = replay(
        prepare({"A": to_arrays(frame)}, model, HOUR),
        [Rules(target_volatility=None, forecast_window=1)],
        Costs(),
        curves=True,
        trace=True,
    )
    # Bars 1 to 3 are too few; bar 4 decides, bar 5 fills.
    assert result.orders(0)["decided"].tolist() == [START + 4 * HOUR]
    assert result.orders(0)["size"].tolist() == [50.0]
    np.testing.assert_allclose(result.equity[0], [10_000.0] * 4 + [10_000.0 - 1.0 - 2.75055] * 4)


def test_what_is_not_covered_is_said(prepared):
    assert not_compiled(Rules(), Costs()) is None
    assert "isolated" in not_compiled(Rules(), Costs(margin_mode="isolated"))
    assert "covariance" in not_compiled(Rules(allocation="covariance"), Costs())
    assert "portfolio_volatility" in not_compiled(Rules(portfolio_volatility=0.2), Costs())
    assert "regimes=True" in not_compiled(Rules(regimes=(0,)), Costs(), prepared.facts)
    assert "tails=True" in not_compiled(Rules(position_rule="cvar"), Costs(), prepared.facts)
    with pytest.raises(ValueError, match=r"set 1 is not covered by the replay: .*; try it with Cerebro"):
        replay(prepared, [Rules(), Rules(portfolio_volatility=0.2)], Costs())
    register_slippage("half")(lambda costs, fill: 0.5)
    try:
        assert "your own" in not_compiled(Rules(), Costs(slippage_model="half"))
    finally:
        SLIPPAGE.remove("half")


@pytest.fixture
def own_rules():
    register_position_rule("mine")(lambda rules, seen: rules.kelly_fraction * seen.score)
    register_position_rule("of_account")(lambda rules, seen: seen.exposure + 0.1)
    yield
    for name in ("mine", "of_account"):
        POSITION_RULES.remove(name)


def test_a_rule_that_reads_the_account_goes_by_cerebro(own_rules):
    assert "exposure" in not_compiled(Rules(position_rule="of_account"), Costs())


def test_prepare_refuses_what_it_cannot_read():
    frame = market(np.random.default_rng(0), "A", 9)
    bars = to_arrays(frame)
    with pytest.raises(ValueError, match="at least one symbol"):
        prepare({}, StubModel(0), HOUR)
    with pytest.raises(ValueError, match="in order of time"):
        prepare({"A": {**bars, "timestamp": bars["timestamp"][::-1]}}, StubModel(0), HOUR)
    with pytest.raises(ValueError, match="finite"):
        prepare({"A": {**bars, "funding_rate": np.full(9, np.nan)}}, StubModel(0), HOUR)


def test_the_drift_alarm_is_set_off_in_both():
    rules = {
        "drift_alarm": 0.05,
        "drift_window": 240,
        "density_quantile": 0.2,
        "position_rule": "confidence",
    }
    frame = market(np.random.default_rng(1), "A", 320)
    model = StubModel(1)
    model._table["density_rank"][:] = np.random.default_rng(2).choice(
        [0.1, 0.1, 0.1, 0.5], len(model._table["score"])
    )
    real, _ = compare([frame], model, rules, Account())
    assert "drift" in set(real.decisions["reason"])
