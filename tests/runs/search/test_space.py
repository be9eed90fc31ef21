"""The search space: texts become settings and values; a wrong one is an error before the first trial."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.search import Choice, FloatRange, IntRange, KnownSettings, SearchSpace
from scorenet import ConfigError

KNOWN = KnownSettings.of()


def parse(*dimensions, where=(), **changes):
    return SearchSpace.parse(dimensions, where, known=KNOWN, **changes)


@pytest.mark.parametrize(
    ("text", "name", "dimension"),
    [
        ("cooldown=0,6,12", "cooldown", Choice((0, 6, 12))),
        ("strategy.cooldown = 3", "cooldown", Choice((3,))),
        ("max_exposure=1,0.5", "max_exposure", Choice((1.0, 0.5))),
        ("target_volatility=none,0.2", "target_volatility", Choice((None, 0.2))),
        ("signal=state,forward", "signal", Choice(("state", "forward"))),
        ('regimes=[],["calm, quiet", 2]', "regimes", Choice(((), ("calm, quiet", 2)))),
        ("funding=true,false", "funding", Choice((True, False))),
        ("taker=0.0005,0.001", "taker", Choice((0.0005, 0.001))),
        ("forward.horizon=4,24", "forward.horizon", Choice((4, 24))),
        ("cooldown=0..24", "cooldown", IntRange(0, 24)),
        ("cooldown=1..100,log", "cooldown", IntRange(1, 100, log=True)),
        ("max_exposure=0..2", "max_exposure", FloatRange(0.0, 2.0)),
        ("max_exposure=1..3,int", "max_exposure", IntRange(1, 3)),
        ("forward.learning_rate=1e-4..1e-2,log", "forward.learning_rate", FloatRange(1e-4, 1e-2, log=True)),
        ("forecast_window=1..12", "forecast_window", IntRange(1, 12)),
    ],
)
def test_texts_become_dimensions(text, name, dimension):
    assert dict(parse(text).dimensions) == {name: dimension}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["cooldwn=1,2"], "found 'cooldwn'; did you mean 'cooldown'"),
        (["model=a,b"], "expected a setting of the strategy, the account or the model"),
        (["cooldown"], "expected key=v1,v2"),
        (["cooldown="], "expected key=v1,v2"),
        (["cooldown=1,,2"], "a value between commas"),
        (["cooldown=1,1"], "found 1 twice"),
        (["cooldown=1,high"], "cooldown: expected int, found 'high'"),
        (["cooldown=true,false"], "expected int, found True"),
        (["cooldown=1.5..3"], "whole numbers"),
        (["cooldown=5..5"], "low below high, found 5..5"),
        (["cooldown=0..9,log"], "above 0 for log"),
        (["cooldown=1..9,lgo"], "did you mean 'log'"),
        (["cooldown=1..x"], "numbers as low..high"),
        (["max_exposure=1..inf"], "low below high"),
        (["signal=1..2"], "expected a list of values"),
        (["regimes=calm"], "list in brackets"),
        (["signal=forwrad,state"], "forwrad"),
        (["density_quantile=0.1,1.5"], "density_quantile: expected a number between 0 and 1, found 1.5"),
        (["density_quantile=0..1.5"], "density_quantile"),
        (["taker=0.1,2"], "taker"),
        (["forward.horizon=0,4"], "forward.horizon"),
        (["cooldown=1,2", "strategy.cooldown=3"], "found it twice"),
        ([], "at least one setting"),
    ],
)
def test_wrong_texts_are_errors(texts, message):
    with pytest.raises(ConfigError, match=message):
        parse(*texts)


def test_a_value_that_only_another_searched_value_allows_is_allowed():
    # margin_leverage 20 needs a maintenance margin below 0.05; the default alone may refuse it.
    space = parse("margin_leverage=2,200", "maintenance_margin=0.001,0.3")
    assert space.size == 4
    with pytest.raises(ConfigError, match="maintenance_margin"):
        parse("margin_leverage=200,100", "maintenance_margin=0.3")


def test_settings_are_grouped_by_what_a_change_costs():
    space = parse("forward.horizon=4,24", "taker=0..0.001", "cooldown=0,3")
    assert space.levels == ("strategy", "account", "model")
    assert parse("cooldown=0,3").levels == ("strategy",)
    params = {"forward.horizon": 4, "taker": 0.0, "cooldown": 3}
    assert KNOWN.by_level(params) == {
        "strategy": {"cooldown": 3},
        "account": {"taker": 0.0},
        "model": {"forward.horizon": 4},
    }


def test_no_name_belongs_to_two_levels():
    names = [name for level in KNOWN.defaults.values() for name in level]
    assert len(names) == len(set(names))


def test_a_strategy_of_the_user_has_its_own_settings():
    known = KnownSettings.of({"fast": 10, "slow": 30})
    space = SearchSpace.parse(["fast=5..20", "slow=30,60", "taker=0.0,0.001"], ["fast < slow"], known=known)
    assert space.dimensions["fast"] == IntRange(5, 20)
    with pytest.raises(ConfigError, match="did you mean 'fast'"):
        SearchSpace.parse(["fats=1,2"], known=known)
    with pytest.raises(ConfigError, match="found 'cooldown'"):
        SearchSpace.parse(["cooldown=1,2"], known=known)


def test_combinations_are_numbered_with_the_last_setting_fastest():
    space = parse("cooldown=3,6", "signal=state,forward", "drift_window=100..102")
    assert space.size == 12
    assert space.at(0) == {"cooldown": 3, "signal": "state", "drift_window": 100}
    assert space.at(1) == {"cooldown": 3, "signal": "state", "drift_window": 101}
    assert space.at(11) == {"cooldown": 6, "signal": "forward", "drift_window": 102}
    assert [space.index(space.at(i)) for i in range(12)] == list(range(12))
    assert parse("cooldown=1,2", "taker=0..0.1").size is None


def test_constraints_know_fixed_settings_and_defaults():
    where = ["cooldown <= forward.horizon"]
    horizon = KNOWN.default("forward.horizon")
    space = parse(f"cooldown={horizon},{horizon + 1}", where=where)
    assert [space.allows(space.at(i)) for i in (0, 1)] == [True, False]
    longer = parse("cooldown=5,6", where=where, fixed={"forward.horizon": 5})
    assert [longer.allows(longer.at(i)) for i in (0, 1)] == [True, False]
    with pytest.raises(ConfigError, match=r"a setting that is searched \(cooldown\), found taker"):
        parse("cooldown=5,6", where=["taker < 1"])


@given(
    low=st.integers(1, 500),
    width=st.integers(1, 500),
    log=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_draws_stay_in_their_range(low, width, log, seed):
    rng = random.Random(seed)
    assert low <= IntRange(low, low + width, log).draw(rng) <= low + width
    assert low <= FloatRange(float(low), float(low + width), log).draw(rng) <= low + width


def test_log_ranges_give_every_factor_its_share():
    rng = random.Random(1)
    whole = [IntRange(1, 99, log=True).draw(rng) for _ in range(4_000)]
    # From 0.5 to 99.5 on a log axis: the share of 1 is log(1.5 / 0.5) / log(99.5 / 0.5) = 0.2076.
    assert whole.count(1) / 4_000 == pytest.approx(0.2076, abs=0.02)
    assert {min(whole), max(whole)} == {1, 99}
    parts = [FloatRange(0.01, 100.0, log=True).draw(rng) for _ in range(4_000)]
    assert sum(part < 1.0 for part in parts) / 4_000 == pytest.approx(0.5, abs=0.025)
