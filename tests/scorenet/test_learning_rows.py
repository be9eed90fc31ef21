"""What a model learns from, row by row: targets across holes, the warm-up, purged parts, optional columns.

The nets are as small as can be and take a step or two: what they are given is asked here, not what they learn.
"""

import contextlib
import io
import math
from collections import defaultdict
from typing import NamedTuple

import numpy as np
import pytest
import torch

from scorenet import ModelConfig, ScoreModel, ScorenetError, TooFewBars, feature_set, learn, learning
from scorenet.learning import Market

HOUR = 3_600_000
COUNT = 703  # neither 70 % nor 85 % of the bars behind the warm-up is a whole number, give or take a rounding
BACK = 20  # bars before its own that a row of the chapter's features needs

QUICK = ModelConfig.from_dict(
    {
        "features": "chapter",
        "state": {"hidden": 4, "blocks": 1, "steps": 2, "batch_size": 16, "max_components": 2},
        "density": {"points": 16, "steps": 1, "hidden": 4, "batch_size": 16, "nodes": 4},
        "forward": {
            "horizon": 4,
            "horizons": (1, 9),
            "hidden": 4,
            "members": 1,
            "components": 2,
            "scale_hidden": 2,
            "scale_steps": 2,
            "steps": 2,
            "batch_size": 16,
        },
    }
)


class Stop(Exception):
    """Everything that a test asks about has happened."""


class Call(NamedTuple):
    given: tuple
    options: dict
    result: object


class Learnt(NamedTuple):
    """A model, the calls behind it by function, and what was printed meanwhile."""

    model: ScoreModel
    calls: dict[str, list[Call]]
    printed: str


def watched_learn(config, **options):
    """Learn from one market and note what is handed to the functions that fit and measure."""
    calls, printed = defaultdict(list), io.StringIO()

    def watch(name, real):
        def watched(*given, **own):
            calls[name].append(Call(given, own, real(*given, **own)))
            return calls[name][-1].result

        patch.setattr(learning, name, watched)

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(printed):
        for name in ("fit_base", "fit_denoiser", "fit_density_net", "fit_forward_net", "held_out_metrics"):
            watch(name, getattr(learning, name))
        model = learn([market(bars(COUNT))], config, **options)
    return Learnt(model, calls, printed.getvalue())


@pytest.fixture(scope="module")
def learnt():
    """A model with all that is optional left as it comes."""
    return watched_learn(QUICK, info={"data_hash": "abc", "symbols": ["Z"]})


def forward_calls(markets, config):
    """Return what each horizon would train on; no net is trained."""
    calls = []

    def noted(*given, **options):
        calls.append(Call(given, options, None))
        if len(calls) == len(config.forward.all_horizons):
            raise Stop
        return None, None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learning, "fit_denoiser", lambda *_, **options: (None, None))
        patch.setattr(learning, "fit_density_net", lambda *_, **options: (None, None, {}))
        patch.setattr(learning, "fit_forward_net", noted)
        with pytest.raises(Stop):
            learn(markets, config, progress=False)
    return calls


def bars(count, seed=1, **columns):
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(0.01 * rng.standard_normal(count)))
    table = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close}
    return table | {"volume": rng.uniform(1, 2, count), "timestamp": HOUR * np.arange(count)} | columns


def market(table, name="X"):
    return Market(name, table, HOUR)


def without(table, missing):
    return market({name: np.delete(values, missing) for name, values in table.items()})


def target(table, row, horizon):
    """The log-return ahead, over the volatility of the last 20 bars and the root of the horizon."""
    close = np.log(table["close"])
    volatility = math.sqrt(np.mean(np.diff(close[row - BACK : row + 1]) ** 2))
    return (close[row + horizon] - close[row]) / (volatility * math.sqrt(horizon))


def cuts(count):
    """The first bars of the second and the third part: 70 % and 85 % of the bars behind the warm-up."""
    return BACK + int(0.70 * (count - BACK)), BACK + int(0.85 * (count - BACK))


