"""One exchange, one store: bring the series of an instrument up to what is asked for."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from feeds.bars import Gap, find_gaps
from feeds.errors import BadSource
from feeds.exchange import FUNDING_LIMIT, KLINE_LIMIT, OPEN_INTEREST_LIMIT, Bybit
from feeds.instruments import Instrument
from feeds.pager import DAY_MS, Advance, GridSource, fill_backward, fill_grid
from feeds.ranges import Range, subtract
from feeds.rows import Table
from feeds.series import SeriesKey, open_interest_timeframe, series_path, stored_kind
from feeds.stamps import iso
from feeds.store import SeriesWriter, write_series
from feeds.timeframes import to_ms

__all__ = ["Downloader", "FetchReport"]

Fill = Callable[[SeriesWriter, list[Range], Advance], int]

_HOUR_MS = 3_600_000
# Settlements stand on full hours; the newest one is on record a few minutes later.
_SETTLEMENT_LAG_MS = 600_000


@dataclass(frozen=True, kw_only=True)
class FetchReport:
    """Say what is stored of one series in the range asked for, and what it took.

    `kind` is "bars", "funding" or "open_interest", `timeframe` the size of the bars; `rows` counts what the
    range holds, `new_rows` what this run brought with `requests` requests; `first` and `last` are UTC ms,
    None without rows; `gaps` are the holes between bars.
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


class Downloader:
    """Bring series of one exchange into one store; times are UTC ms, `until` None is the exchange's now."""

    def __init__(self, client: Bybit, data_dir: str | Path, *, progress: bool = True) -> None:
        self._client = client
        self._data_dir = Path(data_dir)
        self._progress = progress

    def all(
        self,
        instrument: Instrument,
        timeframe: str,
        since: int,
        until: int | None,
        *,
        funding: bool,
        open_interest: bool,
    ) -> list[FetchReport]:
        """Store bars and, of a linear instrument, what else is asked for; return a report a series."""
        reports = [self.bars(instrument, timeframe, since, until)]
        if instrument.category == "linear" and funding:
            # The first bar carries what was settled since the bar before it.
            reports.append(self.funding(instrument, timeframe, since - to_ms(timeframe), until))
        if instrument.category == "linear" and open_interest:
            reports.append(self.open_interest(instrument, timeframe, since, until))
        return reports

    def bars(self, instrument: Instrument, timeframe: str, since: int, until: int | None) -> FetchReport:
        """Store the closed bars that open in [since, until)."""
        fill = self._grid_fill(partial(self._client.klines, instrument), timeframe, KLINE_LIMIT)
        span = self._closed(timeframe, since, until)
        return self._bring(instrument, "bars", timeframe, span, to_ms(timeframe), fill)

    def open_interest(
        self, instrument: Instrument, timeframe: str, since: int, until: int | None
    ) -> FetchReport:
        """Store the open interest in [since, until), as often as bars of `timeframe` need it."""
        every = open_interest_timeframe(timeframe)
        fill = self._grid_fill(partial(self._client.open_interest, instrument), every, OPEN_INTEREST_LIMIT)
        span = self._closed(every, since, until)
        return self._bring(instrument, "open_interest", timeframe, span, to_ms(every), fill)

    def funding(self, instrument: Instrument, timeframe: str, since: int, until: int | None) -> FetchReport:
        """Store the settlements in [since, until), however far apart they are."""
        settled = self._now // _HOUR_MS * _HOUR_MS
        if self._now - settled >= _SETTLEMENT_LAG_MS:
            settled = self._now
        span = (since, settled if until is None else min(until, settled))
        ask = partial(self._client.funding, instrument)

        def fill(writer: SeriesWriter, missing: list[Range], advance: Advance) -> int:
            return fill_backward(writer, ask, FUNDING_LIMIT, missing, advance)

        return self._bring(instrument, "funding", timeframe, span, DAY_MS, fill)

    @cached_property
    def _now(self) -> int:
        return self._client.server_time()

    def _grid_fill(self, ask: Callable[[str, int, int], Table], timeframe: str, limit: int) -> Fill:
        step = to_ms(timeframe)
        ask_days = partial(ask, "1d") if step < DAY_MS else None
        source = GridSource(partial(ask, timeframe), ask_days, step, limit, self._now)

        def fill(writer: SeriesWriter, missing: list[Range], advance: Advance) -> int:
            return fill_grid(writer, source, missing, advance)

        return fill

    def _closed(self, timeframe: str, since: int, until: int | None) -> Range:
        """Return the range of the steps in [since, until) that are over: no open candle is asked for."""
        if since >= self._now:
            raise BadSource(
                f"expected since in the past, found {iso(since)}; at the exchange it is {iso(self._now)}"
            )
        step = to_ms(timeframe)
        end = self._now // step * step
        return -(-since // step) * step, end if until is None else min(end, -(-until // step) * step)

    def _bring(
        self, instrument: Instrument, kind: str, timeframe: str, span: Range, unit_ms: int, fill: Fill
    ) -> FetchReport:
        """Fill what is missing of `span` under the series' lock and report; the bar counts in `unit_ms`."""
        key = SeriesKey(self._client.name, instrument.symbol, stored_kind(kind, timeframe))
        before, new_rows = self._client.counts.total(), 0
        with write_series(self._data_dir, key) as writer:
            missing = subtract(span, writer.read(*span).covered)
            if missing:
                with tqdm(
                    total=sum(end - start for start, end in missing) // unit_ms,
                    desc=f"{instrument.symbol} {timeframe if kind == 'bars' else kind.replace('_', ' ')}",
                    unit=" days" if unit_ms == DAY_MS else " bars",
                    file=sys.stderr,
                    disable=not self._progress,
                ) as bar:
                    new_rows = fill(writer, missing, lambda done: bar.update(done // unit_ms))
            stamps = writer.read(*span).columns["timestamp"]
        gaps = find_gaps(pd.DataFrame({"timestamp": stamps}), timeframe) if kind == "bars" else []
        return FetchReport(
            symbol=instrument.symbol,
            timeframe=timeframe,
            kind=kind,
            rows=len(stamps),
            new_rows=new_rows,
            requests=self._client.counts.total() - before,
            first=int(stamps[0]) if len(stamps) else None,
            last=int(stamps[-1]) if len(stamps) else None,
            gaps=tuple(gaps),
            path=series_path(self._data_dir, key),
        )
