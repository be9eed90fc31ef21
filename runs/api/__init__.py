"""What a Python script calls in place of the commands: train from frames, and the report of its own Cerebro."""

from .own_run import report
from .training import train

__all__ = ["report", "train"]
