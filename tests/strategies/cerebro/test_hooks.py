"""A subclass decides what, how much and whether to trade, and the record says what was ordered."""

import backtrader as bt
import numpy as np
import pytest

from strategies import Decision, LiveScoreStrategy, Orders, Rules, ScoreStrategy
from strategies.cerebro.hooks import is_overridden
from tests.strategies.cerebro.own import BARS, MODES, cerebro_of, log_of, market


def played(model, strategy=ScoreStrategy, mode="runonce", frames=None, **params):
    cerebro = cerebro_of(frames or [market()], model, strategy, mode=mode, **params)
    cerebro.addanalyzer(Orders, _name="orders")
    return cerebro.run()[0]


def orders_of(strategy):
    found = strategy.analyzers.orders.get_analysis()
    return [(int(time), float(size)) for time, size in zip(found["decided"], found["requested"], strict=True)]


class Half(ScoreStrategy):
    def decide(self, facts):
        decision = super().decide(facts)
        return decision._replace(target=decision.target / 2)


class Same(ScoreStrategy):
    def decide(self, facts):
        return super().decide(facts)

    def allow(self, symbol, target):
        return True


class NoShorts(ScoreStrategy):
    """A veteran's long-only strategy: he overrides `sell` so that it only reduces."""

    def sell(self, data=None, size=None, **more):
        held = self.broker.getposition(data).size
        size = min(size, held)
        return super().sell(data=data, size=size, **more) if size > 0 else None


class Silent(ScoreStrategy):
    """Overrides what Backtrader users usually override, without a call of `super`."""

    def start(self):
        self.begun = self.broker.getvalue()

    def notify_order(self, order):
        self.last_order = order

    def stop(self):
        self.ended = self.broker.getvalue()


@pytest.mark.parametrize("mode", MODES)
def test_own_decisions_that_change_nothing_change_nothing(tiny_model, mode):
    frames = [market(bars=60)]
    plain, own = (log_of(played(tiny_model, kind, mode, frames)) for kind in (ScoreStrategy, Same))
    assert plain[0] == own[0]
    np.testing.assert_array_equal(plain[1], own[1])


def test_decide_sets_how_much(tiny_model):
    _, full = log_of(played(tiny_model))
    _, half = log_of(played(tiny_model, Half))
    np.testing.assert_allclose(half[1, 20:], full[1, 20:] / 2, rtol=1e-12)
    assert np.abs(full[1]).max() > 0.3


def test_targets_of_ones_own_keep_the_cap_of_the_account(tiny_model):
    class Much(ScoreStrategy):
        def decide(self, facts):
            return Decision(3.0, "trade")

    _, numbers = log_of(played(tiny_model, Much))
    assert numbers[1].max() == 1.0
    assert np.abs(numbers[2]).max() < 1.1


def test_facts_are_those_of_the_symbol(tiny_model):
    seen = []

    class Watch(ScoreStrategy):
        def decide(self, facts):
            seen.append((facts.symbol, facts.data.close[0], facts.seen.score, facts.rules is self.rules))
            return Decision(facts.seen.exposure, "hold")

    frames = [market(), market(4, symbol="ETH")]
    strategy = played(tiny_model, Watch, frames=frames)
    columns = strategy.decisions.columns()
    decided = columns["reason"] != "warmup"
    rows = zip(*(columns[name][decided] for name in ("symbol", "close", "score")), strict=True)
    assert seen == [(*row, True) for row in rows]
    assert orders_of(strategy) == []


def test_an_overridden_sell_leaves_no_shorts_in_the_record(tiny_model):
    strategy = played(tiny_model, NoShorts)
    reasons, (time, target, position, *_) = log_of(strategy)
    assert target.min() == 0.0
    assert position.min() == 0.0
    assert reasons.count("refused") >= 5
    refused = np.array(reasons) == "refused"
    np.testing.assert_array_equal(target[refused], position[refused])
    # Every order is a row of the record with a trade's reason, at its time and with the target that it leads to.
    # The order of the last bar has not ended with the run.
    traded = [int(when) for when, reason in zip(time, reasons, strict=True) if reason in ("trade", "reduced")]
    assert {when for when, _ in orders_of(strategy)} == {when for when in traded if when < time[-1]}
    # The model wants shorts where it was refused: its own targets are below the position there.
    assert (log_of(played(tiny_model))[1][1][refused] < 0).all()


def test_a_smaller_order_than_asked_for_is_recorded_as_it_was_sent(tiny_model):
    class Tenth(ScoreStrategy):
        def buy(self, data=None, size=None, **more):
            return super().buy(data=data, size=size / 10, **more)

    strategy = played(tiny_model, Tenth)
    columns = strategy.decisions.columns()
    first = orders_of(strategy)[0]
    row = int(np.flatnonzero(columns["time"] == first[0])[0])
    expected = first[1] * columns["close"][row] / 10_000.0
    assert columns["target"][row] == pytest.approx(expected, rel=1e-12)


