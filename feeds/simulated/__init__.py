"""Seeded simulated markets whose distribution is known: random walk, AR(1), regimes, planted edge."""

from .api import expected_return, simulate
from .processes import OPTIONS, make_process

__all__ = ["OPTIONS", "expected_return", "make_process", "simulate"]
