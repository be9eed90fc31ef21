"""The surface of a search: which settings matter, and whether the best stands on a plateau or on a spike."""

from .axes import Axis, axes_of
from .importance import Importance, fitted, importance
from .stability import Stability, stability
from .summary import summary

__all__ = ["Axis", "Importance", "Stability", "axes_of", "fitted", "importance", "stability", "summary"]
