"""Parquet files that are not trusted: their size and pages before they are unpacked, a checksum of their columns."""

from .pages import check_pages
from .seal import NOTES, check_seal, sealed
from .sizes import UNREADABLE, check_parquet

__all__ = ["NOTES", "UNREADABLE", "check_pages", "check_parquet", "check_seal", "sealed"]
