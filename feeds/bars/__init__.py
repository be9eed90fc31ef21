"""Bars: the frame contract and its validator, bar sizes, times, joins, resampling and bar files."""

from .cells import COLUMNS, to_arrays
from .files import EXTENSIONS, read_bars, write_bars
from .frame import Gap, GapPolicy, as_bars, check_gap_policy, data_hash, find_gaps
from .joins import join_funding, join_mark, join_open_interest
from .ranges import Range, clip, merge, subtract, windows
from .resampling import resample
from .timeframes import TIMEFRAMES, from_ms, to_backtrader, to_ms
from .times import iso, parse_time

__all__ = [
    "COLUMNS",
    "EXTENSIONS",
    "TIMEFRAMES",
    "Gap",
    "GapPolicy",
    "Range",
    "as_bars",
    "check_gap_policy",
    "clip",
    "data_hash",
    "find_gaps",
    "from_ms",
    "iso",
    "join_funding",
    "join_mark",
    "join_open_interest",
    "merge",
    "parse_time",
    "read_bars",
    "resample",
    "subtract",
    "to_arrays",
    "to_backtrader",
    "to_ms",
    "windows",
    "write_bars",
]
