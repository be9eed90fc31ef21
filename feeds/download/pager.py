"""Download the missing ranges of a stored series page by page; every page is stored as it arrives, in any order.

On a fixed grid, a request always has a start and an end, and never covers more rows than one response can have. So it
does not matter at which end the exchange would truncate a response. A range without rows is recorded as empty after a
second request, and never close to the present.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..bars.ranges import Range, merge, windows
from ..errors import ExchangeUnavailable
from ..exchange.failures import Malformed
from ..exchange.rows import Table, unite
from .pages import PageWriter
from .task_pool import TaskPool

__all__ = ["DAY_MS", "Advance", "GridSource", "IrregularSource", "fill_grid", "fill_irregular"]

DAY_MS = 86_400_000

_PAGES_AT_ONCE = 32

Ask = Callable[[int, int], Awaitable[Table]]
Advance = Callable[[int], object]


@dataclass(frozen=True)
class GridSource:
    """How to request rows on a fixed grid.

    `ask(start, end)` requests the rows in [start, end), at most `limit` steps of `step` ms wide. `ask_days` requests
    the daily rows, at most `limit` days wide; None if there are none. `now` is the exchange's time in UTC ms.
    """

    ask: Ask
    ask_days: Ask | None
    step: int
    limit: int
    now: int


@dataclass(frozen=True)
class IrregularSource:
    """How to request rows whose times are not known in advance.

    `ask(start, end)` requests the rows in [start, end) and returns at most `limit`: the newest if `newest_first`, else
    the oldest. Rows from `settled` (UTC ms) on may still be published later. `lacks(times, start, end)` says whether
    an answer for [start, end) with rows at these times [N] is without one that is due.
    """

    ask: Ask
    limit: int
    newest_first: bool
    settled: int
    lacks: Callable[[NDArray[np.int64], int, int], bool] = lambda times, start, end: False


async def fill_grid(
    pool: TaskPool, writer: PageWriter, source: GridSource, missing: list[Range], advance: Advance
) -> int:
    """Store the rows of the missing ranges and return their number; `advance` is called with the ms done.

    Pages of a range are requested one by one until the first one with rows, then concurrently. This avoids useless
    requests for the time before a listing.

    Raises:
        ExchangeError: a request failed; all pages received before are stored.
        StoreError: a page cannot be stored.
    """
    stored = 0
    for start, end in missing:
        position = start
        while position < end:
            page = _next_page(writer, source, position, end)
            rows = await pool.ask(partial(source.ask, *page))
            begun = len(rows["timestamp"]) > 0
            empty_until = position if begun else await _next_day(pool, source, position, end)
            if empty_until >= page[1]:
                # No rows for longer than a page: before the listing, or during a long trading halt.
                await _note_empty(writer, source, position, empty_until)
                following = empty_until
            else:
                following = page[1]
                stored += await _store_page(pool, writer, source, position, following, rows)
            advance(following - position)
            position = following
            if begun:
                break
        stored += await _fill_rest(pool, writer, source, (position, end), advance)
    return stored


async def fill_irregular(
    pool: TaskPool, writer: PageWriter, source: IrregularSource, missing: list[Range], advance: Advance
) -> int:
    """Store the rows of the missing ranges of a series without a fixed grid and return their number.

    Each page continues where the last one ended, from the newest row to the oldest or in the opposite direction,
    depending on how the exchange truncates its responses.

    Raises:
        ExchangeError: a request failed; all pages received before are stored.
        StoreError: a page cannot be stored.
    """
    stored = 0
    for start, end in reversed(missing) if source.newest_first else missing:
        low, high = start, end
        while low < high:
            request = partial(source.ask, low, high)
            rows = await pool.ask(request)
            if not len(rows["timestamp"]) or _lacks_rows(source, rows, (low, high)):
                rows = _united(rows, await pool.ask(request))
            done = await _store_irregular(writer, source, (low, high), rows)
            stored += len(rows["timestamp"])
            advance(done[1] - done[0])
            low, high = (low, done[0]) if source.newest_first else (done[1], high)
    return stored


def _lacks_rows(source: IrregularSource, rows: Table, asked: Range) -> bool:
    times, (low, high) = rows["timestamp"], asked
    if len(times) >= source.limit and not source.newest_first:
        high = int(times[-1]) + 1  # the rest is on the next page
    return source.lacks(times, low, min(high, source.settled))


async def _store_irregular(writer: PageWriter, source: IrregularSource, asked: Range, rows: Table) -> Range:
    """Store the rows of a response and return the part of the requested range that it covers completely."""
    low, high = asked
    # No further row will be published for times before `settled`; only those are recorded as complete. Of the last day,
    # an answer that lacks rows is not believed.
    settled = source.settled - DAY_MS if _lacks_rows(source, rows, asked) else source.settled
    certain = max(low, min(high, settled))
    if not len(rows["timestamp"]):
        if low < certain:
            await writer.note_empty(low, certain)
        return asked
    oldest, newest = int(rows["timestamp"][0]), int(rows["timestamp"][-1])
    certain = max(certain, min(high, newest + 1))
    full = len(rows["timestamp"]) >= source.limit
    # A page that is not full covers the range, unless it stops long before the end; then request the rest.
    if source.newest_first:
        low = oldest if full or oldest - low > DAY_MS else low
    elif full or high - newest > DAY_MS:
        high = certain = newest + 1
    await writer.write(rows, (low, high if newest >= source.settled else certain))
    return low, high


async def _fill_rest(
    pool: TaskPool, writer: PageWriter, source: GridSource, span: Range, advance: Advance
) -> int:
    async def fill(low: int, high: int) -> int:
        rows = await pool.ask(partial(source.ask, low, high))
        stored = await _store_page(pool, writer, source, low, high, rows)
        advance(high - low)
        return stored

    def jobs() -> Iterator[Callable[[], Awaitable[int]]]:
        return (partial(fill, *window) for window in windows([span], source.step * source.limit))

    workers = min(_PAGES_AT_ONCE, -(-(span[1] - span[0]) // (source.step * source.limit)))
    return sum(await pool.each(jobs(), workers=workers))


def _next_page(writer: PageWriter, source: GridSource, start: int, end: int) -> Range:
    """Return the window of the next page: from `start`, or earlier if the page has room to recheck stored rows."""
    spare = -(end - start) // source.step % source.limit
    low = start - min(spare, writer.rows_before(start)) * source.step
    return low, min(low + source.step * source.limit, end)


async def _store_page(
    pool: TaskPool, writer: PageWriter, source: GridSource, low: int, high: int, rows: Table
) -> int:
    old, rows = _split(rows, low)
    if len(rows["timestamp"]) < (high - low) // source.step:
        rows = await _second_look(pool, source, low, high, rows)
    await writer.compare(old)
    if not len(rows["timestamp"]):
        await _note_empty(writer, source, low, high)
        return 0
    for part in _known(rows["timestamp"].tolist(), (low, high), source):
        await writer.write(_inside(rows, part), part)
    return len(rows["timestamp"])


def _known(times: list[int], asked: Range, source: GridSource) -> list[Range]:
    """Return the parts of the requested range that the response proves: rows of the last day may still be published."""
    settled = max(asked[0], min(asked[1], _settled(source)))
    return merge([(asked[0], settled), *((t, t + source.step) for t in times if t + source.step > settled)])


def _inside(rows: Table, part: Range) -> Table:
    inside = (rows["timestamp"] >= part[0]) & (rows["timestamp"] < part[1])
    return {name: values[inside] for name, values in rows.items()}


def _split(rows: Table, at: int) -> tuple[Table, Table]:
    before = rows["timestamp"] < at
    return (
        {name: values[before] for name, values in rows.items()},
        {name: values[~before] for name, values in rows.items()},
    )


async def _second_look(pool: TaskPool, source: GridSource, low: int, high: int, rows: Table) -> Table:
    return _united(rows, await pool.ask(partial(source.ask, low, high)))


def _united(rows: Table, again: Table) -> Table:
    try:
        return unite(rows, again)
    except Malformed as error:
        raise ExchangeUnavailable(
            f"expected equal answers to the same request, found different ones: {error}; run the command again later"
        ) from error


async def _next_day(pool: TaskPool, source: GridSource, start: int, end: int) -> int:
    """Return the start of the first day with data in [start, end): `start` if earlier, `end` if there is none."""
    if source.ask_days is None:
        return start
    first, last = start // DAY_MS * DAY_MS, -(-end // DAY_MS) * DAY_MS
    for low, high in windows([(first, last)], DAY_MS * source.limit):
        days = await pool.ask(partial(source.ask_days, low, high))
        if len(days["timestamp"]):
            return min(end, max(start, int(days["timestamp"][0])))
    return end


async def _note_empty(writer: PageWriter, source: GridSource, start: int, end: int) -> None:
    settled = min(end, _settled(source))
    if settled > start:
        await writer.note_empty(start, settled)


def _settled(source: GridSource) -> int:
    return (source.now - DAY_MS) // source.step * source.step