def test_a_refused_target_closes_the_position(tiny_model):
    class Until(ScoreStrategy):
        def allow(self, symbol, target):
            return len(self) < 80

    reasons, numbers = log_of(played(tiny_model, Until))
    assert set(reasons[79:]) <= {"refused", "hold", "trade", "low_confidence", "out_of_distribution"}
    assert reasons[79:].count("refused") > 30
    assert (numbers[2, 81:] == 0.0).all()


def test_a_subclass_need_not_call_super_in_backtraders_own_methods(tiny_model):
    plain, silent = played(tiny_model, cooldown=2), played(tiny_model, Silent, cooldown=2)
    np.testing.assert_array_equal(log_of(plain)[1], log_of(silent)[1])
    assert orders_of(plain) == orders_of(silent)
    assert len(orders_of(silent)) > 10
    assert silent.begun == 10_000.0
    assert silent.ended == silent.broker.getvalue()


def test_an_init_without_super_is_an_error_that_says_so(tiny_model):
    class Forgot(ScoreStrategy):
        def __init__(self):
            self.mean = bt.indicators.SMA(period=5)

    with pytest.raises(TypeError, match=r"Forgot.__init__ must call super\(\).__init__\(\) first"):
        played(tiny_model, Forgot)


def returning(**methods):
    return type("Mine", (ScoreStrategy,), {name: lambda self, *args, v=v: v for name, v in methods.items()})


@pytest.mark.parametrize(
    ("methods", "error", "said"),
    [
        ({"decide": 0.5}, TypeError, r"Mine.decide: expected a Decision\(target, reason\), found 0.5"),
        ({"decide": Decision(0.5, "trad")}, ValueError, "unknown reason 'trad'; did you mean 'trade'"),
        ({"decide": Decision(float("nan"), "trade")}, ValueError, "finite target exposure, found nan"),
        ({"allow": None}, TypeError, "Mine.allow: expected True or False, found None; end the method with"),
    ],
)
def test_what_a_hook_returns_is_checked(tiny_model, methods, error, said):
    with pytest.raises(error, match=said):
        played(tiny_model, returning(**methods), frames=[market(bars=40)])


def test_a_target_that_differs_from_the_position_is_a_trade_and_the_same_one_is_none(tiny_model):
    reasons, _ = log_of(played(tiny_model, returning(decide=Decision(0.2, "hold")), frames=[market(bars=40)]))
    assert reasons[20] == "trade"
    reasons, _ = log_of(
        played(tiny_model, returning(decide=Decision(0.0, "trade")), frames=[market(bars=40)])
    )
    assert set(reasons[20:]) == {"hold"}


def test_nothing_is_asked_of_a_strategy_that_overrides_nothing():
    class Watched(LiveScoreStrategy):
        pass

    assert not is_overridden(Watched.__new__(Watched), ScoreStrategy, "decide", "allow")
    assert is_overridden(Half.__new__(Half), ScoreStrategy, "decide", "allow")


def test_a_sizer_is_refused_with_what_to_do(tiny_model):
    cerebro = cerebro_of([market(bars=40)], tiny_model)
    cerebro.addsizer(bt.sizers.PercentSizer, percents=50)
    with pytest.raises(ValueError, match=r"would not ask the sizer PercentSizer; remove cerebro\.addsizer"):
        cerebro.run()


# Direction ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("direction", "sign"), [("long", 1.0), ("short", -1.0)])
def test_one_direction_takes_the_targets_of_that_side_and_is_flat_otherwise(tiny_model, direction, sign):
    reasons, numbers = log_of(played(tiny_model, direction=direction))
    _, both = log_of(played(tiny_model))
    np.testing.assert_array_equal(numbers[1], np.where(both[1] * sign > 0, both[1], 0.0))
    other = both[1] * sign < 0
    assert other.sum() > 20
    assert set(np.array(reasons)[other]) == {"direction"}
    assert (numbers[2] * sign >= 0).all()


def test_an_unknown_direction_is_an_error():
    for wrong in ("up", 1, None, ["long"]):
        with pytest.raises(ValueError, match="direction: expected long, short or both, found"):
            Rules(direction=wrong)
    assert [Rules(direction=name).side for name in ("long", "short", "both")] == [1.0, -1.0, 0.0]


def test_all_bars_are_recorded_under_every_hook(tiny_model):
    for kind in (Half, NoShorts, Silent):
        assert len(played(tiny_model, kind).decisions) == BARS
