"""Stored rows that a damaged file has lost: whoever needs them gets an error, never a shorter or an emptier series."""

from collections.abc import Callable
from pathlib import Path

from ..bars.ranges import clip, subtract
from ..errors import MissingData
from .chunks import Period
from .series_store import SeriesInfo

__all__ = ["Damaged", "check_whole"]


class Damaged(MissingData):
    """A file of the series is damaged and has not been replaced."""


def check_whole(
    series: SeriesInfo, start: int, end: int, what: str, remedy: Callable[[int, int], str]
) -> None:
    """Check that no damaged file has lost rows of [start, end), UTC ms.

    `what` names the series in the message; `remedy` says what to do about the rows of a period, given as (start, end).

    Raises:
        Damaged: such a file has not been replaced, and its rows are not known otherwise.
    """
    for period in series.damaged:
        for part in clip([(period.start, period.end)], start, end):
            if subtract(part, series.covered):
                raise Damaged(
                    f"{what}: the stored file {_path(series, period)} is damaged; "
                    f"{remedy(period.start, period.end)}, or delete it to do without its rows"
                )


def _path(series: SeriesInfo, period: Period) -> Path:
    path = series.path / f"{period.label}.parquet"
    return path if path.exists() else path.with_name(f"{path.name}.corrupt")
