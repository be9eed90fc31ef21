"""The rows that a model learns from: targets across holes, the warm-up, purged parts, optional columns."""

import numpy as np
import pytest

from scorenet import FeatureMismatch, ScorenetError, TooFewBars, learn, register_feature_set
from scorenet.features import FEATURE_SETS
from scorenet.learning import Market, nets, rows
from tests.scorenet.learning.watched_learning import (
    BACK,
    COUNT,
    HOUR,
    QUICK,
    Stop,
    bars,
    cuts,
    forward_calls,
    market,
    target,
    without,
)


def test_no_row_and_no_target_spans_a_missing_bar():
    table, hole = bars(COUNT), 300
    first, _ = cuts(COUNT)
    for call, horizon in zip(forward_calls([without(table, [hole])], QUICK), (4, 1, 9), strict=True):
        kept = [*range(BACK, hole - horizon), *range(hole + BACK + 1, first - 9)]
        np.testing.assert_allclose(call.given[1], [target(table, row, horizon) for row in kept], rtol=1e-4)


@pytest.mark.parametrize("count", [49, 50, 51])
def test_a_pooled_market_shorter_than_the_horizon_teaches_its_states_only(count):
    config = QUICK.with_values(**{"forward.horizons": (50,)})
    length, tables = 1_103, (bars(1_103), bars(count, seed=2))
    markets = [market(tables[0]), market(tables[1], "Y")]
    for call, horizon in zip(forward_calls(markets, config), (4, 50), strict=True):
        expected = [
            target(table, row, horizon)
            for row in range(BACK, cuts(length)[0] - 50)
            for table in tables
            if row < len(table["close"]) - horizon
        ]
        np.testing.assert_allclose(call.given[1], expected, rtol=1e-4)
        assert call.options["overlap"] == 2 * horizon, "returns of both markets lie side by side"


@pytest.mark.parametrize("count", [12, 20])
def test_a_series_inside_the_warm_up_is_told_how_many_bars_it_needs(count):
    markets = [market(bars(count)), market(bars(5), "Y")]
    with pytest.raises(TooFewBars, match=rf"(?s)21.*have {count}|have {count}.*21"):
        learn(markets, QUICK, progress=False)


def test_every_part_needs_64_rows():
    def smallest(count):
        first, second = cuts(count)
        return min(second - first, count - second) - BACK - 9

    enough = next(count for count in range(400, COUNT) if smallest(count) == 64)
    assert smallest(enough - 1) == 63
    assert forward_calls([market(bars(enough))], QUICK)
    with pytest.raises(TooFewBars, match="split with an embargo of 20 bars"):
        learn([market(bars(enough - 1))], QUICK, progress=False)


def test_a_series_without_one_full_horizon_is_an_error(monkeypatch):
    # Every 25th bar is missing: four rows in 25 have a lookback of twenty bars, and none a bar 30 bars ahead.
    seen = []
    monkeypatch.setattr(nets, "fit_denoiser", lambda x, *_, **options: seen.append(len(x)) or (None, None))
    monkeypatch.setattr(nets, "fit_density_net", lambda *_, **options: (None, None, {}))
    config = QUICK.with_values(**{"forward.horizon": 25, "forward.horizons": ()})
    with pytest.raises(TooFewBars, match="see one full horizon ahead") as caught:
        learn([without(bars(3_503), np.arange(24, 3_503, 25))], config, progress=False)
    assert f"need {seen[0] + 1}, have {seen[0]}" in str(caught.value)


def test_optional_columns_count_where_every_market_publishes_them(monkeypatch):
    zero, some = np.zeros(60), np.arange(60.0)
    flat = market(bars(60, funding_rate=some, open_interest=np.ones(60)), "C")
    both = market(bars(60, funding_rate=some, open_interest=some))
    half = market(bars(60, funding_rate=some, open_interest=zero), "Y")
    once = market(bars(60, funding_rate=np.eye(1, 60)[0]), "Z")

    def asked(name, available, empty):
        assert empty == ()
        raise Stop(name, set(available))

    monkeypatch.setattr(rows, "feature_set", asked)

    def optional(*markets):
        with pytest.raises(Stop) as caught:
            learn(markets, QUICK, progress=False)
        name, available = caught.value.args
        assert name == "chapter"
        return available

    assert optional(both) == {"funding_rate", "open_interest"}
    assert optional(half) == optional(both, half) == optional(both, once) == {"funding_rate"}
    assert optional(flat) == {"funding_rate"}, "one value says nothing"


def test_markets_of_no_or_of_two_bar_sizes_are_refused():
    with pytest.raises(ScorenetError, match="at least one market"):
        learn([], QUICK, progress=False)
    with pytest.raises(ScorenetError, match="one bar size, found several"):
        learn([market(bars(60)), Market("Q", bars(60), 2 * HOUR)], QUICK, progress=False)


def test_the_seed_of_a_model_is_that_of_all_its_parts(monkeypatch):
    def seeds_of(seed):
        seen = {}
        monkeypatch.setattr(nets, "fit_denoiser", lambda *_, seed, **options: (None, seen.update(state=seed)))
        monkeypatch.setattr(
            nets, "fit_density_net", lambda *_, seed, **options: (None, seen.update(density=seed), {})
        )

        def last(*_, seed, **options):
            seen.update(forward=seed)
            raise Stop

        monkeypatch.setattr(nets, "fit_forward_net", last)
        with pytest.raises(Stop):
            learn([market(bars(COUNT))], QUICK.with_values(seed=seed), progress=False)
        return seen

    # The parts of a model share no draws, and a model of an earlier version can be made again from its seed.
    for seed in (0, 1, 23):
        assert seeds_of(seed) == {"state": seed, "density": seed + 11, "forward": seed + 23}


def test_rows_that_look_at_one_another_are_refused_in_any_market():
    @register_feature_set("test_batch", names=("a",), lookback=BACK)
    def batch(window):
        close = window["close"][:, -1:]
        return close - close.mean()

    try:
        with pytest.raises(FeatureMismatch, match="depends on the rows computed with it"):
            learn(
                [market(bars(5)), market(bars(60), "Y")],
                QUICK.with_values(features="test_batch"),
                progress=False,
            )
    finally:
        FEATURE_SETS.remove("test_batch")
