"""Seeded simulated markets whose distribution is known: random walk, AR(1), regimes, planted edge."""

from .api import expected_return, simulate
from .processes import OPTIONS, did_you_mean, make_law

__all__ = ["OPTIONS", "did_you_mean", "expected_return", "make_law", "simulate"]
