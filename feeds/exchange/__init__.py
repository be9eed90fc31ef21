"""Code that all exchanges share: their protocol and registry, strict ccxt clients, retries and rate limits."""

from .failures import Evidence, Failure, FailureRules, Malformed, classify
from .protocol import Capabilities, CcxtRules, Exchange
from .rate_limit import RateLimiter
from .registry import DEFAULT_EXCHANGE, EXCHANGES, find_exchange
from .retry import Attempts, Retry

__all__ = [
    "DEFAULT_EXCHANGE",
    "EXCHANGES",
    "Attempts",
    "Capabilities",
    "CcxtRules",
    "Evidence",
    "Exchange",
    "Failure",
    "FailureRules",
    "Malformed",
    "RateLimiter",
    "Retry",
    "classify",
    "find_exchange",
]
