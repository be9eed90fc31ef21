"""Learn a model from the bars of markets: rows, nets, calibration, and the refit on the whole span."""

from .fit import learn
from .rows import Market

__all__ = ["Market", "learn"]
