"""What every exchange client shares: the strict ccxt client, error classes, retries and the rate limit."""

from .failures import Failure, Malformed, classify
from .rate_limit import REQUESTS_PER_SECOND, Gate
from .retry import Attempts, Retry

__all__ = ["REQUESTS_PER_SECOND", "Attempts", "Failure", "Gate", "Malformed", "Retry", "classify"]
