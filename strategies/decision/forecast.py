"""The exposure that the forecasts of a symbol ask for: of one bar, and of a window of bars."""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

from .facts import Observation
from .position import PositionRule
from .reasons import INCONSISTENT, LOW_CONFIDENCE, OUT_OF_DISTRIBUTION, TRADE
from .rules import Rules

__all__ = ["NO_FORECAST", "Forecast", "HeldForecasts", "filtered", "forecast_of", "is_unknown"]


class Forecast(NamedTuple):
    """The exposure that follows from one forecast, or the mean of several.

    Attributes:
        exposure: signed fraction of the symbol's part of the capital; 0 if a filter refused the forecast.
        unfiltered: the exposure that the position rule gave, before filters; NaN without a forecast.
        expected_return: expected log-return over the horizon; 0 if a filter refused the forecast.
        code: TRADE, or the reason code of the filter that refused the forecast of the present bar.
    """

    exposure: float
    unfiltered: float
    expected_return: float
    code: int


NO_FORECAST = Forecast(0.0, math.nan, 0.0, TRADE)


def forecast_of(rules: Rules, seen: Observation, position: PositionRule) -> Forecast:
    """Return what the forecast of one bar asks for; `position` is the function of `Rules.position_rule`.

    Raises:
        ValueError: the position rule did not return a finite number.
    """
    if is_unknown(seen):
        return NO_FORECAST
    wanted = position(rules, seen)
    if not math.isfinite(wanted):
        raise ValueError(
            f"position_rule {rules.position_rule!r}: expected a finite exposure, found {wanted!r}"
        )
    return filtered(rules, seen, wanted)


def is_unknown(seen: Observation) -> bool:
    """Return whether a bar has no forecast: too few bars so far, no bar at all, or an undefined market state."""
    signal, rank = seen.signal, seen.density_rank
    return seen.warming or seen.silent or signal != signal or rank != rank  # NaN if the state is undefined


def filtered(rules: Rules, seen: Observation, wanted: float) -> Forecast:
    """Return the forecast of a bar whose position rule gave `wanted`, after the limit and the filters."""
    limit = rules.max_exposure
    unfiltered = wanted if -limit <= wanted <= limit else math.copysign(limit, wanted)
    if seen.density_rank < rules.density_quantile:
        return Forecast(0.0, unfiltered, 0.0, OUT_OF_DISTRIBUTION)
    if seen.confidence < rules.confidence_threshold:
        return Forecast(0.0, unfiltered, 0.0, LOW_CONFIDENCE)
    if rules.consistency_window and seen.agreement < rules.consistency_share:
        return Forecast(0.0, unfiltered, 0.0, INCONSISTENT)
    exposure = unfiltered
    if rules.score_variance_scaling and seen.score != 0.0:
        # The ratio is squared, not the score, because the square of a tiny score would underflow to 0.
        noise = seen.score_std / seen.score
        exposure /= 1.0 + rules.score_variance_scaling * noise * noise
    return Forecast(exposure, unfiltered, seen.expected_return, TRADE)


class HeldForecasts:
    """The forecasts of the last `window` bars of a symbol: each is held for that time.

    The mean is over the whole window. A bar without a forecast, or with a refused one, counts as 0, and so does the
    time before the first bar: exposure grows in at the start and fades in an unfamiliar market.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._exposures = deque([0.0] * window, window)
        self._unfiltered = deque([0.0] * window, window)
        self._returns = deque([0.0] * window, window)
        self._clock: float | None = None

    def resized(self, window: int) -> HeldForecasts:
        """Return the forecasts of the last `window` bars; bars that are no longer known count as 0."""
        if window == self._window:
            return self
        other = HeldForecasts(window)
        for values in zip(self._exposures, self._unfiltered, self._returns, strict=True):
            other._append(*values)
        other._clock = self._clock
        return other

    def add(self, forecast: Forecast, clock: float, step: float) -> Forecast:
        """Add a bar that closed at `clock`, in the unit of its bar size `step`; return the mean over the window.

        Missing bars since the previous one count as 0: their time passes too.
        """
        if self._clock is not None and clock - self._clock > 1.5 * step:
            for _ in range(min(round((clock - self._clock) / step) - 1, self._window)):
                self._append(0.0, 0.0, 0.0)
        self._clock = clock
        unfiltered = forecast.unfiltered
        self._append(
            forecast.exposure, unfiltered if unfiltered == unfiltered else 0.0, forecast.expected_return
        )
        # Sums of the whole window, not running ones: their rounding errors would depend on how long a run has lasted.
        window = self._window
        return Forecast(
            sum(self._exposures) / window,
            sum(self._unfiltered) / window,
            sum(self._returns) / window,
            forecast.code,
        )

    def _append(self, exposure: float, unfiltered: float, expected: float) -> None:
        self._exposures.append(exposure)
        self._unfiltered.append(unfiltered)
        self._returns.append(expected)
