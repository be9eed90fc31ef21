"""Several symbols in one account: who shares the capital when, caps over all, and the same decisions in every mode."""

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

from feeds import BarsData, ReplayData, simulate
from runs.engine import Modes, run
from runs.settings import Account
from strategies import Decisions, EquityCurve, PerpetualBroker, ScoreStrategy
from strategies.decision import ALLOCATIONS, POSITION_RULES, register_allocation, register_position_rule
from strategies.decision.risk_parity import shrunk_covariance
from tests.chapter_rules import CHAPTER
from tests.strategies.market import free_commission, with_attrs

OPEN = {
    **CHAPTER,
    "confidence_threshold": 0.0,
    "density_quantile": 0.0,
    "target_volatility": None,
    "rebalance_band": 0.0,
    "cooldown": 0,
    "leverage": 9.0,
}
LOOKBACK = 20
HOUR = 3_600_000
YEAR = 8_760


def largest(rules, seen):
    calm = rules.target_volatility / seen.annual_volatility if rules.target_volatility else np.inf
    return float(min(rules.max_exposure, calm))


@pytest.fixture
def full():
    """Name of a position rule that always asks for all of the symbol's part."""
    register_position_rule("always_full")(largest)
    yield "always_full"
    POSITION_RULES.remove("always_full")


def market(seed, bars=130, first=0, last=None, **process):
    frame = simulate("planted", seed=seed, bars=bars, symbol=f"S{seed}", **process)
    return with_attrs(frame.iloc[first:last].reset_index(drop=True), frame)


def play(frames, model, **params):
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(PerpetualBroker(slippage=0.0, commission=free_commission()))
    for frame in frames:
        cerebro.adddata(BarsData(dataname=frame))
    cerebro.addstrategy(ScoreStrategy, model=model, **{**OPEN, **params})
    cerebro.addanalyzer(EquityCurve, _name="equitycurve", warmup=True)
    cerebro.addanalyzer(Decisions, _name="decisions")
    strategy = cerebro.run()[0]
    table = pd.DataFrame(strategy.analyzers.decisions.get_analysis())
    table["bar"] = (table["time"] - table["time"].min()) // HOUR
    return strategy, table


def of(table, seed, name="target"):
    """Return a column of one symbol by the number of the bar in the longest frame."""
    mine = table[table["symbol"] == f"S{seed}"]
    return pd.Series(mine[name].to_numpy(), index=mine["bar"].to_numpy())


# Parts --------------------------------------------------------------------------------------------------------


def test_a_symbol_takes_its_part_when_the_model_can_see_it_and_leaves_it_when_it_ends(tiny_model):
    """S1 trades alone, from bar 70 with S2 (listed at 50), from bar 110 alone again (S2 has ended at 109)."""
    frames = [market(1), market(2, first=50, last=110)]
    _, both = play(frames, tiny_model)
    _, alone = play(frames[:1], tiny_model)
    parts = of(both, 1) / of(alone, 1)
    np.testing.assert_allclose(parts.loc[LOOKBACK:69], 1.0)
    np.testing.assert_allclose(parts.loc[70:109], 0.5)
    np.testing.assert_allclose(parts.loc[110:], 1.0)
    other = of(both, 2, "reason")
    assert other.index.tolist() == list(range(50, 110)), "no decision after its last bar"
    assert (other.loc[:69] == "warmup").all()
    assert not (other.loc[70:] == "warmup").any()


def test_positions_follow_their_parts_through_the_band_and_gross_exposure_stays_within_it(tiny_model, full):
    """Full positions: 1, then 1/2 each; a third symbol changes the parts by less than the band."""
    frames = [market(1), market(2, first=20), market(3, first=50, last=100)]
    strategy, table = play(frames, tiny_model, position_rule=full, rebalance_band=0.6, leverage=1.0)
    first, second, third = (of(table, seed) for seed in (1, 2, 3))
    assert first.loc[20] == 1.0
    # 1 is twice the new part of 1/2: the difference, 1, is traded.
    assert first.loc[40] == second.loc[40] == 0.5
    # Near 1/2 is 1.5 times the part of 1/3: held. The third has 1/3, scaled as 1 / (1/2 + 1/2 + 1/3).
    assert set(of(table, 1, "reason").loc[71:99]) == {"hold"}
    assert third.loc[70] == pytest.approx(1 / 3 / (4 / 3), rel=0.05)
    # The third is settled at its last price; the parts are 1/2 again.
    assert 3 not in table[table["bar"] >= 100]["symbol"].str[1:].astype(int).to_list()
    gross = strategy.analyzers.equitycurve.get_analysis()["gross"]
    assert gross.max() < 1.0 + 0.6 / 3 + 0.1
    assert gross[101:].max() < 1.1


