"""The boosted tree that forecasts are compared with: small, slow to learn, and the same in every run."""

from __future__ import annotations

from sklearn.ensemble import HistGradientBoostingRegressor

__all__ = ["boosted_tree"]


def boosted_tree() -> HistGradientBoostingRegressor:
    """Return the regressor, not fitted; its early stop draws the rows that it holds out, so it needs a seed."""
    return HistGradientBoostingRegressor(
        max_iter=100,
        learning_rate=0.03,
        max_leaf_nodes=8,
        min_samples_leaf=500,
        l2_regularization=10.0,
        random_state=0,
    )
