"""A model of the default sizes with very short training: the time per bar does not depend on the weights."""

from __future__ import annotations

from feeds import simulate
from runs.markets import as_market
from scorenet import ModelConfig, ScoreModel, learn
from scorenet.score.training import threads

__all__ = ["quick_model"]


def quick_model(features: str = "extended", timeframe: str = "1h", *, bars: int = 8_000) -> ScoreModel:
    """Train for a few seconds on a simulated market with a planted edge."""
    config = ModelConfig.from_dict(
        {
            "features": features,
            "state": {"steps": 100},
            "density": {"points": 1_000, "steps": 200},
            "forward": {"steps": 400},
        }
    )
    frame = simulate("planted", seed=3, bars=bars, timeframe=timeframe)
    with threads(1):  # faster for such small batches, and steady while other processes run
        return learn([as_market(frame)], config, info={"timeframe": timeframe}, progress=False)
