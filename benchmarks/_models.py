"""A model of the default sizes and hardly any training: what a bar costs does not depend on what was learned."""

from __future__ import annotations

from feeds import simulate
from runs.markets import as_market
from scorenet import ModelConfig, ScoreModel, learn
from scorenet.score.training import threads

__all__ = ["quick_model"]


def quick_model(features: str = "extended", timeframe: str = "1h", *, bars: int = 8_000) -> ScoreModel:
    """Train on a simulated market with a planted edge, for some seconds."""
    config = ModelConfig.from_dict(
        {
            "features": features,
            "state": {"steps": 100},
            "density": {"points": 1_000, "steps": 200},
            "forward": {"steps": 400},
        }
    )
    frame = simulate("planted", seed=3, bars=bars, timeframe=timeframe)
    with threads(1):  # batches this small are quicker so, and steady beside other work
        return learn([as_market(frame)], config, info={"timeframe": timeframe}, progress=False)
