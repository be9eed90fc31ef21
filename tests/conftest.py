"""Fixtures of all tests: one small trained model, seeds, one torch thread."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from feeds import simulate
from runs.markets import as_market
from scorenet import ModelConfig, ScoreModel, learn

TINY = ModelConfig.from_dict(
    {
        "features": "chapter",
        "state": {"hidden": 32, "blocks": 1, "steps": 60, "batch_size": 256, "max_components": 4},
        "density": {"points": 400, "steps": 80, "hidden": 32, "batch_size": 128},
        "forward": {
            "horizon": 4,
            "hidden": 16,
            "members": 2,
            "components": 3,
            "scale_steps": 60,
            "steps": 60,
            "batch_size": 256,
        },
    }
)


@pytest.fixture(autouse=True)
def _steady() -> None:
    torch.set_num_threads(1)
    np.random.seed(0)  # noqa: NPY002 - libraries under test may draw from the global generator


@pytest.fixture(scope="session")
def tiny_model() -> ScoreModel:
    """A model of the chapter's features, trained for a second: it gives outputs, but not accurate ones."""
    torch.set_num_threads(1)
    frame = simulate("planted", seed=5, bars=3_000)
    return learn([as_market(frame)], TINY, progress=False)


@pytest.fixture(scope="session")
def tiny_model_dir(tiny_model: ScoreModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model as a folder."""
    return tiny_model.save(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def regime_model(tiny_model: ScoreModel) -> ScoreModel:
    """The same model with the regimes of a market whose volatility has three levels, a factor of 4 apart."""
    frame = regime_market(bars=4_000)
    x = tiny_model.features.compute(as_market(frame).bars)[tiny_model.lookback :]
    return tiny_model.with_regimes(x, frame["timestamp"].to_numpy()[tiny_model.lookback :])


def regime_market(*, bars: int, seed: int = 1, stay: float = 0.995) -> pd.DataFrame:
    """Bars of a market with three levels of volatility that are far apart and last long."""
    quiet = {"volatility_of_volatility": 0.05, "jump_rate": 0.0}
    return simulate("regimes", seed=seed, bars=bars, stay=stay, spread=4.0, **quiet)
