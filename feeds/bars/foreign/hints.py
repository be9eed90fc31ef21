"""What a person may say about a bar file that does not say it itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args
from zoneinfo import ZoneInfo

from scorenet.base.did_you_mean import did_you_mean

from ...errors import BadSource
from ..cells import COLUMNS, OPTIONAL_COLUMNS

__all__ = ["DATES", "DECIMALS", "Dates", "Decimal", "Hints", "parse_columns"]

Dates = Literal["dmy", "mdy", "days"]
Decimal = Literal["point", "comma"]
DATES: tuple[str, ...] = get_args(Dates)
DECIMALS: tuple[str, ...] = get_args(Decimal)
NAMES = (*COLUMNS, *OPTIONAL_COLUMNS, "symbol")


@dataclass(frozen=True, kw_only=True)
class Hints:
    """Answers to what a file leaves open; an empty one is an error where the file needs it.

    Attributes:
        columns: columns of bars and the names that the file gives them; in a file without names their number, from 1.
        timezone: the zone of times that have none, such as "UTC" or "America/New_York".
        dates: the order of dates such as 01/02/2024 ("dmy" or "mdy"); "days" takes local midnight as a trading day.
        decimal: what separates the decimals of a number, "point" or "comma".

    Raises:
        BadSource: a hint is none of its allowed values.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    timezone: str | None = None
    dates: str | None = None
    decimal: str | None = None

    def __post_init__(self) -> None:
        for name in self.columns:
            if name not in NAMES:
                raise BadSource(
                    f"columns: {name!r} is no column of bars{did_you_mean(name, NAMES)}; "
                    f"expected one of {', '.join(NAMES)}"
                )
        for hint, value, allowed in (("dates", self.dates, DATES), ("decimal", self.decimal, DECIMALS)):
            if value is not None and value not in allowed:
                raise BadSource(f"{hint}: expected one of {', '.join(allowed)}, found {value!r}")
        if self.timezone is not None:
            _check_zone(self.timezone)


def parse_columns(texts: Iterable[str]) -> dict[str, str]:
    """Return the columns of texts such as "open=Open,close=Last Price".

    Raises:
        BadSource: a part is not NAME=COLUMN, or names a column twice.
    """
    columns: dict[str, str] = {}
    for part in (part for text in texts for part in text.split(",")):
        name, equals, own = part.partition("=")
        name, own = name.strip(), own.strip()
        if not equals or not name or not own:
            raise BadSource(f"columns: expected NAME=COLUMN, such as open=Open,close=Last, found {part!r}")
        if name in columns:
            raise BadSource(f"columns: expected each name once, found {name!r} twice")
        columns[name] = own
    return columns


def _check_zone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise BadSource(
            f"timezone: expected a zone such as UTC or America/New_York, found {name!r}"
        ) from error