def test_after_the_end_of_a_symbol_gross_exposure_is_within_the_cap(tiny_model, full):
    """S2 ends with a position of 1/2. It is settled, so the whole capital of S1 is 1 and not 1.5 in all."""
    frames = [market(1), market(2, last=60)]
    strategy, table = play(frames, tiny_model, position_rule=full, leverage=1.0)
    assert of(table, 1).loc[59] == 0.5
    assert (of(table, 1).loc[60:] == 1.0).all()
    assert strategy.broker.getposition(strategy.datas[1]).size == 0.0
    gross = strategy.analyzers.equitycurve.get_analysis()["gross"]
    assert 0.9 < gross[62:].max() < 1.05


def test_the_position_of_a_silent_symbol_takes_room_from_the_others(tiny_model, full):
    """S2 has no bars from 60 to 79; it cannot be closed, so S1 has the whole capital but room for 1/2 only."""
    frame = market(2)
    hole = with_attrs(frame.drop(index=range(60, 80)).reset_index(drop=True), frame)
    strategy, table = play([market(1), hole], tiny_model, position_rule=full, leverage=1.0, stale_after=3)
    held = of(table, 2, "position")
    assert (of(table, 2, "reason").loc[63:79] == "stale").all()
    np.testing.assert_allclose(of(table, 1).loc[63:79], 1.0 - held.loc[63:79])
    assert 0.4 < held.loc[63:79].min() < held.loc[63:79].max() < 0.6
    assert strategy.analyzers.equitycurve.get_analysis()["gross"].max() < 1.05


def test_a_symbol_without_a_part_is_not_traded(tiny_model, full):
    register_allocation("first_only")(lambda rules, active: [float(n == "S1") for n in active.names])
    try:
        _, table = play([market(1), market(2)], tiny_model, position_rule=full, allocation="first_only")
    finally:
        ALLOCATIONS.remove("first_only")
    assert (of(table, 1).loc[LOOKBACK:] == 1.0).all()
    assert (of(table, 2) == 0.0).all()
    assert set(of(table, 2, "reason").loc[LOOKBACK:]) == {"hold"}


def test_parts_by_risk_are_by_the_models_volatility_and_change_once_a_day(tiny_model, full):
    frames = [market(1, sigma=0.004), market(2, sigma=0.016)]
    _, table = play(frames, tiny_model, position_rule=full, allocation="risk")
    _, capital = play(frames, tiny_model, position_rule=full, target_volatility=0.1)
    one, two = of(table, 1).loc[LOOKBACK:], of(table, 2).loc[LOOKBACK:]
    np.testing.assert_allclose(one + two, 1.0)
    close = table[table["symbol"] == "S1"].set_index("bar")["time"].loc[LOOKBACK:]
    changes = one.index[1:][np.diff(one) != 0.0]
    assert len(changes) >= 4
    assert (close.loc[changes] % (24 * HOUR) == 0).all(), "at midnight UTC only"
    # With equal parts and a target volatility of 0.1, a full target is 0.1 / volatility / 2.
    inverse = [of(capital, seed).loc[changes] for seed in (1, 2)]
    np.testing.assert_allclose(one.loc[changes], inverse[0] / (inverse[0] + inverse[1]), rtol=1e-12)
    assert 0.6 < one.mean() < 0.95


# Caps ---------------------------------------------------------------------------------------------------------


def test_all_caps_hold_in_a_run(tiny_model):
    frames = [market(seed) for seed in (1, 2, 3)]
    caps = {"max_symbol_exposure": 0.2, "max_net_exposure": 0.25, "leverage": 0.45, "max_exposure": 2.0}
    _, table = play(frames, tiny_model, **caps)
    targets = np.array([of(table, seed) for seed in (1, 2, 3)])
    assert np.abs(targets).max() == pytest.approx(0.2)
    assert np.abs(targets.sum(axis=0)).max() == pytest.approx(0.25)
    assert np.abs(targets).sum(axis=0).max() == pytest.approx(0.45)