def test_parts_are_apart_by_the_longest_horizon_and_the_lookback(learnt):
    model, calls, _ = learnt
    table = bars(COUNT)
    first, second = cuts(COUNT)
    train, held = range(BACK, first - 9), range(first + BACK, second - 9)
    test = range(second + BACK, COUNT - 9)
    for name, part in (("training_span", train), ("calibration_span", held), ("test_span", test)):
        assert model.info[name] == [HOUR * part[0], HOUR * part[-1]]
    assert model.info["rows"] == {"train": len(train), "validation": len(held), "test": len(test)}
    assert [call.given[4].horizon for call in calls["fit_forward_net"]] == [4, 1, 9]
    for call, horizon in zip(calls["fit_forward_net"], (4, 1, 9), strict=True):
        z, y, held_z, held_y, _ = call.given
        np.testing.assert_allclose(y, [target(table, row, horizon) for row in train], rtol=1e-4)
        np.testing.assert_allclose(held_y, [target(table, row, horizon) for row in held], rtol=1e-4)
        assert (len(z), len(held_z)) == (len(train), len(held))
    [measured] = calls["held_out_metrics"]
    _, x, y = measured.given
    np.testing.assert_array_equal(x, model.features.compute(table)[test[0] : test[-1] + 1])
    np.testing.assert_allclose(y, [target(table, row, 4) for row in test], rtol=1e-9)


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


def test_every_horizon_has_a_net_of_its_own(learnt):
    model, calls, _ = learnt
    made = calls["fit_forward_net"]
    assert all(call.given[4].horizons == () for call in made)
    logs = [call.result[1].to_dict() for call in made]
    assert model.info["log"]["forward"] == logs[0], "the log of the main horizon"
    assert logs[0] != logs[-1]
    for net, call in zip((model.forward_net, model.further[1], model.further[9]), made, strict=True):
        assert torch.equal(net.log_width, call.result[0].log_width.double())
    marks = [float(kind == "log") for kind in model.features.kinds]
    assert 0 < sum(marks) < len(marks)
    assert all(call.options["scale_columns"].tolist() == marks for call in made)


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
    monkeypatch.setattr(
        learning, "fit_denoiser", lambda x, *_, **options: seen.append(len(x)) or (None, None)
    )
    monkeypatch.setattr(learning, "fit_density_net", lambda *_, **options: (None, None, {}))
    config = QUICK.with_values(**{"forward.horizon": 25, "forward.horizons": ()})
    with pytest.raises(TooFewBars, match="see one full horizon ahead") as caught:
        learn([without(bars(3_503), np.arange(24, 3_503, 25))], config, progress=False)
    assert f"need {seen[0] + 1}, have {seen[0]}" in str(caught.value)


def test_optional_columns_count_where_every_market_publishes_them(monkeypatch):
    zero, some = np.zeros(60), np.ones(60)
    both = market(bars(60, funding_rate=some, open_interest=some))
    half = market(bars(60, funding_rate=some, open_interest=zero), "Y")
    once = market(bars(60, funding_rate=np.eye(1, 60)[0]), "Z")

    def asked(name, available):
        raise Stop(name, set(available))

    monkeypatch.setattr(learning, "feature_set", asked)

    def optional(*markets):
        with pytest.raises(Stop) as caught:
            learn(markets, QUICK, progress=False)
        name, available = caught.value.args
        assert name == "chapter"
        return available

    assert optional(both) == {"funding_rate", "open_interest"}
    assert optional(half) == optional(both, half) == optional(both, once) == {"funding_rate"}


def test_markets_of_no_or_of_two_bar_sizes_are_refused():
    with pytest.raises(ScorenetError, match="at least one market"):
        learn([], QUICK, progress=False)
    with pytest.raises(ScorenetError, match="one bar size, found several"):
        learn([market(bars(60)), Market("Q", bars(60), 2 * HOUR)], QUICK, progress=False)


