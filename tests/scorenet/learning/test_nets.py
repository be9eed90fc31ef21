"""What each part of a model is given to learn from, and what the model says of its training."""

import threading

import numpy as np
import pytest
import torch

from scorenet import ConfigError, Diverged, feature_set, learn, register_network
from scorenet.learning import fit, nets
from scorenet.sampling.registry import SAMPLERS
from scorenet.score.denoiser import Denoiser
from scorenet.score.networks import NoiseConditionalMlp
from scorenet.score.registry import NETWORKS
from tests.scorenet.learning.watched_learning import (
    BACK,
    COUNT,
    HOUR,
    QUICK,
    Stop,
    bars,
    cuts,
    market,
    target,
    watched_learn,
)


@pytest.fixture(scope="module")
def learnt():
    """A model with all that is optional left as it comes."""
    return watched_learn(QUICK, info={"data_hash": "abc", "symbols": ["Z"]})


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


def test_the_base_is_the_fitted_mixture_or_the_gaussian_of_the_training_rows(learnt):
    assert learnt.model.base is learnt.calls["fit_base"][0].result
    assert len(learnt.model.base.weights) == 2
    none = watched_learn(QUICK.with_values(**{"state.max_components": 0}), progress=False)
    assert none.calls["fit_base"][0].result is None
    train = none.calls["fit_base"][0].given[0].double()
    torch.testing.assert_close(none.model.base.means[0], train.mean(0))
    assert none.printed == "", "progress can be switched off"


def test_values_that_many_bars_share_are_atoms_of_the_model(monkeypatch):
    table, seeds = bars(COUNT), []

    def watched(denoiser, base, n, seed, **options):
        seeds.append(seed)
        return SAMPLERS["heun"](denoiser, base, n, seed, **options)

    monkeypatch.setattr(fit, "SAMPLERS", {"heun": watched})
    # Every other stretch of ten bars stands still: about half of the one-bar returns are exactly 0.
    still = np.arange(COUNT) // 10 % 2 == 0
    steps = np.where(still, 0.0, np.diff(np.log(table["close"]), prepend=0.0))
    close = 100 * np.exp(np.cumsum(steps))
    table |= {"open": close, "high": 1.01 * close, "low": 0.99 * close, "close": close}
    names = feature_set("chapter").names
    for seed in (0, 1):
        atoms = learn([market(table)], QUICK.with_values(seed=seed), progress=False).atoms
        assert ("return_1", 0.0) in [(names[atom.column], atom.value) for atom in atoms]
    assert seeds == [31, 32]


def test_without_such_values_there_are_no_atoms(learnt):
    assert learnt.model.atoms == ()


@pytest.mark.parametrize("options", [{}, {"threads": 1}, {"threads": 3}])
def test_each_net_trains_on_one_torch_thread_and_the_setting_is_left_as_it_was(monkeypatch, options):
    before = torch.get_num_threads()

    def seen(*_, **__):
        raise Stop(torch.get_num_threads())

    for name in ("fit_base", "fit_forward_net"):
        with monkeypatch.context() as patch:
            patch.setattr(nets, name, seen)
            try:
                torch.set_num_threads(2)
                with pytest.raises(Stop) as caught:
                    learn([market(bars(COUNT))], QUICK, progress=False, **options)
                assert (caught.value.args[0], torch.get_num_threads()) == (1, 2)
            finally:
                torch.set_num_threads(before)


class Dropping(NoiseConditionalMlp):
    """A network that draws from torch's own generator in every step of its training."""

    def forward(self, x, c_noise, base_output=None):
        return super().forward(torch.nn.functional.dropout(x, 0.3, self.training), c_noise, base_output)


@pytest.fixture
def dropping():
    @register_network("dropping")
    def build(dim, state, noise, base):
        return Denoiser(Dropping(dim, state.hidden, 1), base)

    yield "dropping"
    NETWORKS.remove("dropping")


def test_nets_side_by_side_are_the_nets_of_one_thread_to_the_last_bit(tmp_path, monkeypatch, dropping):
    config = QUICK.with_values(**{"refit": True, "state.network": dropping, "state.steps": 6})
    threads, real = set(), nets.fit_forward_net

    def noted(*given, **options):
        threads.add(threading.get_ident())
        return real(*given, **options)

    monkeypatch.setattr(nets, "fit_forward_net", noted)
    files = {}
    for cores in (1, 3):
        threads.clear()
        folder = learn([market(bars(COUNT))], config, threads=cores, progress=False).save(
            tmp_path / f"{cores}"
        )
        files[cores] = {path.name: path.read_bytes() for path in folder.iterdir()}
        assert (threads == {threading.get_ident()}) == (cores == 1), "with one thread nothing runs aside"
    assert {"model.json", "model.safetensors"} <= set(files[1])
    assert files[1] == files[3]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_forward_net_that_diverges_is_the_error_of_the_training_and_leaves_no_thread(threads):
    config = QUICK.with_values(**{"forward.scale_learning_rate": 1e30, "forward.scale_steps": 50})
    before = set(threading.enumerate())  # a test before this one may have left one that is about to end
    with pytest.raises(Diverged, match="forward scale"):
        learn([market(bars(COUNT))], config, threads=threads, progress=False)
    left = set(threading.enumerate()) - before
    assert [thread.name for thread in left if not thread.name.startswith("tqdm")] == []


def test_threads_below_one_and_a_device_that_is_not_there_are_refused_before_any_net(monkeypatch):
    monkeypatch.setattr(nets, "fit_base", lambda *_, **__: pytest.fail("training began"))
    for options, found in (({"threads": 0}, "threads: expected at least 1"), ({"device": "tpu"}, "'tpu'")):
        with pytest.raises(ConfigError, match=found):
            learn([market(bars(COUNT))], QUICK, progress=False, **options)


def test_every_net_is_trained_on_the_device_asked_for():
    calls = watched_learn(QUICK, device="cpu", progress=False).calls
    for name in ("fit_denoiser", "fit_density_net", "fit_forward_net"):
        assert {call.options["device"] for call in calls[name]} == {"cpu"}


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
