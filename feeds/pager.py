"""Fill the holes of a stored series page by page; every page is stored as it arrives.

A window is never wider than what one answer can hold, and always has a start and an end: which end the
exchange would cut off cannot matter then. A hole is believed after a second look, and never close to the
present.
"""

from collections.abc import Callable
from dataclasses import dataclass

from feeds.errors import ExchangeUnavailable
from feeds.ranges import Range, windows
from feeds.rows import Malformed, Table, unite
from feeds.store import SeriesWriter

__all__ = ["DAY_MS", "Advance", "GridSource", "fill_backward", "fill_grid"]

DAY_MS = 86_400_000

Ask = Callable[[int, int], Table]
Advance = Callable[[int], object]


@dataclass(frozen=True)
class GridSource:
    """Say how rows on a fixed grid are asked for.

    `ask(start, end)` returns the rows in [start, end), at most `limit` steps of `step` ms wide; `ask_days`,
    when given, the daily rows, at most `limit` days wide. `now` is the exchange's time in UTC ms.
    """

    ask: Ask
    ask_days: Ask | None
    step: int
    limit: int
    now: int


def fill_grid(writer: SeriesWriter, source: GridSource, missing: list[Range], advance: Advance) -> int:
    """Store the rows of the missing ranges, oldest first, and return how many came; `advance` hears ms done.

    Raises:
        ExchangeError: the exchange does not answer; what came before is stored.
        StoreError: a page cannot be stored.
    """
    stored = 0
    for start, end in missing:
        position = start
        while position < end:
            high = min(position + source.step * source.limit, end)
            rows = source.ask(position, high)
            empty_until = position if len(rows["timestamp"]) else _next_day(source, position, end)
            if empty_until >= high:
                # Nothing for longer than a page: before the listing, or a long halt.
                _note_empty(writer, source, position, empty_until)
                high = empty_until
            else:
                stored += _store_page(writer, source, position, high, rows)
            advance(high - position)
            position = high
    return stored


def fill_backward(writer: SeriesWriter, ask: Ask, limit: int, missing: list[Range], advance: Advance) -> int:
    """Store the rows of the missing ranges where the grid is unknown, newest first, and return how many came.

    `ask(start, end)` returns the newest `limit` rows in [start, end), so each page ends where the last one
    began.

    Raises:
        ExchangeError: the exchange does not answer; what came before is stored.
        StoreError: a page cannot be stored.
    """
    stored = 0
    for start, end in reversed(missing):
        high = end
        while high > start:
            rows = ask(start, high)
            if not len(rows["timestamp"]):
                rows = ask(start, high)
            low = start
            if len(rows["timestamp"]):
                oldest = int(rows["timestamp"][0])
                # A short page reaches back to `start`, unless it stops long before: then ask for the rest.
                low = oldest if len(rows["timestamp"]) >= limit or oldest - start > DAY_MS else start
                writer.write(rows, (low, high))
            else:
                writer.note_empty(low, high)
            stored += len(rows["timestamp"])
            advance(high - low)
            high = low
    return stored


def _store_page(writer: SeriesWriter, source: GridSource, low: int, high: int, rows: Table) -> int:
    if len(rows["timestamp"]) < (high - low) // source.step:
        rows = _second_look(source, low, high, rows)
    if not len(rows["timestamp"]):
        _note_empty(writer, source, low, high)
        return 0
    # Rows of the last day may still be on their way: a hole at the end is not believed yet.
    after_last = int(rows["timestamp"][-1]) + source.step
    writer.write(rows, (low, max(after_last, min(high, _settled(source)))))
    return len(rows["timestamp"])


def _second_look(source: GridSource, low: int, high: int, rows: Table) -> Table:
    try:
        return unite(rows, source.ask(low, high))
    except Malformed as error:
        raise ExchangeUnavailable(
            f"the exchange answers the same question in two ways: {error}; run the same command again later"
        ) from error


def _next_day(source: GridSource, start: int, end: int) -> int:
    """Return when in [start, end) the first day with data begins: `start` if earlier, `end` if none does."""
    if source.ask_days is None:
        return start
    first, last = start // DAY_MS * DAY_MS, -(-end // DAY_MS) * DAY_MS
    for low, high in windows([(first, last)], DAY_MS * source.limit):
        days = source.ask_days(low, high)
        if len(days["timestamp"]):
            return min(end, max(start, int(days["timestamp"][0])))
    return end


def _note_empty(writer: SeriesWriter, source: GridSource, start: int, end: int) -> None:
    settled = min(end, _settled(source))
    if settled > start:
        writer.note_empty(start, settled)


def _settled(source: GridSource) -> int:
    return (source.now - DAY_MS) // source.step * source.step
