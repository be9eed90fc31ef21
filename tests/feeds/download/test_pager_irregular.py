"""The pager at times not known in advance: from which end it reads, and what it takes for certain; in hours."""

import pytest

from tests.feeds.download.memory_exchange import FUNDING, MOMENT, Exchange, funding


def span(start, end):
    return pytest.approx((start, end), abs=MOMENT / 2)


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
