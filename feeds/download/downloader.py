"""Download the missing rows of many series of one exchange into one store, concurrently."""

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
from numpy.typing import NDArray

from ..bars.frame import Gap, find_gaps
from ..bars.ranges import Range, subtract
from ..bars.settlements import PUBLICATION_LAG_MS, funding_holes, settlement_times
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

_RequestRows = Callable[[str, int, int], Awaitable[Table]]
Fill = Callable[[TaskPool, PageWriter, list[Range], Advance], Awaitable[int]]

_HOUR_MS = 3_600_000
_SERIES_AT_ONCE = 32
_REQUESTS_AT_ONCE = 32
_LOCK_SECONDS = 60.0
_LOCK_POLL_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A requested series of an instrument: `kind` is "bars", "mark", "funding" or "open_interest".

    `timeframe` is the size of the bars that the series belongs to. The range is [since, until) in UTC ms; `until` None
    is the exchange's present time.
    """

    instrument: Instrument
    kind: str
    timeframe: str
    since: int
    until: int | None


@dataclass(frozen=True, kw_only=True)
class FetchReport:
    """The result of a download of one series: what the store now holds of the requested range.

    `kind` is "bars", "mark", "funding" or "open_interest", `timeframe` the size of the bars. `rows` counts the stored
    rows of the range, `new_rows` those downloaded by this run with `requests` requests. `first` and `last` are UTC ms,
    None without rows. `gaps` are missing bars or settlements; `revisions` are stored values that were changed since.
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
    """Download series of one exchange into one store; `now` is the exchange's time in UTC ms.

    A request for new rows also includes up to `recheck` stored rows before them, where that costs no further request.
    Values that the exchange has changed are stored and reported.
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

    async def download(self, wanted: Sequence[Wanted]) -> list[FetchReport]:
        """Store the missing rows of each series and return one report per series, in the same order.

        If the exchange rejects one series, the others are still completed.

        Raises:
            BadSource: a range begins in the future.
            ExchangeError: the exchange fails to deliver; all rows received before are stored.
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
        # `closed_for` checks the time of every response, so a wrong server time cannot make an open candle count as
        # closed. The daily bars only show where the data begins, so there the open day is included.
        closed, days = partial(ask, instrument, closed_for=0), partial(ask, instrument)
        return self._grid_plan(series, closed, series.timeframe, offered.kline_limit, days)

    def _grid_plan(
        self, series: Wanted, ask: _RequestRows, timeframe: str, limit: int, days: _RequestRows | None = None
    ) -> _Plan:
        step = to_ms(timeframe)
        ask_days = partial(days or ask, "1d") if step < DAY_MS else None
        source = GridSource(partial(ask, timeframe), ask_days, step, limit, self._now)

        async def fill(pool: TaskPool, pages: PageWriter, missing: list[Range], advance: Advance) -> int:
            return await fill_grid(pool, pages, source, missing, advance)

        # Only finished steps: open candles are not requested.
        end = self._now // step * step
        until = end if series.until is None else min(end, -(-series.until // step) * step)
        since = -(-series.since // step) * step
        if series.kind == "open_interest" and step > (bar := to_ms(series.timeframe)):
            # A value is valid from its time on. Bars shorter than the step also need the last value before their first
            # open, and the value of the step that has not ended.
            since = -(-series.since // bar) * bar // step * step
            closed = self._now // bar * bar
            if series.until is not None:
                closed = min(closed, -(-series.until // bar) * bar)
            until = max(until, (closed - bar) // step * step + step)
        return _Plan((since, until), step, fill)

    def _funding_plan(self, series: Wanted) -> _Plan:
        # Settlements are at full hours, so only the newest hour's may still be published.
        hour = self._now // _HOUR_MS * _HOUR_MS
        settled = hour if self._now - hour < PUBLICATION_LAG_MS else self._now
        offered = self._client.exchange.capabilities
        source = IrregularSource(
            ask=partial(self._client.funding, series.instrument),
            limit=offered.funding_limit,
            newest_first=offered.funding_newest_first,
            settled=settled,
            lacks=_lacks_settlements,
        )

        async def fill(pool: TaskPool, pages: PageWriter, missing: list[Range], advance: Advance) -> int:
            return await fill_irregular(pool, pages, source, missing, advance)

        # The first bar includes the settlements since the bar before it.
        since = series.since - to_ms(series.timeframe)
        until = self._now if series.until is None else min(series.until, self._now)
        return _Plan((since, until), 8 * _HOUR_MS, fill)

    async def _series(self, pool: TaskPool, series: Wanted, plan: _Plan, progress: Progress) -> FetchReport:
        """Download the missing rows of a series while holding its lock, and report."""
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
        times = stored.columns["timestamp"]
        on_grid = series.kind in ("bars", "mark")
        gaps = find_gaps(pd.DataFrame({"timestamp": times}), series.timeframe) if on_grid else []
        gaps = _unsettled(times) if series.kind == "funding" else gaps
        return FetchReport(
            symbol=series.instrument.symbol,
            timeframe=series.timeframe,
            kind=series.kind,
            rows=len(times),
            new_rows=new_rows,
            requests=counts.total(),
            first=int(times[0]) if len(times) else None,
            last=int(times[-1]) if len(times) else None,
            gaps=tuple(gaps),
            path=series_path(self._data_dir, key),
            revisions=tuple(revisions),
        )

    def _recent(self, writer: SeriesWriter, step: int, missing: list[Range]) -> dict[int, Table]:
        """Return, by the start of each missing range, the contiguous stored rows just before it."""
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
        """Hold the series' lock; while another process holds it, the other series continue."""
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


def _lacks_settlements(times: NDArray[np.int64], start: int, end: int) -> bool:
    """Return whether an answer for [start, end) (UTC ms) with settlements at `times` [N] lacks one that is due.

    It may begin with its first settlement: nothing is settled before the listing.
    """
    due = int(times[0]) if len(times) else start
    return bool(funding_holes(settlement_times(times), due - 1, end - 1))


def _unsettled(times: NDArray[np.int64]) -> list[Gap]:
    """Return the settlements that are due between the first and the last of `times` [N], and absent."""
    settled = settlement_times(times)
    holes = funding_holes(settled, int(settled[0]) - 1, int(settled[-1])) if len(settled) else []
    return [Gap(start=low, end=high, missing=(high - low) // every) for (low, high), every in holes]


def _title(wanted: Sequence[Wanted]) -> str:
    if len(wanted) != 1:
        return f"{len(wanted)} series"
    [series] = wanted
    what = series.timeframe if series.kind == "bars" else series.kind.replace("_", " ")
    return f"{series.instrument.symbol} {what}"
