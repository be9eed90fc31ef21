"""Bars that teach nothing are refused with the symbol and the reason, and a price that rests a while is left out."""

import numpy as np
import pytest

from scorenet import DeadMarket, TooFewBars, learn
from scorenet.features import feature_set
from tests.scorenet.learning.watched_learning import (
    BACK,
    COUNT,
    QUICK,
    bars,
    cuts,
    forward_calls,
    market,
    target,
)


def resting(begin, stop, seed=1, count=COUNT):
    """Bars whose price does not move in [begin, stop)."""
    table = bars(count, seed)
    steps = np.diff(np.log(table["close"]), prepend=np.log(100.0))
    steps[begin:stop] = 0.0
    close = 100 * np.exp(np.cumsum(steps))
    return table | {"open": close, "high": 1.01 * close, "low": 0.99 * close, "close": close}


def dead(count=COUNT, **columns):
    flat = np.full(count, 100.0)
    return bars(count) | dict.fromkeys(("open", "high", "low", "close"), flat) | columns


@pytest.mark.parametrize("columns", [{"volume": np.zeros(COUNT)}, {}])
def test_a_dead_market_is_refused_with_its_symbol_and_what_to_do(columns):
    states = COUNT - BACK
    with pytest.raises(DeadMarket) as caught:
        learn([market(dead(**columns), "GONE")], QUICK, progress=False)
    said = str(caught.value)
    assert f"GONE: expected a price that moves, found none within {BACK} bars in {states} of {states}" in said
    assert "leave GONE out" in said
    assert "1970-01-01T20:00:00Z to 1970-01-30T06:00:00Z" in said


def test_one_dead_market_of_several_is_named():
    with pytest.raises(DeadMarket, match="leave GONE out"):
        learn([market(bars(COUNT)), market(dead(), "GONE")], QUICK, progress=False)


def test_a_market_may_rest_for_half_of_its_states_and_no_longer():
    # A window of BACK returns is still from the BACK-th resting bar on: 341 of 683 states, then 342.
    states = COUNT - BACK
    half = states // 2
    with pytest.raises(DeadMarket, match=f"in {half + 1} of {states}"):
        learn([market(resting(30, 30 + half + BACK))], QUICK, progress=False)
    calls = forward_calls([market(resting(30, 30 + half + BACK - 1))], QUICK)
    assert len(calls) == 3


def test_a_resting_price_gives_no_row_and_no_return_in_units_of_nothing():
    table = resting(100, 150)
    still = range(100 + BACK - 1, 150)
    first, _ = cuts(COUNT)
    for call, horizon in zip(forward_calls([market(table)], QUICK), (4, 1, 9), strict=True):
        kept = [row for row in range(BACK, first - 9) if row not in still]
        np.testing.assert_allclose(
            call.given[1], [target(table, row, horizon) for row in kept], rtol=1e-4, atol=1e-5
        )
        assert float(call.given[1].abs().max()) < 100


def test_a_part_in_which_the_price_rests_is_what_is_named():
    with pytest.raises(TooFewBars, match="in one part bars are missing or the price stands still"):
        learn([market(resting(*cuts(2_000), count=2_000))], QUICK, progress=False)


def test_a_market_that_ended_is_learnt_from_its_life():
    calls = forward_calls([market(resting(1_400, 2_000, count=2_000))], QUICK)
    life = range(BACK, 1_400 + BACK - 1)
    first = BACK + int(0.70 * len(life))
    assert len(calls[1].given[1]) == first - 9 - BACK


def test_a_market_without_volume_has_no_features_of_volume():
    names = feature_set("chapter").names
    for volume in (np.zeros(COUNT), np.full(COUNT, 7.0)):
        calls = forward_calls([market(bars(COUNT)), market(bars(COUNT, 2, volume=volume), "Y")], QUICK)
        assert calls[0].given[0].shape[1] == len(names) - 1
    assert forward_calls([market(bars(COUNT))], QUICK)[0].given[0].shape[1] == len(names)
    assert set(names) - set(feature_set("chapter", (), ("volume",)).names) == {"volume_ratio"}
    extended = set(feature_set("extended", ()).names) - set(feature_set("extended", (), ("volume",)).names)
    assert extended == {"volume_1", "volume_24"}


def test_a_feature_with_one_value_in_all_training_rows_is_refused():
    # The volume begins to vary after the training part: to the density every later value would be impossible.
    volume = bars(COUNT)["volume"]
    volume[: cuts(COUNT)[0] + 5] = 2.0
    with pytest.raises(DeadMarket) as caught:
        learn([market(bars(COUNT, volume=volume))], QUICK, progress=False)
    said = str(caught.value)
    rows = cuts(COUNT)[0] - 9 - BACK
    assert f"X: feature 'volume_ratio' has the value 1.001 in all {rows} training rows" in said
    assert "--features" in said


def test_a_feature_of_an_optional_column_is_refused_with_the_column_to_leave_out():
    count = 6_500
    interest = np.where(np.arange(count) < 5_600, 50.0, 50.0 + np.arange(count))
    with pytest.raises(DeadMarket, match=r"'open_interest_24' \(and 1 more\).*bars without open_interest"):
        learn(
            [market(bars(count, open_interest=interest))],
            QUICK.with_values(features="extended"),
            progress=False,
        )
