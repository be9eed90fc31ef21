"""A warm start begins with an earlier model's weights, and never with one that has seen the rows that select."""

from dataclasses import replace

import pytest
import torch

from feeds import simulate
from runs.markets import as_market
from scorenet import ConfigError, ModelConfig, learn
from scorenet.learning.warm import check_start, shortened
from scorenet.score.warm import copy_weights
from tests.scorenet.learning.watched_learning import QUICK as QUICK_WITH_MIXTURE

# Without a mixture the state net is kept even if it is no better than nothing.
QUICK = QUICK_WITH_MIXTURE.with_values(**{"state.max_components": 0})


def market(bars: int):
    return as_market(simulate("planted", seed=3, bars=bars))


@pytest.fixture(scope="module")
def earlier():
    return learn([market(900)], QUICK, progress=False)


def still(config: ModelConfig) -> ModelConfig:
    """Settings whose training does not move a weight: what comes out is what it began with."""
    return config.with_values(
        **{
            "state.learning_rate": 1e-30,
            "density.learning_rate": 1e-30,
            "forward.learning_rate": 1e-30,
            "forward.scale_learning_rate": 1e-30,
        }
    )


@pytest.mark.parametrize("refit", [False, True])
def test_every_net_begins_with_the_weights_of_the_earlier_model(earlier, refit):
    config = still(QUICK).with_values(refit=refit)
    model = learn([market(1500)], config, warm_start=earlier, progress=False)
    pairs = [
        (model.denoiser, earlier.denoiser),
        (model.density_net, earlier.density_net),
        (model.forward_net, earlier.forward_net),
        *((model.further[horizon], earlier.further[horizon]) for horizon in QUICK.forward.horizons),
    ]
    for now, before in pairs:
        for name, parameter in before.named_parameters():
            torch.testing.assert_close(dict(now.named_parameters())[name], parameter, msg=name)
    assert model.info["warm_start"] == earlier.fingerprint
    assert model.config == config  # not the shortened settings


def test_scaling_and_calibration_are_those_of_the_new_rows(earlier):
    model = learn([market(1500)], QUICK, warm_start=earlier, progress=False)
    cold = learn([market(1500)], QUICK, progress=False)
    assert cold.info["warm_start"] is None
    assert model.scaler.to_dict() == cold.scaler.to_dict()
    assert model.info["training_span"] == cold.info["training_span"]


def test_a_model_that_has_seen_the_rows_that_select_is_refused(earlier):
    with pytest.raises(ConfigError, match=r"trained on bars until .* select the new one"):
        learn(
            [market(900)],
            QUICK.with_values(seed=5),
            warm_start=replace(earlier, info=late(earlier)),
            progress=False,
        )


def late(model):
    return model.info | {"training_span": model.info["calibration_span"]}


def test_the_bar_before_the_rows_that_select_may_have_trained_it(earlier):
    end = earlier.info["training_span"][1]
    check_start(earlier, earlier.features.names, QUICK, end)
    with pytest.raises(ConfigError, match="select the new one"):
        check_start(earlier, earlier.features.names, QUICK, end - 1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"forward.horizon": 5}, r"the horizons \[5, 1, 9\], found \[4, 1, 9\]"),
        ({"state.hidden": 8}, "the state net has another form"),
        ({"density.hidden": 8}, "the density net has another form"),
        ({"forward.members": 2}, "the forward net has another form"),
        ({"state.members": 2}, "with state.members 2, found 1"),
    ],
)
def test_a_model_of_other_settings_is_refused_with_the_difference(earlier, values, message):
    with pytest.raises(ConfigError, match=message):
        learn([market(1500)], QUICK.with_values(**values), warm_start=earlier, progress=False)


def test_other_features_are_refused(earlier):
    with pytest.raises(ConfigError, match=r"a model with the features \['r_1'\], found"):
        check_start(earlier, ("r_1",), QUICK, earlier.info["training_span"][1])


def test_a_missing_parameter_is_named():
    with pytest.raises(ConfigError, match=r"the net has another form.*: bias is missing here and 2 there"):
        copy_weights(torch.nn.Linear(2, 2, bias=False), torch.nn.Linear(2, 2), "net")


def test_a_warm_training_is_shorter_and_slower_in_its_steps():
    config = ModelConfig()
    short = shortened(config)
    assert short.state.steps == 160
    assert short.forward.scale_learning_rate == pytest.approx(0.3 * config.forward.scale_learning_rate)
    assert replace(short, state=config.state, density=config.density, forward=config.forward) == config
