"""The parquet store of market data: checksummed files per series, atomic writes, locks, and known time ranges."""

from .history import History, stored_name
from .importing import store_bars
from .keys import SeriesKey, open_interest_timeframe, series_columns, series_folders, series_path, stored_kind
from .locks import Locked, file_lock
from .rules import list_instruments, write_instrument
from .series_store import SeriesInfo, SeriesWriter, check, list_series, series_info, write_series

__all__ = [
    "History",
    "Locked",
    "SeriesInfo",
    "SeriesKey",
    "SeriesWriter",
    "check",
    "file_lock",
    "list_instruments",
    "list_series",
    "open_interest_timeframe",
    "series_columns",
    "series_folders",
    "series_info",
    "series_path",
    "store_bars",
    "stored_kind",
    "stored_name",
    "write_instrument",
    "write_series",
]
