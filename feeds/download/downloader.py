"""One exchange, one store: bring many series up to what is asked for, side by side."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from ..bars.frame import Gap, find_gaps
from ..bars.ranges import Range, subtract
from ..bars.timeframes import to_ms
from ..bars.times import iso
from ..errors import BadSource, ExchangeRejected
from ..exchange.ccxt_clients import REQUEST_COUNTS
from ..exchange.market import AsyncMarket
from ..exchange.rows import Table
from ..instruments import Instrument
from ..store.keys import SeriesKey, open_interest_timeframe, series_path, stored_kind
from ..store.locks import Locked
from ..store.series_store import SeriesWriter, write_series
from .pager import DAY_MS, Advance, GridSource, IrregularSource, fill_grid, fill_irregular
from .pages import PageWriter, Revision
from .progress import Progress
from .task_pool import TaskPool, in_thread

__all__ = ["Downloader", "FetchReport", "Wanted"]

_Ask = Callable[[str, int, int], Awaitable[Table]]
Fill = Callable[[TaskPool, PageWriter, list[Range], Advance], Awaitable[int]]

_HOUR_MS = 3_600_000
# Settlements stand on full hours; the newest one is on record a few minutes later.
_SETTLEMENT_LAG_MS = 600_000
_SERIES_AT_ONCE = 32
_REQUESTS_AT_ONCE = 32
_LOCK_SECONDS = 60.0
_LOCK_POLL_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Ask for a series of an instrument: `kind` is "bars", "mark", "funding" or "open_interest".

    `timeframe` is the size of the bars it is for; the range is [since, until) in UTC ms, `until` None is the
    exchange's now.
    """

    instrument: Instrument
    kind: str
    timeframe: str
    since: int
    until: int | None


@dataclass(frozen=True, kw_only=True)
class FetchReport:
    """Say what is stored of one series in the range asked for, and what it took.

    `kind` is "bars", "mark", "funding" or "open_interest", `timeframe` the size of the bars; `rows` counts
    what the range holds, `new_rows` what this run brought with `requests` requests; `first` and `last` are
    UTC ms, None without rows; `gaps` are the holes between bars; `revisions` are stored values that the
    exchange has changed since.
    """

    symbol: str
    timeframe: str
    kind: str
    rows: int
    new_rows: int
    requests: int
    first: int | None
    last: int | None
    gaps: tuple[Gap, ...]
    path: Path
    revisions: tuple[Revision, ...] = ()


@dataclass(frozen=True)
class _Plan:
    """How a wanted series is filled: its range, the size of a row's step for the progress bar, and the pager."""

    span: Range
    step: int
    fill: Fill


