"""What one track record says about its Sharpe ratio: standard error, probabilistic Sharpe, minimum length.

All Sharpe ratios here are per period (not annualised), with a risk-free rate of 0.

References:
    The Sharpe ratio efficient frontier (Bailey and Lopez de Prado, 2012, Journal of Risk 15(2)): probabilistic Sharpe
    ratio and minimum track record length.
    Comments on variance of the IID estimator in Lo (2002) (Mertens, 2002): the standard error with skew and kurtosis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from .trials import FEWEST_PERIODS, SelectionError, one_series

__all__ = ["SharpeEstimate"]


@dataclass(frozen=True, kw_only=True)
class SharpeEstimate:
    """A Sharpe ratio per period and what its precision depends on.

    The standard error assumes returns that are independent of each other; it holds for any skew and kurtosis.

    Attributes:
        sharpe: mean / standard deviation (ddof 1) of the returns.
        periods: number of returns.
        skew: third standardised moment of the returns.
        kurtosis: fourth standardised moment; 3 for a normal distribution.

    Raises:
        SelectionError: fewer than 3 periods, a value that is not finite, or a kurtosis below 1 + skew^2, which no
            distribution has.
    """

    sharpe: float
    periods: int
    skew: float = 0.0
    kurtosis: float = 3.0

    def __post_init__(self) -> None:
        if self.periods < FEWEST_PERIODS:
            raise SelectionError(
                f"expected at least {FEWEST_PERIODS} periods of returns, found {self.periods}"
            )
        if not all(map(math.isfinite, (self.sharpe, self.skew, self.kurtosis))):
            raise SelectionError(f"expected finite moments of the returns, found {self}")
        if self.kurtosis < (1.0 + self.skew**2) * (1.0 - 1e-9):
            raise SelectionError(
                f"kurtosis: expected at least 1 + skew^2 = {1.0 + self.skew**2:g}, found {self.kurtosis:g}; give the "
                "kurtosis itself (3 for a normal distribution), not the excess"
            )

    @classmethod
    def of(cls, returns: ArrayLike) -> SharpeEstimate:
        """Estimate from returns [T].

        Raises:
            SelectionError: they are not finite, never vary, or are fewer than 3.
        """
        values = one_series(returns)
        centred = values - values.mean()
        scaled = centred / math.sqrt(float(np.mean(centred**2)))
        return cls(
            sharpe=float(values.mean() / values.std(ddof=1)),
            periods=len(values),
            skew=float(np.mean(scaled**3)),
            kurtosis=float(np.mean(scaled**4)),
        )

    @property
    def standard_error(self) -> float:
        """Return sqrt((1 - skew SR + (kurtosis - 1) / 4 SR^2) / (T - 1))."""
        return math.sqrt(self._spread / (self.periods - 1))

    def probability_above(self, benchmark: float = 0.0) -> float | None:
        """Return the probabilistic Sharpe ratio: the confidence that the true Sharpe is above `benchmark` (per period).

        None if the standard error is 0, which only happens for returns that take two values.
        """
        if self.standard_error == 0.0:
            return None
        return float(ndtr((self.sharpe - benchmark) / self.standard_error))

    def minimum_length(self, benchmark: float = 0.0, confidence: float = 0.95) -> float | None:
        """Return the number of periods at which this Sharpe would be above `benchmark` with `confidence`.

        None if it is not above it at all: no track record is then long enough.

        Raises:
            SelectionError: `confidence` is not between 0.5 and 1.
        """
        if not 0.5 <= confidence < 1.0:
            raise SelectionError(f"confidence: expected a value from 0.5 to below 1, found {confidence!r}")
        excess = self.sharpe - benchmark
        if excess <= 0.0:
            return None
        return 1.0 + self._spread * (float(ndtri(confidence)) / excess) ** 2

    @property
    def _spread(self) -> float:
        spread = 1.0 - self.skew * self.sharpe + (self.kurtosis - 1.0) / 4.0 * self.sharpe**2
        return max(spread, 0.0)  # it is never negative but for rounding
