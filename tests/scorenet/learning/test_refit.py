"""The refit: all rows train, the later rows that the selected model has not seen calibrate, and both are said."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from feeds import simulate
from runs.markets import as_market
from scorenet import ModelConfig, ScoreModel, learn
from scorenet.conformal.calibration import coverage_error
from scorenet.forward.horizons import expected_path
from scorenet.learning import Market, fit
from tests.conftest import TINY
from tests.scorenet.learning.watched_learning import (
    BACK,
    COUNT,
    HOUR,
    QUICK,
    bars,
    cuts,
    forward_calls,
    market,
    target,
    watched_learn,
)

DAY = 24 * HOUR
CONFIG = QUICK.with_values(refit=True, **{"state.members": 2, "state.steps": 4, "forward.steps": 3})


@pytest.fixture(scope="module")
def plain():
    return watched_learn(CONFIG.with_values(refit=False), progress=False).model


@pytest.fixture(scope="module")
def refitted():
    return watched_learn(CONFIG)


def test_what_was_measured_stays_and_says_its_rows(plain, refitted):
    info = refitted.model.info
    assert info["metrics"] == plain.info["metrics"]
    assert info["log"] == plain.info["log"]
    assert info["metrics_from"] == info["test_span"] == plain.info["test_span"] == plain.info["metrics_from"]
    assert (info["refit"], plain.info["refit"]) == (True, False)


def test_the_spans_are_those_of_the_final_weights_and_of_the_ranks(plain, refitted):
    info, (first, _) = refitted.model.info, cuts(COUNT)
    last = HOUR * (COUNT - 1)
    assert info["training_span"] == [HOUR * BACK, last]
    assert info["calibration_span"] == [HOUR * (first + BACK), last]
    assert info["selection_span"] == plain.info["training_span"]
    assert info["rows"] == plain.info["rows"] | {"refit": COUNT - BACK}
    assert refitted.model.seen_until == plain.seen_until == last


def test_every_row_trains_for_the_steps_that_were_kept(refitted):
    model, calls, _ = refitted
    table, states = bars(COUNT), COUNT - BACK
    [denoiser] = calls["refit_denoiser"]
    assert denoiser.options["steps"] == calls["fit_denoiser"][0].result[1].kept_steps
    assert len(denoiser.options["steps"]) == 2, "one number a member"
    x = model.scaler.transform(model.features.compute(table)[BACK:])
    np.testing.assert_allclose(denoiser.given[0], x, atol=1e-6)
    assert len(calls["fit_density_net"][1].given[1]) == states
    for chosen, again, horizon in zip(
        calls["fit_forward_net"], calls["refit_forward_net"], (4, 1, 9), strict=True
    ):
        np.testing.assert_allclose(
            again.given[1], [target(table, row, horizon) for row in range(BACK, COUNT - horizon)], rtol=1e-4
        )
        assert again.options["steps"] == chosen.result[1].kept_steps
        assert again.options["seed"] == chosen.options["seed"]


def test_the_shift_is_shrunk_by_rows_that_did_not_train_it(refitted):
    model, calls, _ = refitted
    table, (first, _) = bars(COUNT), cuts(COUNT)
    shrunk = calls["shrinkage_factor"]
    for call, chosen, horizon in zip(shrunk, calls["fit_forward_net"], (4, 1, 9), strict=True):
        net, _, y, overlap = call.given
        assert net is chosen.result[0]
        assert overlap == horizon
        judged = range(first + BACK, COUNT - horizon)
        np.testing.assert_allclose(y, [target(table, row, horizon) for row in judged], rtol=1e-4)
    assert [float(net.belief) for net in (model.forward_net, model.further[1], model.further[9])] == [
        pytest.approx(call.result) for call in shrunk
    ]


def test_ranks_are_the_selected_models_on_all_later_rows(plain, refitted):
    model, (first, _) = refitted.model, cuts(COUNT)
    later = model.features.compute(bars(COUNT))[first + BACK :]
    assert model.scaler.to_dict() == plain.scaler.to_dict(), "one unit of log-density"
    assert model.calibration.rows == len(later)
    np.testing.assert_allclose(model.calibration.log_density, np.sort(plain.log_density(later)), atol=1e-9)


def test_confidence_is_in_the_sizes_of_the_final_models_own_scores(refitted):
    model, (first, _) = refitted.model, cuts(COUNT)
    later = model.features.compute(bars(COUNT))[first + BACK :]
    own = {"forward": model.forward(later).score, "state": model.signal_score(later, "state")}
    for name, score in own.items():
        np.testing.assert_allclose(model.calibration.magnitude[name], np.sort(np.abs(score)), atol=1e-9)
        assert model.calibration.confidence(name, score).max() == 1.0


def test_the_refit_is_another_model_made_the_same_way_each_time(plain, refitted, tmp_path):
    model = refitted.model
    again = watched_learn(CONFIG, progress=False).model
    assert model.fingerprint == again.fingerprint != plain.fingerprint
    assert model.calibration.to_dict() == again.calibration.to_dict()
    loaded = ScoreModel.load(model.save(tmp_path / "model"))
    assert loaded.fingerprint == model.fingerprint
    assert loaded.info["training_span"] == model.info["training_span"]
    assert loaded.config.refit


def test_the_refit_shows_its_progress(refitted):
    for part in ("state density, refit", "forward scale, refit", "forward shift, refit"):
        assert part in refitted.printed, part


def test_bars_of_the_last_part_train_the_refit():
    frame = simulate("regimes", seed=1, bars=1_500)
    changed = frame.copy()
    changed.attrs = frame.attrs
    for column in ("open", "high", "low", "close"):
        changed.loc[changed.index[1_400:], column] *= 1.5
    quick = QUICK.with_values(refit=True)
    first, second = (learn([as_market(f)], quick, progress=False) for f in (frame, changed))
    assert first.fingerprint != second.fingerprint


def test_ranks_of_bars_after_the_span_are_as_good_as_without_the_refit(monkeypatch):
    frame, end = simulate("planted", seed=7, bars=9_000), 5_000
    table = as_market(frame).bars
    selected, real = [], fit._refit

    def watched(model, *given):
        selected.append(model)
        return real(model, *given)

    monkeypatch.setattr(fit, "_refit", watched)
    span = Market("X", {name: values[:end] for name, values in table.items()}, HOUR)
    config = TINY.with_values(refit=True)
    model = learn([span], config, progress=False)
    later = model.features.compute({name: values[end - BACK :] for name, values in table.items()})[BACK:]
    plain, refit = (coverage_error(own.density_rank(later)) for own in (selected[0], model))
    assert refit <= plain + 0.01
    assert refit < 0.06
    # Ranks among the rows that trained the weights would be another matter only for a net that remembers rows.
    assert model.log_density(later).mean() > selected[0].log_density(later).mean() - 0.05


def test_rows_of_a_half_life_ago_are_drawn_half_as_often():
    config = QUICK.with_values(**{"forward.half_life_days": 5.0})
    first, _ = cuts(COUNT)
    for call in forward_calls([market(bars(COUNT))], config):
        weights = call.options["weights"].numpy()
        age = (first - 10 - np.arange(BACK, first - 9)) * HOUR / DAY
        np.testing.assert_allclose(weights, 0.5 ** (age / 5.0), rtol=1e-12)
        assert weights[-1] == 1.0
        assert weights[-1 - 5 * 24] == pytest.approx(0.5)
    assert forward_calls([market(bars(COUNT))], QUICK)[0].options["weights"] is None


def test_the_last_row_seen_is_that_of_the_spans_where_a_folder_does_not_say(tiny_model):
    assert tiny_model.seen_until == tiny_model.info["seen_until"] > tiny_model.info["test_span"][1]
    older = replace(tiny_model, info={"training_span": [0, 5], "calibration_span": [6, 9]})
    assert older.seen_until == 9
    assert replace(tiny_model, info={}).seen_until is None


def test_the_option_is_off_and_takes_a_truth_value():
    assert ModelConfig().refit is False
    assert ModelConfig().forward.half_life_days == 0
    with pytest.raises(ValueError, match="refit: expected bool"):
        ModelConfig().with_values(refit=1)
    with pytest.raises(ValueError, match=r"forward\.half_life_days"):
        ModelConfig().with_values(**{"forward.half_life_days": -1.0})


def test_members_of_an_ensemble_keep_their_own_steps(refitted):
    log = refitted.calls["fit_denoiser"][0].result[1]
    assert refitted.model.info["log"]["state"]["kept_steps"] == log.kept_steps
    assert log.kept_steps[0] == log.best_step
    assert isinstance(refitted.model.denoiser, torch.nn.Module)


@pytest.mark.parametrize("name", ["plain", "refitted"])
def test_every_horizon_forecasts_with_its_own_net(name, request):
    found = request.getfixturevalue(name)
    model = found if isinstance(found, ScoreModel) else found.model
    x = model.features.compute(bars(COUNT))[BACK : BACK + 5]
    means = {horizon: model.forward(x, horizon).mean for horizon in (4, 1, 9)}
    np.testing.assert_array_equal(means[4], model.forward(x).mean)
    assert len({tuple(mean) for mean in means.values()}) == 3
    path = expected_path(means, np.full(5, 0.01), 9)
    np.testing.assert_allclose(path[:, 9], means[9] * 0.03, rtol=1e-12)