class Downloader:
    """Bring series of one exchange into one store; `now` is the exchange's time in UTC ms.

    At every download that asks for new rows, up to `recheck` stored rows before them are asked for again
    where that costs no further request, and what the exchange has changed is reported.
    """

    def __init__(
        self,
        client: AsyncMarket,
        data_dir: str | Path,
        *,
        now: int,
        progress: bool = True,
        recheck: int = 5,
    ) -> None:
        self._client = client
        self._data_dir = Path(data_dir)
        self._now = now
        self._progress = progress
        self._recheck = recheck

    async def bring(self, wanted: Sequence[Wanted]) -> list[FetchReport]:
        """Store what is missing of each series and return a report each, in the same order.

        A series that the exchange rejects does not keep the others from being completed.

        Raises:
            BadSource: a range begins in the future.
            ExchangeError: the exchange does not deliver; what came before is stored.
            StoreError: the store cannot be written.
        """
        plans = [self._plan(series) for series in wanted]
        pool = TaskPool(asyncio.Semaphore(_REQUESTS_AT_ONCE))
        with Progress(_title(wanted), shown=self._progress) as progress:

            async def one(series: Wanted, plan: _Plan) -> FetchReport | ExchangeRejected:
                try:
                    return await self._series(pool.part(), series, plan, progress)
                except ExchangeRejected as error:
                    return error

            jobs = [partial(one, *pair) for pair in zip(wanted, plans, strict=True)]
            done = await pool.each(jobs, workers=min(len(jobs), _SERIES_AT_ONCE))
        rejected = [result for result in done if isinstance(result, ExchangeRejected)]
        if rejected:
            raise rejected[0]
        return [result for result in done if isinstance(result, FetchReport)]

    def _plan(self, series: Wanted) -> _Plan:
        if series.since >= self._now:
            raise BadSource(
                f"expected since in the past, found {iso(series.since)}; "
                f"at the exchange it is {iso(self._now)}"
            )
        client, instrument = self._client, series.instrument
        offered = client.exchange.capabilities
        if series.kind == "funding":
            return self._funding_plan(series)
        if series.kind == "open_interest":
            every = open_interest_timeframe(series.timeframe)
            return self._grid_plan(
                series, partial(client.open_interest, instrument), every, offered.open_interest_limit
            )
        ask = client.mark_klines if series.kind == "mark" else client.klines
        # A wrong answer about the time must not make an open candle a closed one. A day that has begun is listed.
        closed, days = partial(ask, instrument, closed_for=0), partial(ask, instrument)
        return self._grid_plan(series, closed, series.timeframe, offered.kline_limit, days)

    def _grid_plan(
        self, series: Wanted, ask: _Ask, timeframe: str, limit: int, days: _Ask | None = None
    ) -> _Plan:
        step = to_ms(timeframe)
        ask_days = partial(days or ask, "1d") if step < DAY_MS else None
        source = GridSource(partial(ask, timeframe), ask_days, step, limit, self._now)

        async def fill(pool: TaskPool, pages: PageWriter, missing: list[Range], advance: Advance) -> int:
            return await fill_grid(pool, pages, source, missing, advance)

        # Only steps that are over: no open candle is asked for.
        end = self._now // step * step
        until = end if series.until is None else min(end, -(-series.until // step) * step)
        since = -(-series.since // step) * step
        if series.kind == "open_interest" and step > (bar := to_ms(series.timeframe)):
            # A value holds from its time on: bars that are shorter need the one before the first of them opens, and
            # the one of a step that is not over.
            since = -(-series.since // bar) * bar // step * step
            closed = self._now // bar * bar
            if series.until is not None:
                closed = min(closed, -(-series.until // bar) * bar)
            until = max(until, (closed - bar) // step * step + step)
        return _Plan((since, until), step, fill)

    def _funding_plan(self, series: Wanted) -> _Plan:
        hour = self._now // _HOUR_MS * _HOUR_MS
        settled = hour if self._now - hour < _SETTLEMENT_LAG_MS else self._now
        offered = self._client.exchange.capabilities
        source = IrregularSource(
            ask=partial(self._client.funding, series.instrument),
            limit=offered.funding_limit,
            newest_first=offered.funding_newest_first,
            settled=settled,
        )

        async def fill(pool: TaskPool, pages: PageWriter, missing: list[Range], advance: Advance) -> int:
            return await fill_irregular(pool, pages, source, missing, advance)

        # The first bar carries what was settled since the bar before it.
        since = series.since - to_ms(series.timeframe)
        until = self._now if series.until is None else min(series.until, self._now)
        return _Plan((since, until), 8 * _HOUR_MS, fill)

    async def _series(self, pool: TaskPool, series: Wanted, plan: _Plan, progress: Progress) -> FetchReport:
        """Fill what is missing of a series under its lock, and report."""
        kind = stored_kind(series.kind, series.timeframe)
        key = SeriesKey(self._client.name, series.instrument.symbol, kind)
        counts: Counter[str] = Counter()
        REQUEST_COUNTS.set(counts)
        new_rows, revisions = 0, []
        async with self._locked(key) as writer:
            stored = await in_thread(writer.read, *plan.span)
            missing = subtract(plan.span, stored.covered)
            if missing:
                recent = {} if series.kind == "funding" else self._recent(writer, plan.step, missing)
                pages = PageWriter(writer, recent)
                progress.expect(sum(end - start for start, end in missing) // plan.step)
                try:
                    new_rows = await plan.fill(
                        pool, pages, missing, lambda done: progress.advance(done // plan.step)
                    )
                finally:
                    pages.finish()
                revisions = pages.revisions
                stored = await in_thread(writer.read, *plan.span)
        stamps = stored.columns["timestamp"]
        on_grid = series.kind in ("bars", "mark")
        gaps = find_gaps(pd.DataFrame({"timestamp": stamps}), series.timeframe) if on_grid else []
        return FetchReport(
            symbol=series.instrument.symbol,
            timeframe=series.timeframe,
            kind=series.kind,
            rows=len(stamps),
            new_rows=new_rows,
            requests=counts.total(),
            first=int(stamps[0]) if len(stamps) else None,
            last=int(stamps[-1]) if len(stamps) else None,
            gaps=tuple(gaps),
            path=series_path(self._data_dir, key),
            revisions=tuple(revisions),
        )

    def _recent(self, writer: SeriesWriter, step: int, missing: list[Range]) -> dict[int, Table]:
        """Return, by the start of each missing range, the stored rows just before it, without a hole."""
        recent = {}
        for start, _ in missing:
            rows = dict(writer.read(start - self._recheck * step, start).columns)
            expected = start - step * np.arange(len(rows["timestamp"]), 0, -1)
            unbroken = np.flatnonzero(rows["timestamp"] != expected)
            first = int(unbroken[-1]) + 1 if len(unbroken) else 0
            recent[start] = {name: values[first:] for name, values in rows.items()}
        return recent

    @asynccontextmanager
    async def _locked(self, key: SeriesKey) -> AsyncIterator[SeriesWriter]:
        """Hold the series' lock; wait for another owner without keeping the other series waiting."""
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                with write_series(self._data_dir, key, timeout=0.0) as writer:
                    yield writer
                    return
            except Locked:
                if time.monotonic() >= deadline:
                    raise
            await asyncio.sleep(_LOCK_POLL_SECONDS)


def _title(wanted: Sequence[Wanted]) -> str:
    if len(wanted) != 1:
        return f"{len(wanted)} series"
    [series] = wanted
    what = series.timeframe if series.kind == "bars" else series.kind.replace("_", " ")
    return f"{series.instrument.symbol} {what}"