def test_another_seed_is_another_draw_in_every_part(monkeypatch):
    def seeds_of(seed):
        seen = {}
        monkeypatch.setattr(
            learning, "fit_denoiser", lambda *_, seed, **options: (None, seen.update(state=seed))
        )
        monkeypatch.setattr(
            learning, "fit_density_net", lambda *_, seed, **options: (None, seen.update(density=seed), {})
        )

        def last(*_, seed, **options):
            seen.update(forward=seed)
            raise Stop

        monkeypatch.setattr(learning, "fit_forward_net", last)
        with pytest.raises(Stop):
            learn([market(bars(COUNT))], QUICK.with_values(seed=seed), progress=False)
        return seen

    found = [seeds_of(seed) for seed in (0, 1, 23)]
    assert all(len(set(seeds.values())) == 3 for seeds in found), "the parts of a model share no draws"
    for part in ("state", "density", "forward"):
        assert len({seeds[part] for seeds in found}) == 3


def test_the_base_is_the_fitted_mixture_or_the_gaussian_of_the_training_rows(learnt):
    assert learnt.model.base is learnt.calls["fit_base"][0].result
    assert len(learnt.model.base.weights) == 2
    none = watched_learn(QUICK.with_values(**{"state.max_components": 0}), progress=False)
    assert none.calls["fit_base"][0].result is None
    train = none.calls["fit_base"][0].given[0].double()
    torch.testing.assert_close(none.model.base.means[0], train.mean(0))
    assert none.printed == "", "progress can be switched off"


def test_values_that_many_bars_share_are_atoms_of_the_model():
    table = bars(COUNT)
    # Every other stretch of ten bars stands still: about half of the one-bar returns are exactly 0.
    still = np.arange(COUNT) // 10 % 2 == 0
    steps = np.where(still, 0.0, np.diff(np.log(table["close"]), prepend=0.0))
    close = 100 * np.exp(np.cumsum(steps))
    table |= {"open": close, "high": 1.01 * close, "low": 0.99 * close, "close": close}
    atoms = learn([market(table)], QUICK, progress=False).atoms
    names = feature_set("chapter").names
    assert ("return_1", 0.0) in [(names[atom.column], atom.value) for atom in atoms]


def test_without_such_values_there_are_no_atoms(learnt):
    assert learnt.model.atoms == ()


def test_training_runs_on_one_thread_and_leaves_the_setting_as_it_was(monkeypatch):
    before = torch.get_num_threads()

    def seen(*_, **__):
        raise Stop(torch.get_num_threads())

    monkeypatch.setattr(learning, "fit_base", seen)
    try:
        torch.set_num_threads(2)
        with pytest.raises(Stop) as caught:
            learn([market(bars(COUNT))], QUICK, progress=False)
        assert (caught.value.args[0], torch.get_num_threads()) == (1, 2)
    finally:
        torch.set_num_threads(before)


def test_progress_is_shown_unless_switched_off(learnt):
    for part in ("state density", "density net", "forward scale", "forward shift"):
        assert part in learnt.printed, part


def test_what_a_model_says_of_its_training(learnt):
    info, calls = learnt.model.info, learnt.calls
    assert (info["data_hash"], info["symbols"]) == ("abc", ["Z"]), "what the caller says comes last"
    assert info["bar_ms"] == HOUR
    assert info["log"]["state"] == calls["fit_denoiser"][0].result[1].to_dict()
    assert info["log"]["density"] == calls["fit_density_net"][0].result[1].to_dict()
    error, metrics = calls["fit_density_net"][0].result[2], calls["held_out_metrics"][0].result
    assert info["metrics"] == metrics | {f"density_net_{name}": value for name, value in error.items()}


def test_the_calibration_holds_the_scores_of_the_held_out_rows(learnt):
    model = learnt.model
    first, second = cuts(COUNT)
    held = model.features.compute(bars(COUNT))[first + BACK : second - 9]
    calibration = model.calibration
    assert calibration.rows == len(held)
    np.testing.assert_allclose(calibration.log_density, np.sort(model.log_density(held)), atol=1e-6)
    forward = np.abs(model.forward(held).score)
    state = np.abs(model.score(held)[:, model.features.return_index])
    assert set(calibration.magnitude) == {"forward", "state"}
    np.testing.assert_allclose(calibration.magnitude["forward"], np.sort(forward), atol=1e-6)
    np.testing.assert_allclose(calibration.magnitude["state"], np.sort(state), atol=1e-6)
