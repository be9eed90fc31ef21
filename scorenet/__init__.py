"""Density-aware trading on Backtrader: score models of market states, data feeds, strategies and runs.

All public names can be imported from here: `from scorenet import ScoreStrategy, BarsData, load_bars`. A name's
module is imported on first use, so `import scorenet` does not import torch.
"""

from typing import TYPE_CHECKING

from .base.lazy import lazy_exports

if TYPE_CHECKING:
    from feeds import BarsData, CCXTData, ReplayData, load_bars, read_bars, simulate, write_bars
    from strategies import (
        Attribution,
        BuyAndHold,
        Costs,
        DailyReturns,
        Decisions,
        Drawdown,
        EquityCurve,
        Funding,
        InDistribution,
        LiveScoreStrategy,
        MarketRegime,
        MarketScore,
        MarketState,
        MonthlyReturns,
        Orders,
        PerpetualBroker,
        PerpetualCommission,
        ScoreStrategy,
        Sharpe,
        SignalStrategy,
        Sortino,
        Trades,
        add_scorenet_analyzers,
        precompute,
        register_allocation,
        register_position_rule,
        register_slippage,
    )

    from .config import DensityConfig, ForwardConfig, ModelConfig, NoiseConfig, StateConfig
    from .errors import (
        CheckpointError,
        ConfigError,
        DeadMarket,
        Diverged,
        FeatureMismatch,
        ScorenetError,
        TooFewBars,
    )
    from .features import FeatureSet, feature_set, register_feature_set
    from .forward.distribution import ForwardReturn
    from .learning import Market, learn
    from .model import Evaluation, ScoreModel
    from .sampling.registry import register_sampler
    from .scenarios import ScenarioPaths, scenario_paths
    from .score.registry import register_network, register_objective
    from .signals import register_signal
    from .table.estimator import ScoreDensity

__version__ = "0.1.0"

_EXPORTS = {
    ".config": (
        "DensityConfig",
        "ForwardConfig",
        "ModelConfig",
        "NoiseConfig",
        "StateConfig",
    ),
    ".errors": (
        "CheckpointError",
        "ConfigError",
        "DeadMarket",
        "Diverged",
        "FeatureMismatch",
        "ScorenetError",
        "TooFewBars",
    ),
    ".features": (
        "FeatureSet",
        "feature_set",
        "register_feature_set",
    ),
    ".forward.distribution": ("ForwardReturn",),
    ".learning": (
        "Market",
        "learn",
    ),
    ".model": (
        "Evaluation",
        "ScoreModel",
    ),
    ".sampling.registry": ("register_sampler",),
    ".scenarios": (
        "ScenarioPaths",
        "scenario_paths",
    ),
    ".score.registry": (
        "register_network",
        "register_objective",
    ),
    ".signals": ("register_signal",),
    ".table.estimator": ("ScoreDensity",),
    "feeds": (
        "BarsData",
        "CCXTData",
        "ReplayData",
        "load_bars",
        "read_bars",
        "simulate",
        "write_bars",
    ),
    "strategies": (
        "Attribution",
        "BuyAndHold",
        "Costs",
        "DailyReturns",
        "Decisions",
        "Drawdown",
        "EquityCurve",
        "Funding",
        "InDistribution",
        "LiveScoreStrategy",
        "MarketRegime",
        "MarketScore",
        "MarketState",
        "MonthlyReturns",
        "Orders",
        "PerpetualBroker",
        "PerpetualCommission",
        "ScoreStrategy",
        "Sharpe",
        "SignalStrategy",
        "Sortino",
        "Trades",
        "add_scorenet_analyzers",
        "precompute",
        "register_allocation",
        "register_position_rule",
        "register_slippage",
    ),
}

__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)

__all__ = [
    "Attribution",
    "BarsData",
    "BuyAndHold",
    "CCXTData",
    "CheckpointError",
    "ConfigError",
    "Costs",
    "DailyReturns",
    "DeadMarket",
    "Decisions",
    "DensityConfig",
    "Diverged",
    "Drawdown",
    "EquityCurve",
    "Evaluation",
    "FeatureMismatch",
    "FeatureSet",
    "ForwardConfig",
    "ForwardReturn",
    "Funding",
    "InDistribution",
    "LiveScoreStrategy",
    "Market",
    "MarketRegime",
    "MarketScore",
    "MarketState",
    "ModelConfig",
    "MonthlyReturns",
    "NoiseConfig",
    "Orders",
    "PerpetualBroker",
    "PerpetualCommission",
    "ReplayData",
    "ScenarioPaths",
    "ScoreDensity",
    "ScoreModel",
    "ScoreStrategy",
    "ScorenetError",
    "Sharpe",
    "SignalStrategy",
    "Sortino",
    "StateConfig",
    "TooFewBars",
    "Trades",
    "add_scorenet_analyzers",
    "feature_set",
    "learn",
    "load_bars",
    "precompute",
    "read_bars",
    "register_allocation",
    "register_feature_set",
    "register_network",
    "register_objective",
    "register_position_rule",
    "register_sampler",
    "register_signal",
    "register_slippage",
    "scenario_paths",
    "simulate",
    "write_bars",
]
