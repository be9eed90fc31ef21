"""What proves that a bar is closed, missing or changed: readings of the history, holes, the exchange's stamps."""

from .bounds import StampBounds
from .doubt import Doubt
from .history import BarHistory, Delivered, Row
from .holes import Holes

__all__ = ["BarHistory", "Delivered", "Doubt", "Holes", "Row", "StampBounds"]
