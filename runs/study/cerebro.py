"""Trials as real Cerebro runs: every strategy, every rule, about a run a second and core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from scorenet.base.error_line import error_line
from scorenet.evaluation import Evaluation, cached_outputs, keep_outputs
from strategies import ScoreStrategy, precompute
from strategies.decision import needs_tails

from ..engine import build, collect
from ..markets import as_market
from .early_stop import EarlyStop
from .outcome import (
    COMPLETE,
    METRICS,
    PRUNED,
    Outcome,
    Settings,
    daily_returns,
    failure,
    finite_or_none,
)
from .setup import TrialSetup

__all__ = ["CerebroEvaluator", "output_needs"]


@dataclass(frozen=True, eq=False)
class CerebroEvaluator:
    """Run each trial in a Cerebro of its own, with the model's outputs computed once for all.

    Attributes:
        setup: bars, account, strategy and model.
        checks: bar closes (UTC ms) at which a trial may be stopped early.
        outputs: the model's outputs by the identity of model and bars, so that a worker computes none again.
    """

    setup: TrialSetup
    checks: tuple[int, ...] = ()
    outputs: Mapping[str, Evaluation] = field(default_factory=dict)
    batch: int = 1

    @classmethod
    def prepare(
        cls, setup: TrialSetup, needs: Sequence[tuple[str, bool]], checks: tuple[int, ...] = ()
    ) -> CerebroEvaluator:
        """Compute the model's outputs for each (signal, with tail means) that a trial may ask for.

        Raises:
            FeatureMismatch, ConfigError: the model cannot read the bars, or is not calibrated for the signal.
        """
        if setup.model is None:
            return cls(setup, checks)
        markets = [as_market(frame) for frame in setup.frames]
        for signal, tails in needs:
            for market in markets:
                precompute(setup.model, market.bars, signal, tails=tails)
        return cls(setup, checks, cached_outputs(setup.model.fingerprint))

    def evaluate(self, batch: Sequence[Settings], floors: Sequence[float] = ()) -> Sequence[Outcome]:
        """Return the outcome of each trial; one that raises is a failed row with its reason."""
        keep_outputs(self.outputs)
        return [self._outcome(settings, floors) for settings in batch]

    def _outcome(self, settings: Settings, floors: Sequence[float]) -> Outcome:
        try:
            return self._trial(settings, floors)
        except Exception as error:  # a user's strategy may raise any error; the study goes on
            return failure(f"{type(error).__name__}: {error_line(error)}")

    def _trial(self, settings: Settings, floors: Sequence[float]) -> Outcome:
        setup = self.setup
        account, params, model = setup.resolve(settings)
        strategy = ScoreStrategy if setup.strategy is None else setup.strategy.load()
        cerebro = build(setup.frames, account, strategy, setup.given(params, model), since=setup.start)
        if self.checks:
            cerebro.addanalyzer(
                EarlyStop,
                _name="early_stop",
                trade_from=setup.start,
                warmup=True,
                checks=self.checks,
                floors=tuple(floors),
            )
        finished = cerebro.run()[0]
        result = collect(finished, setup.start)
        early = finished.analyzers.early_stop.get_analysis() if self.checks else {}
        if early.get("stopped"):
            metrics = {"sharpe_ratio": early["early"][-1]}
            reached = len(early["early"])
            reason = f"Sharpe ratio {early['early'][-1]:.2f} at checkpoint {reached}, below the earlier trials' median"
            return Outcome(metrics, status=PRUNED, reason=reason, early=early["early"])
        found, equity = setup.measured(result, account)
        returns = daily_returns(
            equity["time"].astype("datetime64[ms, UTC]").astype(np.int64), equity["equity"]
        )
        metrics = {name: finite_or_none(found[name]) for name in METRICS}
        return Outcome(metrics, returns, COMPLETE, early=early.get("early", ()))


def output_needs(signals: Sequence[str], position_rules: Sequence[str]) -> list[tuple[str, bool]]:
    """Return each (signal, with tail means) that trials with these signals and position rules ask for."""
    tails = {needs_tails(rule) for rule in position_rules}
    return [(signal, tail) for signal in dict.fromkeys(signals) for tail in sorted(tails)]
