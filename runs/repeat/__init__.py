"""Run a stored backtest again: from its own config.toml, or to prove that it gives the same."""

from .rerun import rerun
from .stated import check_stated, stated

__all__ = ["check_stated", "rerun", "stated"]
