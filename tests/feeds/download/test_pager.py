"""The pager beside an exchange in memory: what it asks for, what it stores, and what it takes for certain.

All times are hours after the start of a day, in the requests as in the store.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest

from feeds.download.pager import GridSource, IrregularSource, fill_grid, fill_irregular
from feeds.download.pages import PageWriter
from feeds.download.task_pool import TaskPool, run
from feeds.errors import ExchangeUnavailable
from feeds.store.keys import SeriesKey
from feeds.store.series_store import read_series, write_series

HOUR = 3_600_000
MOMENT = 1 / HOUR  # a millisecond, in hours
START = 1_704_067_200_000  # 2024-01-01, the start of a day
LONG_AFTER = 100_000.0
BARS = SeriesKey("bybit", "BTC/USDT:USDT", "mark_1h")
FUNDING = SeriesKey("bybit", "BTC/USDT:USDT", "funding")
COLUMNS = {BARS: ("open", "high", "low", "close"), FUNDING: ("funding_rate",)}


def ms(hour):
    return START + round(hour * HOUR)


def hour(time):
    return (time - START) / HOUR


def span(start, end):
    return pytest.approx((start, end), abs=MOMENT / 2)


class Exchange:
    """Rows at some hours, each as high as its hour; it remembers the requests, in hours, and how many overlapped.

    `held_back` hours are missing from the first answer that should have them.
    """

    def __init__(self, hours: Sequence[float], *, key=BARS, held_back: Sequence[float] = ()):
        self.hours, self.key, self.held_back = sorted(hours), key, set(held_back)
        self.values: dict[float, float] = {}
        self.asked: list[tuple[float, float]] = []
        self.asked_days: list[tuple[float, float]] = []
        self.at_once = self.most_at_once = 0
        self.answer_holds, self.newest_first = 10**9, False

    def table(self, hours):
        times = np.array([ms(h) for h in hours], dtype=np.int64)
        values = np.array([self.values.get(h, 1.0 + h) for h in hours])
        return {"timestamp": times} | dict.fromkeys(COLUMNS[self.key], values)

    async def ask(self, start, end):
        low, high = hour(start), hour(end)
        self.asked.append((low, high))
        assert len(self.asked) < 1000, "the download does not end"
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        found = [h for h in self.hours if low <= h < high and h not in self.held_back]
        self.held_back -= {h for h in self.held_back if low <= h < high}
        return self.table(found[-self.answer_holds :] if self.newest_first else found[: self.answer_holds])

    async def ask_days(self, start, end):
        self.asked_days.append((hour(start) / 24, hour(end) / 24))
        days = sorted({h // 24 * 24 for h in self.hours})
        return self.table([day for day in days if hour(start) <= day < hour(end)])


class Outcome(NamedTuple):
    """What a download reported, and what the store holds after it, in hours."""

    count: int
    done: list[float]
    revisions: list[Any]
    hours: list[float]
    covered: list[tuple[float, float]]


def download(folder, exchange, fill, source, missing, recent=None):
    done: list[int] = []

    async def go():
        with write_series(folder, exchange.key) as writer:
            pages = PageWriter(writer, recent)
            spans = [(ms(start), ms(end)) for start, end in missing]
            count = await fill(TaskPool(asyncio.Semaphore(100)), pages, source, spans, done.append)
            return count, pages.revisions

    count, revisions = run(go())
    chunk = read_series(folder, exchange.key, 0, 1 << 60)
    return Outcome(
        count,
        [ms / HOUR for ms in done],
        revisions,
        [hour(int(time)) for time in chunk.columns["timestamp"]],
        [(hour(a), hour(b)) for a, b in chunk.covered],
    )


def bars(folder, exchange, *missing, limit=10, now=LONG_AFTER, days=True, recent=None):
    source = GridSource(
        ask=exchange.ask,
        ask_days=exchange.ask_days if days else None,
        step=HOUR,
        limit=limit,
        now=ms(now),
    )
    return download(folder, exchange, fill_grid, source, missing, recent)


def funding(folder, exchange, *missing, limit=5, settled=LONG_AFTER, newest_first=False):
    exchange.answer_holds, exchange.newest_first = limit, newest_first
    source = IrregularSource(exchange.ask, limit=limit, newest_first=newest_first, settled=ms(settled))
    return download(folder, exchange, fill_irregular, source, missing)


# --- rows on a grid


def test_a_range_is_asked_for_in_whole_pages_and_the_rest(tmp_path):
    exchange = Exchange(range(25))
    found = bars(tmp_path, exchange, (0, 25))
    assert sorted(exchange.asked) == [(0, 10), (10, 20), (20, 25)]
    assert exchange.asked_days == []
    assert (found.count, found.hours, found.covered) == (25, list(range(25)), [(0, 25)])
    assert sorted(found.done) == [5, 10, 10]


def test_nothing_between_missing_ranges_is_asked_for(tmp_path):
    exchange = Exchange(range(30))
    found = bars(tmp_path, exchange, (0, 3), (7, 19))
    assert exchange.asked == [(0, 3), (7, 17), (17, 19)]
    assert (found.count, found.covered) == (3 + 12, [(0, 3), (7, 19)])
    assert found.hours == [0, 1, 2, *range(7, 19)]


def test_a_page_with_a_hole_is_asked_for_once_more(tmp_path):
    exchange = Exchange({*range(20)} - {4, 15})
    found = bars(tmp_path, exchange, (0, 20))
    assert exchange.asked == [(0, 10), (0, 10), (10, 20), (10, 20)]
    assert (found.count, found.covered) == (18, [(0, 20)])


def test_what_only_the_second_answer_has_is_stored(tmp_path):
    found = bars(tmp_path, Exchange(range(20), held_back=[4, 15]), (0, 20))
    assert (found.count, found.hours) == (20, list(range(20)))


def test_two_answers_that_disagree_are_no_answer(tmp_path):
    exchange = Exchange([0, 1, 2])
    ask = exchange.ask

    async def revised(start, end):
        exchange.values[1] = 7.0 + len(exchange.asked)
        return await ask(start, end)

    exchange.ask = revised
    with pytest.raises(ExchangeUnavailable, match="two different rows for 2024-01-01T01:00:00Z"):
        bars(tmp_path, exchange, (0, 10))


def test_the_days_lead_to_the_listing(tmp_path):
    # Hour 100 is in the day that starts at hour 96.
    exchange = Exchange(range(100, 130))
    found = bars(tmp_path, exchange, (0, 130))
    assert exchange.asked[:3] == [(0, 10), (96, 106), (96, 106)]
    assert sorted(exchange.asked[3:]) == [(106, 116), (116, 126), (126, 130)]
    assert exchange.asked_days == [(0, 6)]
    assert (found.count, found.hours, found.covered) == (30, list(range(100, 130)), [(0, 130)])
    assert found.done[:2] == [96, 10]
    assert sum(found.done) == 130


def test_days_are_asked_for_by_the_page_until_one_has_rows(tmp_path):
    exchange = Exchange(range(100, 130))
    found = bars(tmp_path, exchange, (0, 300), limit=2)
    assert exchange.asked_days[:3] == [(0, 2), (2, 4), (4, 6)]
    assert all(first == 4 for first, _ in exchange.asked_days[3:]), "hours 96 to 99 are empty, the day is not"
    assert (found.hours, found.covered) == (list(range(100, 130)), [(0, 300)])


def test_an_empty_page_on_the_day_of_the_listing_is_looked_at_twice(tmp_path):
    exchange = Exchange(range(45, 60))
    found = bars(tmp_path, exchange, (30, 60))
    assert exchange.asked == [(30, 40), (30, 40), (40, 50), (40, 50), (50, 60)]
    assert exchange.asked_days == [(1, 3)]
    assert (found.count, found.covered, found.done) == (15, [(30, 60)], [10, 10, 10])


def test_a_range_without_any_rows_takes_one_page_and_the_days(tmp_path):
    exchange = Exchange([])
    found = bars(tmp_path, exchange, (0, 30))
    assert (exchange.asked, exchange.asked_days) == ([(0, 10)], [(0, 2)])
    assert (found.count, found.covered, found.done) == (0, [(0, 30)], [30])


def test_rows_later_on_the_last_day_do_not_make_the_range_longer(tmp_path):
    exchange = Exchange([40])
    found = bars(tmp_path, exchange, (0, 30))
    assert exchange.asked == [(0, 10), (24, 30), (24, 30)]
    assert (found.count, found.covered, found.done) == (0, [(0, 30)], [24, 6])


def test_without_daily_rows_the_listing_is_found_page_by_page(tmp_path):
    exchange = Exchange(range(25, 40))
    found = bars(tmp_path, exchange, (0, 40), days=False)
    assert exchange.asked == [(0, 10), (0, 10), (10, 20), (10, 20), (20, 30), (20, 30), (30, 40)]
    assert exchange.most_at_once == 1
    assert (found.count, found.covered, found.done) == (15, [(0, 40)], [10, 10, 10, 10])


@pytest.mark.parametrize(
    ("rows", "known"),
    [(0, 16), (10, 16), (13, 16), (16, 16), (17, 17), (19, 19), (20, 20), (33, 33), (40, 40)],
)
@pytest.mark.parametrize("days", [True, False])
def test_a_missing_row_of_the_last_day_may_still_come(tmp_path, rows, known, days):
    # At 40:30 the last day begins at 16:30: rows from hour 16 on are not yet taken for missing.
    found = bars(tmp_path, Exchange(range(rows)), (0, 40), now=40.5, days=days)
    assert (found.count, found.covered, sum(found.done)) == (rows, [(0, known)], 40)


@pytest.mark.parametrize(
    ("known_before", "end", "asked"),
    [
        (5, 15, [(5, 15)]),
        (3, 15, [(7, 15)]),
        (9, 16, [(6, 16)]),
        (5, 20, [(10, 20)]),
        (5, 23, [(5, 15), (15, 23)]),
        (9, 23, [(3, 13), (13, 23)]),
        (0, 15, [(10, 15)]),
    ],
)
def test_room_in_a_page_is_used_to_look_at_stored_rows_again(tmp_path, known_before, end, asked):
    exchange = Exchange(range(30))
    bars(tmp_path, exchange, (0, 10))
    exchange.asked.clear()
    exchange.values[9] = 0.5
    recent = {ms(10): Exchange([]).table(range(10 - known_before, 10))}
    found = bars(tmp_path, exchange, (10, end), recent=recent)
    assert exchange.asked == asked
    assert (found.count, found.hours, found.covered) == (end - 10, list(range(end)), [(0, end)])
    looked_again = [hour(change.timestamp) for change in found.revisions]
    assert set(looked_again) == ({9.0} if asked[0][0] < 10 else set())
    stored = read_series(tmp_path, BARS, ms(9), ms(10)).columns["close"].tolist()
    assert stored == ([0.5] if looked_again else [10.0])


def test_only_the_missing_part_of_a_page_is_asked_for_once_more(tmp_path):
    exchange = Exchange(range(10))
    bars(tmp_path, exchange, (0, 10))
    exchange.asked.clear()
    recent = {ms(10): exchange.table(range(5, 10))}
    found = bars(tmp_path, exchange, (10, 15), recent=recent)
    assert exchange.asked == [(5, 15), (10, 15)]
    assert (found.count, found.covered, found.revisions) == (0, [(0, 15)], [])


@pytest.mark.parametrize(("pages", "most"), [(2, 1), (4, 3), (33, 32), (42, 32)])
def test_after_the_first_rows_pages_are_asked_for_at_once_but_not_too_many(tmp_path, pages, most):
    exchange = Exchange(range(3 * pages))
    found = bars(tmp_path, exchange, (0, 3 * pages - 1), limit=3)
    assert exchange.most_at_once == most
    assert len(exchange.asked) == pages
    assert found.count == 3 * pages - 1


# --- rows at times not known in advance


def test_from_the_oldest_on_a_page_begins_after_the_row_that_ended_the_last(tmp_path):
    exchange = Exchange([0, 8, 16, 24, 32, 40], key=FUNDING)
    found = funding(tmp_path, exchange, (0, 48), limit=3)
    rest = span(40 + MOMENT, 48)
    assert exchange.asked == [span(0, 48), span(16 + MOMENT, 48), rest, rest]
    assert (found.count, found.hours) == (6, [0, 8, 16, 24, 32, 40])
    assert found.covered == [(0, 48)]
    assert found.done == pytest.approx([16, 24, 8], abs=2 * MOMENT)


def test_from_the_newest_on_a_page_ends_at_the_row_that_began_the_last(tmp_path):
    exchange = Exchange([0, 8, 16, 24, 32, 40], key=FUNDING)
    found = funding(tmp_path, exchange, (0, 48), limit=3, newest_first=True)
    assert exchange.asked == [(0, 48), (0, 24)]
    assert (found.count, found.hours, found.covered) == (6, [0, 8, 16, 24, 32, 40], [(0, 48)])
    assert found.done == [24, 24]


@pytest.mark.parametrize(
    ("newest_first", "asked"), [(False, [(0, 10), (20, 30)]), (True, [(20, 30), (0, 10)])]
)
def test_ranges_are_filled_from_the_same_end_as_pages(tmp_path, newest_first, asked):
    exchange = Exchange([0, 8, 16, 24], key=FUNDING)
    found = funding(tmp_path, exchange, (0, 10), (20, 30), newest_first=newest_first)
    assert exchange.asked == asked
    assert (found.count, found.covered) == (3, [(0, 10), (20, 30)])


@pytest.mark.parametrize(("end", "again"), [(24, False), (40, False), (41, True)])
def test_a_short_page_is_the_whole_unless_a_day_is_missing_at_its_end(tmp_path, end, again):
    exchange = Exchange([0, 8, 16], key=FUNDING)
    found = funding(tmp_path, exchange, (0, end))
    assert exchange.asked == [(0, end), *[span(16 + MOMENT, end)] * (2 * again)]
    assert (found.count, found.covered) == (3, [(0, end)])


@pytest.mark.parametrize(("start", "again"), [(8, False), (0, False), (-1, True)])
def test_a_short_page_is_the_whole_unless_a_day_is_missing_at_its_beginning(tmp_path, start, again):
    exchange = Exchange([24, 32], key=FUNDING)
    found = funding(tmp_path, exchange, (start, 40), newest_first=True)
    assert exchange.asked == [(start, 40), *[(start, 24)] * (2 * again)]
    assert (found.count, found.covered) == (2, [(start, 40)])


@pytest.mark.parametrize("newest_first", [True, False])
def test_an_empty_answer_is_believed_when_it_comes_twice(tmp_path, newest_first):
    exchange = Exchange([], key=FUNDING)
    found = funding(tmp_path, exchange, (0, 48), newest_first=newest_first)
    assert exchange.asked == [(0, 48)] * 2
    assert (found.count, found.covered, found.done) == (0, [(0, 48)], [48])
    exchange = Exchange([0, 30], key=FUNDING, held_back=[0, 30])
    assert funding(tmp_path / "late", exchange, (0, 48), newest_first=newest_first).hours == [0, 30]


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize(
    ("hours", "settled", "known"),
    [
        ([], 30, 30),
        ([], 60, 36),
        ([], -5, 0),
        ([0, 8, 16], 30, 30),
        ([0, 8, 16], 60, 36),
        ([0, 8, 29], 30, 30),
        ([0, 8, 30], 30, 36),
        ([0, 8, 31], 30, 36),
    ],
)
def test_after_the_last_settled_time_a_missing_row_may_still_come(
    tmp_path, hours, settled, known, newest_first
):
    exchange = Exchange(hours, key=FUNDING)
    found = funding(tmp_path, exchange, (0, 36), settled=settled, newest_first=newest_first)
    assert (found.count, found.hours) == (len(hours), hours)
    assert found.covered == ([(0, known)] if known else [])
