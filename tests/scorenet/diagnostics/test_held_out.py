"""Reports of a model: good on the exact distribution, bad on a distorted one, in numbers that JSON can hold."""

import json

import numpy as np
import pytest

from feeds import simulate, to_arrays
from scorenet.conformal.calibration import Calibration
from scorenet.diagnostics.held_out import forward_report, gate_report, rank_report, score_report
from scorenet.forward.distribution import ForwardReturn


def gaussian_density(mean: np.ndarray, std: float) -> ForwardReturn:
    n = len(mean)
    return ForwardReturn(np.ones((n, 1)), mean[:, None], np.full((n, 1), std), 4.0, np.zeros((1, n)))


def test_the_right_forward_density_is_calibrated_and_a_narrow_one_is_not():
    rng = np.random.default_rng(0)
    mean = 0.3 * rng.standard_normal(8_000)
    y = mean + rng.standard_normal(8_000)
    right, narrow = (
        forward_report(gaussian_density(mean, 1.0), y),
        forward_report(gaussian_density(mean, 0.5), y),
    )
    assert right["forward_pit_ks"] < 0.02 < 0.1 < narrow["forward_pit_ks"]
    assert right["forward_log_score"] > narrow["forward_log_score"]
    assert right["forward_crps"] < narrow["forward_crps"]
    assert right["below_quantile_5"] == pytest.approx(0.05, abs=0.01)
    assert right["cvar_5"] == pytest.approx(right["mean_beyond_quantile_5"], abs=0.1)
    assert max(right["pit"]) < 0.07 < max(narrow["pit"])


def test_uniform_ranks_are_calibrated_and_sunken_ones_raise_the_alarm():
    ranks = np.random.default_rng(1).uniform(size=6_000)
    good, bad = rank_report(ranks, block=24), rank_report(ranks**3, block=24)
    assert good["density_calibration"] < 0.02
    assert good["drift_alarm"] is None
    assert bad["density_calibration"] > 0.2
    assert bad["drift_alarm"] is not None
    assert good["coverage"]["share"][-1] == 1.0
    for row in good["rejected"]:
        assert abs(row["share"] - row["nominal"]) < 4 * row["standard_error"]


def test_the_adaptive_threshold_is_beside_the_fixed_one(tiny_model):
    table = np.sort(tiny_model.calibration.log_density)
    low = table[: len(table) // 5]  # the market has moved to the rarest fifth of the calibration span
    drifted = np.resize(np.random.default_rng(2).permutation(low), 5_000)
    for row in gate_report(tiny_model, drifted, block=20):
        assert row["split"] > row["level"] + 0.02
        assert abs(row["adaptive"] - row["level"]) < 0.04


def test_a_score_report_holds_every_check_and_survives_json(tiny_model):
    bars = to_arrays(simulate("planted", seed=9, bars=600))
    x = tiny_model.features.compute(bars)[tiny_model.lookback :]
    report = score_report(tiny_model, x, block=20)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert {row["name"] for row in report["stein"]} == {"mean", "cross", "energy"}
    assert {row["second"] for row in report["routes"]} >= {"flow", "immse", "per_bar"}
    assert 0.4 < report["two_sample"]["auc"] <= 1.0
    for row in report["by_sigma"]:
        assert row["explained_variance"] == pytest.approx(1 - row["dsm_loss"] / row["gaussian_loss"])
        assert row["asymmetry"] >= 0


def test_calibration_of_a_report_is_that_of_the_model():
    table = Calibration.fit(np.arange(100.0), {"forward": np.ones(1), "state": np.ones(1)})
    ranks = table.density_rank(np.arange(100.0))
    assert rank_report(ranks, block=1)["density_calibration"] < 0.011
