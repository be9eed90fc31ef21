"""An exchange in memory and a download from it into a store; all times are hours after the start of a day."""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from feeds.download.pager import GridSource, IrregularSource, fill_grid, fill_irregular
from feeds.download.pages import PageWriter
from feeds.download.task_pool import TaskPool, run
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
        [spent / HOUR for spent in done],
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
