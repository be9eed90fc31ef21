"""Bar files of other programs: their columns, numbers, times and archives, read as columns of the contract."""

from .hints import Hints, parse_columns

__all__ = ["Hints", "parse_columns"]