def test_the_volatility_of_all_targets_is_at_most_the_portfolios(tiny_model):
    frames = [market(seed, sigma=0.01) for seed in (1, 2, 3)]
    limited = {"portfolio_volatility": 0.2, "covariance_window": 40, "allocation_every": 1}
    _, table = play(frames, tiny_model, **limited)
    _, wide = play(frames, tiny_model)
    found, wished = (np.array([of(t, seed) for seed in (1, 2, 3)]) for t in (table, wide))
    closes = np.log(np.array([frame["close"] for frame in frames]).T)
    binding = 0
    for bar in range(LOOKBACK, 130):
        returns = np.diff(closes[max(bar - 40, 0) : bar + 1], axis=0)
        covariance = shrunk_covariance(returns) * YEAR
        risk = np.sqrt(wished[:, bar] @ covariance @ wished[:, bar])
        factor = min(1.0, 0.2 / risk)
        np.testing.assert_allclose(found[:, bar], wished[:, bar] * factor, rtol=1e-9, atol=1e-12)
        binding += risk > 0.2
    assert 20 < binding < 110


# Modes and time -----------------------------------------------------------------------------------------------

SHARED = {
    **OPEN,
    "rebalance_band": 0.05,
    "leverage": 1.0,
    "stale_after": 2,
    "allocation_every": 6,
    "covariance_window": 30,
    "max_symbol_exposure": 0.6,
    "max_net_exposure": 0.5,
    "portfolio_volatility": 0.35,
}


def with_hole(frame, first, last):
    return with_attrs(frame.drop(index=range(first, last)).reset_index(drop=True), frame)


def uneven():
    """Four symbols: throughout, listed on the way, ended on the way, with a hole."""
    sigma = {"sigma": 0.01}
    return [
        market(1, **sigma),
        market(2, first=40, **sigma),
        market(3, last=100, **sigma),
        with_hole(market(4, **sigma), 80, 90),
    ]


def tables(frames, model, allocation, modes):
    account = Account(lot_step=0.0, min_notional=0.0)
    params = {**SHARED, "model": model, "allocation": allocation}
    result = run(frames, account, ScoreStrategy, params, modes=modes)
    return {name: getattr(result, name) for name in ("decisions", "orders", "equity")}


BY_BAR = Modes(runonce=False, preload=False, exactbars=1)
LIVE = Modes(feed=ReplayData)


@pytest.mark.parametrize(
    ("allocation", "others"), [("equal", [LIVE]), ("risk", [BY_BAR]), ("covariance", [BY_BAR, LIVE])]
)
def test_every_mode_divides_the_capital_alike(tiny_model, allocation, others):
    reference = tables(uneven(), tiny_model, allocation, Modes())
    assert len(reference["orders"]) > 60
    for modes in others:
        other = tables(uneven(), tiny_model, allocation, modes)
        for name, table in reference.items():
            pd.testing.assert_frame_equal(table, other[name], check_exact=True, obj=f"{name}, {modes}")


def test_no_part_and_no_cap_depends_on_later_bars(tiny_model):
    whole = tables(uneven(), tiny_model, "covariance", Modes())
    start = uneven()[0]["timestamp"].iloc[0]
    for bars in (63, 104, 117):
        cut = start + bars * HOUR
        frames = [with_attrs(f[f["timestamp"] < cut].reset_index(drop=True), f) for f in uneven()]
        part = tables([f for f in frames if len(f)], tiny_model, "covariance", Modes())
        last = part["equity"]["time"].iloc[-1]
        for name, table in whole.items():
            known = table[table["time"] <= last].reset_index(drop=True)
            pd.testing.assert_frame_equal(known, part[name], check_exact=True, obj=f"{name} at {bars} bars")


def test_more_than_255_symbols_share_an_account(tiny_model, full):
    """300 symbols of 24 bars: each is recorded under its own name and has 1/300 of the capital."""
    source = market(1, bars=24)
    frames = []
    for number in range(300):
        frame = source.copy()
        frame.attrs = {**source.attrs, "symbol": f"N{number:03d}"}
        frames.append(frame)
    strategy, table = play(frames, tiny_model, position_rule=full)
    assert table["symbol"].nunique() == 300
    assert len(table) == 300 * 24
    np.testing.assert_allclose(table[table["bar"] >= LOOKBACK]["target"], 1 / 300, rtol=1e-15)
    sizes = [strategy.broker.getposition(data).size for data in strategy.datas]
    assert len(set(sizes)) == 1
    assert sizes[0] > 0.0
