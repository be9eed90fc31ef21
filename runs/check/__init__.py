"""`scorenet check-model`: measure a model, judge the figures, write the page."""

from .model import check_model
from .text import format_check

__all__ = ["check_model", "format_check"]
