"""`scorenet check-model`: compute a model's held-out metrics, judge them, and write an HTML page."""

from .model import check_model
from .text import format_check

__all__ = ["check_model", "format_check"]
