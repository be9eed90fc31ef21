"""The pager on a grid: what it asks for, what it stores, and what it takes for certain; times are in hours."""

import pytest

from feeds.errors import ExchangeUnavailable
from feeds.store.series_store import read_series
from tests.feeds.download.memory_exchange import BARS, Exchange, bars, hour, ms


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


def test_a_hole_of_the_last_day_is_not_believed(tmp_path):
    # At 40.5, only what is older than 16 is certain: the bar of 4 does not exist, that of 35 may still come.
    exchange = Exchange({*range(40)} - {4, 35})
    found = bars(tmp_path, exchange, (0, 40), now=40.5)
    assert (found.count, found.covered) == (38, [(0, 35), (36, 40)])
    exchange = Exchange(range(40))
    found = bars(tmp_path, exchange, (35, 36), now=41.5)
    assert (found.hours, found.covered) == ([*range(4), *range(5, 40)], [(0, 40)])


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
