"""Each risk rule helps in a market made for it, with its reason, and changes nothing where it must not act."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from feeds import as_bars, simulate
from runs.engine import run
from runs.settings import Account
from scorenet import Evaluation, ScoreModel
from strategies import ScoreStrategy
from tests.chapter_rules import CHAPTER
from tests.strategies.market import HOUR, START, with_attrs

BARS, TURN = 300, 150
PLAIN = {
    **CHAPTER,
    "confidence_threshold": 0.0,
    "density_quantile": 0.0,
    "target_volatility": None,
    "rebalance_band": 0.1,
    "cooldown": 0,
}


class Scripted(ScoreModel):
    """A model whose outputs are given, one value per hour from START on."""

    def evaluate(self, bars, signal="forward", step_ms=None, *, tails=False):
        rows = (bars["timestamp"] - START) // HOUR - 1
        return Evaluation(*(values[rows] for values in self.outputs))


def scripted(model, signal, **outputs):
    """Return a model with this signal at every bar; the other outputs are quiet unless they are given."""
    quiet = dict.fromkeys(Evaluation._fields, 0.0) | {
        "density_rank": 0.5,
        "volatility": 0.01,
        "score_std": 0.0,
    }
    values = quiet | {"signal": signal, "score": signal, "confidence": np.abs(signal)} | outputs
    made = Scripted(**{name: getattr(model, name) for name in model.__dataclass_fields__ if name[0] != "_"})
    rows = {name: np.broadcast_to(np.asarray(value, float), len(signal)) for name, value in values.items()}
    object.__setattr__(
        made, "outputs", Evaluation(**{name: rows[name].copy() for name in Evaluation._fields})
    )
    return made


def frame(returns, symbol="A"):
    """Return bars with these log-returns; a bar opens where the one before closed."""
    close = 100.0 * np.exp(np.cumsum(returns))
    opened = np.concatenate([[100.0], close[:-1]])
    table = pd.DataFrame({"timestamp": START + HOUR * np.arange(len(close)), "open": opened, "close": close})
    table["high"], table["low"] = table[["open", "close"]].max(axis=1), table[["open", "close"]].min(axis=1)
    return as_bars(table.assign(volume=1.0), symbol=symbol, timeframe="1h")


def play(model, frames, **params):
    account = Account(lot_step=0.0, min_notional=0.0, funding=False)
    return run(frames, account, ScoreStrategy, {**PLAIN, **params, "model": model})


def noise(seed=1, size=0.005, bars=BARS):
    return np.random.default_rng(seed).normal(0.0, size, bars)


def right(returns, strength=0.8):
    """Return the signal that knows the sign of the next return."""
    return strength * np.sign(np.append(returns[1:], 1.0))


LATE = np.arange(BARS) >= TURN


# Each market: (returns, signal, other outputs) in which the rule helps, and one in which it must not act.


def novelty():
    returns = np.where(LATE, 4.0, 1.0) * noise()
    signal = np.where(LATE, -1.0, 1.0) * right(returns)
    return (returns, signal, {"density_rank": np.where(LATE, 0.01, 0.5)}), (returns, right(returns), {})


def near_novelty():
    (returns, signal, _), calm = novelty()
    return (returns, signal, {"density_rank": np.where(LATE, 0.06, 0.5)}), calm


def flipping():
    returns = noise(bars=BARS)
    signal = 0.8 * np.sign(noise(2))
    return (returns, signal, {}), (returns, np.full(BARS, 0.8), {})


def uncertain():
    returns, doubt = noise(), noise(3) > 0
    signal = np.where(doubt, -1.0, 1.0) * right(returns)
    return (returns, signal, {"score_std": np.where(doubt, 2.0, 0.1)}), (returns, signal, {"score_std": 0.0})


def stormy():
    returns = np.where(LATE, 6.0, 1.0) * noise()
    signal = np.full(BARS, 0.8)
    storm = (returns, signal, {"volatility": np.where(LATE, 0.03, 0.005)})
    return storm, (noise(size=0.002), signal, {"volatility": 0.002})


def falling():
    signal = np.full(BARS, 0.8)
    return (noise() - 0.003, signal, {}), (noise() + 0.003, signal, {})


MARKETS = {
    "out_of_distribution": (novelty, {"density_quantile": 0.05}),
    "reduced": (near_novelty, {"density_quantile": 0.05, "novelty_scaling": 0.2}),
    "inconsistent": (flipping, {"consistency_window": 4, "consistency_share": 0.75}),
    "trade, score variance": (uncertain, {"score_variance_scaling": 1.0}),
    "trade, volatility": (stormy, {"target_volatility": 0.3}),
    "drawdown_stop": (falling, {"max_drawdown_stop": 0.1}),
    "cooldown": (flipping, {"cooldown": 12}),
}


@pytest.mark.parametrize("name", MARKETS)
def test_a_rule_helps_where_it_should_and_elsewhere_changes_nothing(tiny_model, name):
    build, rule = MARKETS[name]
    off = {"density_quantile": rule["density_quantile"]} if "novelty_scaling" in rule else {}
    reason = name.partition(",")[0]
    (helps, still) = build()
    for market, acts in ((helps, True), (still, False)):
        returns, signal, outputs = market
        model, bars = scripted(tiny_model, signal, **outputs), [frame(returns)]
        with_rule, without = play(model, bars, **rule), play(model, bars, **off)
        if acts:
            assert _final(with_rule) > _final(without) + 100.0
            assert reason in set(with_rule.decisions["reason"])
        else:
            pd.testing.assert_frame_equal(with_rule.decisions, without.decisions, check_exact=True)
            pd.testing.assert_frame_equal(with_rule.equity, without.equity, check_exact=True)
            assert name.startswith("trade") or reason not in set(with_rule.decisions["reason"])


def _final(result):
    return result.equity["equity"].iloc[-1]


def test_the_target_volatility_is_reached_in_a_storm(tiny_model):
    (returns, signal, outputs), _ = stormy()
    model, rules = (
        scripted(tiny_model, np.sign(signal), **outputs),
        {"target_volatility": 0.3, "rebalance_band": 0.0},
    )
    result = play(model, [frame(returns)], **rules)
    moves = result.equity["equity"].pct_change().to_numpy()[TURN + 10 :]
    assert moves.std() * np.sqrt(8_760) == pytest.approx(0.3, rel=0.2)


def test_a_drawdown_stop_loses_little_more_than_it_allows(tiny_model):
    (returns, signal, _), _ = falling()
    result = play(scripted(tiny_model, signal), [frame(returns)], max_drawdown_stop=0.1)
    curve = result.equity["equity"]
    assert -0.12 < (curve / curve.cummax() - 1).min() < -0.1
    stopped = result.decisions["reason"] == "drawdown_stop"
    assert (result.decisions["position"][stopped].iloc[1:] == 0.0).all()


# Time: gaps, age of the model, drift ------------------------------------------------------------------------------


def test_a_silent_symbol_is_closed_at_its_first_price_and_not_one_bar_later(tiny_model):
    """A halts for ten bars, opens 10 % lower and falls by another 20 % within that bar; B goes on."""
    returns = noise(size=0.001)
    returns[100] = np.log(0.7)
    table = frame(returns, "A")
    table.loc[100, "open"] *= 0.9
    halted = with_attrs(table.drop(index=range(90, 100)).reset_index(drop=True), table)
    other = frame(noise(5, 0.001), "B")
    signal = np.full(BARS, 0.8)
    unknown = (np.arange(BARS) >= 90) & (np.arange(BARS) < 120)  # no state spans the halt
    model = scripted(tiny_model, np.where(unknown, np.nan, signal))
    found = {after: play(model, [halted, other], stale_after=after) for after in (0, 2)}
    assert _final(found[2]) > _final(found[0]) + 500.0
    exits = {after: result.orders.query("symbol == 'A'").iloc[1]["price"] for after, result in found.items()}
    assert exits[2] == pytest.approx(table["open"][100], rel=1e-3)
    assert exits[0] == pytest.approx(table["close"][100], rel=1e-3)
    whole = [frame(returns * 0.0 + noise(size=0.001), "A"), other]
    calm = [play(scripted(tiny_model, signal), whole, stale_after=after) for after in (0, 2)]
    pd.testing.assert_frame_equal(calm[0].equity, calm[1].equity, check_exact=True)


def aged(model, row):
    """Return the model with a training and calibration that ended with this bar."""
    opened = START + HOUR * row
    return replace(
        model, info={**model.info, "training_span": [0, opened - HOUR], "calibration_span": [0, opened]}
    )


def test_a_model_expires(tiny_model):
    returns = noise()
    signal = np.where(LATE, -1.0, 1.0) * right(returns)  # the market changes after TURN
    model = scripted(aged(tiny_model, 49), signal)
    result = play(model, [frame(returns)], expire_after=100 / 24)
    assert _final(result) > _final(play(model, [frame(returns)])) + 100.0
    expired = result.decisions["reason"] == "expired"
    # The training ended at the close of bar 49; 100 hours later, at the close of bar 149, the model may still trade.
    assert expired.to_numpy().tolist() == [False] * 150 + [True] * 150
    assert (result.decisions["target"][expired] == 0.0).all()
    young = play(model, [frame(returns)], expire_after=30.0)
    pd.testing.assert_frame_equal(young.decisions, play(model, [frame(returns)]).decisions, check_exact=True)


def test_a_schedule_of_models_expires_model_by_model(tiny_model):
    returns = noise()
    one, two = (scripted(aged(tiny_model, row), right(returns)) for row in (49, 199))
    close = START + HOUR * 201
    result = play([(0, one), (close, two)], [frame(returns)], expire_after=50 / 24)
    expired = np.flatnonzero(result.decisions["reason"] == "expired")
    assert expired.tolist() == [*range(100, 200), *range(250, 300)]


def test_a_model_without_its_spans_cannot_expire(tiny_model):
    model = scripted(replace(tiny_model, info={"bar_ms": HOUR}), np.full(BARS, 0.8))
    with pytest.raises(ValueError, match="expire_after: the model does not say when its training ended"):
        play(model, [frame(noise())], expire_after=1.0)


def test_an_alarm_of_drift_stops_trading_while_it_lasts(tiny_model):
    bars = 700
    returns, chance = noise(bars=bars), np.random.default_rng(9).uniform(size=bars)
    drifted = (np.arange(bars) >= 250) & (np.arange(bars) < 500)
    rank = np.where(chance < np.where(drifted, 0.7, 0.05), 0.01, 0.5)
    signal = np.where(drifted, -1.0, 1.0) * right(returns)
    rule = {"density_quantile": 0.05, "drift_alarm": 0.01, "drift_window": 240}
    model = scripted(tiny_model, signal, density_rank=rank)
    result, without = (play(model, [frame(returns)], **{**rule, "drift_alarm": a}) for a in (0.01, 0.0))
    last = [run.equity["equity"][499] for run in (result, without)]
    assert last[0] > last[1] + 1_000.0, "the drifted market deceived the model"
    on = np.flatnonzero(result.decisions["reason"] == "drift")
    assert 250 < on.min() < 400 < 500 < on.max() < 690, "it goes off after the change and ends after the end"
    usual = scripted(tiny_model, right(returns), density_rank=np.where(chance < 0.05, 0.01, 0.5))
    calm = [play(usual, [frame(returns)], **{**rule, "drift_alarm": a}) for a in (0.01, 0.0)]
    pd.testing.assert_frame_equal(calm[0].decisions, calm[1].decisions, check_exact=True)


# Novelty with the densities of a trained model --------------------------------------------------------------------


def shocked(factor):
    """Return a market whose moves are `factor` times as large from bar 200 on."""
    calm = simulate("planted", seed=8, bars=230, symbol="A")
    moves = np.diff(np.log(calm["close"].to_numpy()), prepend=np.log(calm["close"].iloc[0]))
    moves[200:] *= factor
    close = calm["close"].iloc[0] * np.exp(np.cumsum(moves))
    opened = np.concatenate([close[:1], close[:-1]])
    reach = (calm["high"] / calm[["open", "close"]].max(axis=1)).to_numpy()
    table = calm.assign(open=opened, close=close)
    table["high"] = table[["open", "close"]].max(axis=1) * reach
    table["low"] = table[["open", "close"]].min(axis=1) / reach
    return with_attrs(table, calm)


@pytest.mark.parametrize("window", [1, 24])
def test_a_shock_of_volatility_cuts_exposure_within_three_bars(tiny_model, window):
    rules = {
        "confidence_threshold": 0.0,
        "rebalance_band": 0.0,
        "cooldown": 0,
        "target_volatility": None,
        "forecast_window": window,
    }
    calm, shock = (
        run([shocked(f)], Account(), ScoreStrategy, {**rules, "model": tiny_model}).decisions
        for f in (1.0, 12.0)
    )
    pd.testing.assert_frame_equal(calm[:200], shock[:200], check_exact=True)
    before = calm["target"].abs()[150:200].mean()
    assert before > 0.1
    assert shock["target"].abs()[202:].max() < 0.05 * before
    assert (shock["reason"][202:] == "out_of_distribution").all()
    assert calm["target"].abs()[200:].mean() > 0.3 * before


def test_held_forecasts_spare_the_cost_of_single_unfamiliar_bars(tiny_model):
    """One bar in 20 is unfamiliar at random: with one level each closes all, with two it takes its own share."""
    rank = np.where(np.random.default_rng(4).uniform(size=BARS) < 0.05, 0.03, 0.5)
    model = scripted(tiny_model, np.full(BARS, 0.8), density_rank=rank)
    rules = {"density_quantile": 0.05, "rebalance_band": 0.05, "forecast_window": 24}
    two, one = (play(model, [frame(noise())], **rules, close_quantile=close) for close in (0.01, 0.05))
    fees = [result.orders["fee"].sum() for result in (two, one)]
    assert fees[0] < 0.4 * fees[1]
    assert two.decisions["target"][60:].min() > 0.5
    assert "out_of_distribution" not in set(two.decisions["reason"])
    assert "reduced" in set(two.decisions["reason"])
