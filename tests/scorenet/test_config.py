"""Settings: round trip, suggestions for misspelled keys, errors for impossible values."""

import pytest

from scorenet import ConfigError, ModelConfig


def test_round_trip_and_dotted_changes():
    config = ModelConfig().with_values(**{"forward.horizon": 1, "seed": 7, "noise.sigma_max": 30})
    assert (config.forward.horizon, config.seed, config.noise.sigma_max) == (1, 7, 30.0)
    assert ModelConfig.from_dict(config.to_dict()) == config
    assert ModelConfig().forward.horizon == 72


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("forward.horizn", 1, "did you mean 'forward.horizon'"),
        ("horizon", 1, "did you mean 'forward.horizon'"),
        ("forward", 1, "unknown setting 'forward'"),
        ("forward.horizon", 0, "expected at least 1 bar, found 0"),
        ("forward.horizon", "soon", "expected int, found 'soon'"),
        ("forward.horizon", True, "expected int, found True"),
        ("noise.sigma_min", 50.0, "sigma_min < sigma_max"),
        ("density.sigma", 0.001, "between noise.sigma_min and noise.sigma_max"),
        ("forward.horizons", [72], "all different, found \\(72, 72\\)"),
        ("forward.horizons", [0], "expected numbers of bars"),
        ("forward.horizons", 4, "expected tuple, found 4"),
        ("train_fraction", 0.95, "sum below 1"),
        ("noise.sigma_max", 1e308, r"expected a number up to 1e\+100, found 1e\+308"),
        ("noise.sigma_max", float("nan"), "expected a number up to"),
        ("noise.sigma_max", 1e7, r"sigma_max <= 1e\+06"),
        ("noise.sigma_min", 1e-200, "expected 1e-06 <= sigma_min"),
        ("state.learning_rate", 10**400, "state.learning_rate: expected a number up to"),
        ("state.steps", 10**400, "state.steps: expected a number up to"),
        ("density.nodes", 10**6, r"density.nodes: expected 4\.\.4096"),
    ],
)
def test_mistakes_are_explained(key, value, message):
    with pytest.raises(ConfigError, match=message):
        ModelConfig().with_values(**{key: value})


def test_an_unknown_table_key_is_named():
    with pytest.raises(ConfigError, match=r"unknown setting 'state.hiden'; did you mean 'state.hidden'"):
        ModelConfig.from_dict({"state": {"hiden": 3}})
    with pytest.raises(ConfigError, match="expected a table"):
        ModelConfig.from_dict({"state": 3})


def test_further_horizons_survive_a_list_as_json_and_toml_have_it():
    config = ModelConfig().with_values(**{"forward.horizons": [1, 24]})
    assert config.forward.all_horizons == (72, 1, 24)
    assert ModelConfig.from_dict({"forward": {"horizons": [1, 24]}}) == config
