"""All figures of one search in one call: what its best trial is worth after that many trials."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .confidence import Interval, intervals
from .cross_validation import Overfitting, overfitting
from .deflated import deflated_sharpe, effective_trials, expected_maximum_sharpe
from .sharpe import SharpeEstimate
from .superiority import SuperiorAbility, superior_ability
from .trials import SelectionError, Trials

__all__ = ["Assessment", "assess"]

_BLOCKS = 16


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """The figures of a search; Sharpe ratios are annual. None: undefined, or too few trials or periods.

    Attributes:
        n_trials: trials of the search, also those that failed or never traded.
        n_failed: of these, trials without finite returns.
        n_idle: of these, trials whose returns never vary, because they did not trade.
        periods: number of returns of each trial.
        best: column of the trial with the highest Sharpe ratio.
        sharpe_ratio: its Sharpe ratio.
        effective_trials: number of independent trials that the compared ones count for.
        expected_max_sharpe: best Sharpe to expect of that many trials without an edge, by the published formula.
        probabilistic_sharpe: confidence that its true Sharpe is above 0, as if it were the only trial.
        deflated_sharpe: the published deflated Sharpe ratio with the actual number of compared trials.
        deflated_sharpe_effective: the same with the effective number.
        minimum_track_record: periods at which its Sharpe is above 0 with 95 % confidence, as if it were the only trial.
        against_cash: the SPA test that the best is better than no position; its size is right.
        against_benchmark: the same test against buy-and-hold.
        overfitting: cross-validation of the choice.
        intervals: 95 % intervals of the best trial's figures, as if it were the only trial.
    """

    n_trials: int
    n_failed: int
    n_idle: int
    periods: int
    best: int
    sharpe_ratio: float
    effective_trials: float
    expected_max_sharpe: float
    probabilistic_sharpe: float | None
    deflated_sharpe: float | None
    deflated_sharpe_effective: float | None
    minimum_track_record: float | None
    against_cash: SuperiorAbility | None
    against_benchmark: SuperiorAbility | None
    overfitting: Overfitting | None
    intervals: dict[str, Interval]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: the figures, flat, by the names of metrics.json, and tables in them."""
        values = asdict(self)
        choice, cash, market = (
            values.pop(name) for name in ("overfitting", "against_cash", "against_benchmark")
        )
        choice = choice or dict.fromkeys(Overfitting.__dataclass_fields__)
        return {
            **values,
            "pbo": choice["pbo"],
            "probability_of_loss": choice["probability_of_loss"],
            "degradation_slope": choice["degradation_slope"],
            "spa_p_value_cash": cash and cash["p_value"],
            "spa_p_value_benchmark": market and market["p_value"],
            "overfitting": choice,
            "against_cash": cash,
            "against_benchmark": market,
        }


def assess(
    returns: ArrayLike,
    periods_per_year: float,
    *,
    benchmark: ArrayLike | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Assessment:
    """Return the figures of a search from the simple returns [T, N] of all its trials, failed ones as NaN.

    `benchmark` [T] are the returns of buy-and-hold in the same periods.

    Raises:
        SelectionError: no trial can be compared, there are fewer than 3 periods, or the benchmark does not fit.
    """
    if not 0.0 < periods_per_year < math.inf:
        raise SelectionError(f"periods_per_year: expected a positive number, found {periods_per_year!r}")
    trials = Trials.of(returns)
    series = np.ascontiguousarray(trials.returns[:, trials.best])
    best = SharpeEstimate.of(series)
    annual = math.sqrt(periods_per_year)
    # Of one trial there is no variance between trials, and no luck to deflate.
    variance = float(trials.sharpes.var(ddof=1)) if trials.n > 1 else 0.0
    effective = effective_trials(trials)
    market = (
        None if benchmark is None else superior_ability(trials, benchmark, resamples=resamples, seed=seed)
    )
    return Assessment(
        n_trials=trials.n + trials.n_failed + trials.n_idle,
        n_failed=trials.n_failed,
        n_idle=trials.n_idle,
        periods=trials.periods,
        best=int(trials.columns[trials.best]),
        sharpe_ratio=best.sharpe * annual,
        effective_trials=effective,
        expected_max_sharpe=expected_maximum_sharpe(variance, trials.n) * annual,
        probabilistic_sharpe=best.probability_above(),
        deflated_sharpe=deflated_sharpe(best, variance, trials.n),
        deflated_sharpe_effective=deflated_sharpe(best, variance, effective),
        minimum_track_record=best.minimum_length(),
        against_cash=superior_ability(trials, resamples=resamples, seed=seed),
        against_benchmark=market,
        overfitting=_overfitting(trials),
        intervals=intervals(series, periods_per_year, resamples=resamples, seed=seed),
    )


def _overfitting(trials: Trials) -> Overfitting | None:
    """Return the figures for 16 blocks, or for as many as the periods allow with 4 in a block."""
    blocks = min(_BLOCKS, trials.periods // 8 * 2)
    return overfitting(trials, blocks) if trials.n > 1 and blocks >= 2 else None
