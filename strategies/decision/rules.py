"""The settings of the decision, validated when they are created."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass, replace
from functools import cached_property

from scorenet.conformal.drift import RejectionAlarm

from .allocation import ALLOCATIONS
from .position import POSITION_RULES

__all__ = ["Rules"]

_SIDES = {"both": 0.0, "long": 1.0, "short": -1.0}


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Thresholds of the decision and its position rule; 0 (or None) switches a rule off.

    Exposures are fractions of equity.

    Attributes:
        confidence_threshold: trade only if the confidence (ECDF of |score|) is at least this value.
        density_quantile: trade only if density_rank is at least this value.
        density_adaptation: rate at which the rank adapts to a drifting market, so that the share of rejected bars stays
            at `density_quantile` (`scorenet.conformal.adaptive.AdaptiveThreshold`).
        novelty_scaling: width of the rank range above the rank that closes, over which exposure grows from 0 to full.
        consistency_window: bars over which the sign of the signal is compared.
        consistency_share: smallest share of that window with the sign of the latest signal.
        score_variance_scaling: k in score^2 / (score^2 + k score_std^2), the factor that scales the exposure.
        target_volatility: annual volatility (fraction) of a position with full signal; "kelly" and "cvar" have it as
            an upper limit.
        max_exposure: largest |exposure| of one symbol, fraction of its part of the capital.
        rebalance_band: a smaller change of exposure is not traded.
        leverage: cap on the sum of |exposure| over all symbols; infinity means no cap.
        cooldown: number of bar closes after a fill at which exposure is not increased or flipped; the close of the bar
            of the fill is the first.
        max_drawdown_stop: drawdown of equity (positive fraction) at which all positions are closed for good.
        stale_after: number of bar lengths without a new bar after which a symbol is closed.
        expire_after: days after the end of the model's training and calibration at which its positions are closed and
            no new ones are taken.
        drift_alarm: probability of a false alarm (e.g. 0.01) of a test that the share of rejected bars is above
            `density_quantile`; while the alarm lasts, the position is closed.
        drift_window: number of past bars that this test looks at.
        position_rule: name of the function that turns a forecast into an exposure (`strategies.decision.position`):
            "confidence" (the chapter's: sign times confidence), "kelly", "cvar" or one of the user's.
        kelly_fraction: share of the Kelly exposure that "kelly" and "cvar" take; also the risk aversion of `cost_band`.
        forecast_window: bars for which each forecast is held: the target is the mean of the exposures of the last bars.
            1: the latest forecast only; None or 0: the model's horizon.
        close_quantile: with a longer `forecast_window` than 1, a density_rank below this value closes the position at
            once; between it and `density_quantile` only the bar's own forecast is refused.
        exposure_step: targets are rounded to multiples of this step, before the bands.
        cost_band: a change of exposure is traded only if it is expected to earn more than this many times its cost.
        allocation: name of the function that divides the capital between the active symbols
            (`strategies.decision.allocation`): "equal", "risk", "covariance" or one of the user's.
        allocation_every: bars after which parts and covariance are computed again, in UTC: 24 hourly bars are the day.
        covariance_window: trailing bars of the covariance of the symbols' log-returns.
        max_symbol_exposure: largest |exposure| of one symbol, fraction of the account's equity, whatever its part.
        max_net_exposure: cap on |sum of exposures| over all symbols.
        portfolio_volatility: cap on the annual volatility (fraction) of all positions together, by the covariance.
        direction: "long" or "short": targets of the other sign are 0; "both" (no limit).
        regimes: names or numbers of the model's regimes in which to trade; in the others, and while the regime is not
            known yet, the position is closed. Empty: trade in all.

    Raises:
        ValueError: a value is outside its range; the message names the field.
    """

    confidence_threshold: float = 0.0
    density_quantile: float = 0.05
    density_adaptation: float = 0.0
    novelty_scaling: float = 0.0
    consistency_window: int = 0
    consistency_share: float = 0.6
    score_variance_scaling: float = 0.0
    target_volatility: float | None = 0.2
    max_exposure: float = 1.0
    leverage: float = 1.0
    rebalance_band: float = 0.1
    cooldown: int = 0
    max_drawdown_stop: float = 0.0
    stale_after: int = 0
    expire_after: float = 0.0
    drift_alarm: float = 0.0
    drift_window: int = 720
    position_rule: str = "proportional"
    kelly_fraction: float = 0.25
    forecast_window: int | None = None
    close_quantile: float = 0.01
    exposure_step: float = 0.0
    cost_band: float = 0.0
    allocation: str = "equal"
    allocation_every: int = 24
    covariance_window: int = 720
    max_symbol_exposure: float = 0.0
    max_net_exposure: float = 0.0
    portfolio_volatility: float = 0.0
    direction: str = "both"
    regimes: tuple[str | int, ...] = ()

    def __post_init__(self) -> None:
        for name in (
            "confidence_threshold",
            "density_quantile",
            "density_adaptation",
            "consistency_share",
            "max_drawdown_stop",
            "close_quantile",
            "drift_alarm",
        ):
            _check(name, getattr(self, name), 0.0, 1.0)
        for name in (
            "novelty_scaling",
            "score_variance_scaling",
            "max_exposure",
            "rebalance_band",
            "exposure_step",
            "cost_band",
            "expire_after",
            "max_symbol_exposure",
            "max_net_exposure",
            "portfolio_volatility",
        ):
            _check(name, getattr(self, name), 0.0, math.inf)
        if not _is_number(self.leverage) or not self.leverage > 0:
            raise ValueError(f"leverage: expected a positive number, found {self.leverage!r}")
        if not _is_number(self.kelly_fraction) or not 0 < self.kelly_fraction < math.inf:
            raise ValueError(f"kelly_fraction: expected a positive number, found {self.kelly_fraction!r}")
        for name in ("consistency_window", "cooldown", "stale_after", "drift_window"):
            _check_bars(name, getattr(self, name))
        if self.forecast_window is not None:
            _check_bars("forecast_window", self.forecast_window)
        if self.target_volatility is not None:
            _check("target_volatility", self.target_volatility, 0.0, math.inf)
        if self.drift_alarm:
            try:
                RejectionAlarm(self.density_quantile, int(self.drift_window), self.drift_alarm)
            except ValueError as error:
                raise ValueError(f"drift_alarm: {error}") from error
        _check_bars("allocation_every", self.allocation_every, 1)
        _check_bars("covariance_window", self.covariance_window, 2)
        if not isinstance(self.direction, str) or self.direction not in _SIDES:
            raise ValueError(f"direction: expected long, short or both, found {self.direction!r}")
        _check_regimes(self.regimes)
        POSITION_RULES[self.position_rule]
        ALLOCATIONS[self.allocation]

    @cached_property
    def closing_rank(self) -> float:
        """Return the density_rank below which a position is closed at once."""
        if self.forecast_window == 1:
            return self.density_quantile
        return min(self.close_quantile, self.density_quantile)

    @cached_property
    def side(self) -> float:
        """Return the sign that targets may have: 1.0 long, -1.0 short, 0.0 both."""
        return _SIDES[self.direction]

    def for_horizon(self, horizon: int) -> Rules:
        """Return the rules with the model's horizon for a `forecast_window` that is not set."""
        return self if self.forecast_window else replace(self, forecast_window=horizon)


def _check_regimes(regimes: object) -> None:
    if not isinstance(regimes, tuple | list) or any(
        isinstance(item, bool) or not isinstance(item, str | int) for item in regimes
    ):
        raise ValueError(
            f'regimes: expected a list of names or numbers, such as ["calm market", 2], found {regimes!r}'
        )


def _check_bars(name: str, value: float, low: int = 0) -> None:
    _check(name, value, low, math.inf)
    if not float(value).is_integer():
        raise ValueError(f"{name}: expected a whole number of bars, found {value!r}")


def _check(name: str, value: float, low: float, high: float) -> None:
    if not _is_number(value) or not math.isfinite(value) or not low <= value <= high:
        limit = f"between {low:g} and {high:g}" if math.isfinite(high) else f"at least {low:g}"
        raise ValueError(f"{name}: expected a number {limit}, found {value!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
