"""What stderr shows: colour, progress."""

from .colour import coloured
from .progress import progress_bar

__all__ = ["coloured", "progress_bar"]
