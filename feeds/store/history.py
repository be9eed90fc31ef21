"""Read a symbol's stored history as frames and find its missing ranges, without network access."""

import logging
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..bars.frame import as_bars, join_funding, join_mark, join_open_interest
from ..bars.joins import check_mark
from ..bars.ranges import Range, clip, merge, subtract
from ..bars.settlements import PUBLICATION_LAG_MS, funding_holes, settlement_times
from ..bars.timeframes import to_ms
from ..bars.times import iso
from ..errors import BadSource, MissingData
from .chunks import Columns
from .damage import check_whole
from .keys import SeriesKey, open_interest_timeframe, series_folders, stored_kind
from .series_store import SeriesInfo, read_series, series_info

__all__ = ["History", "stored_name"]

_FOREVER = 1 << 62
_log = logging.getLogger("feeds")
_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000
# A column of bars holds 0.0 where a settlement had the rate 0.0, so an import may lack two of them in a row.
_MOST_ZEROS = 2


def stored_name(data_dir: str | Path, exchange: str, symbol: str) -> str:
    """Return the stored symbol that an alias means ("BTCUSDT": "BTC/USDT:USDT"), else the symbol itself."""
    if "/" not in symbol:
        for _, key in series_folders(data_dir):
            pair, _, settle = key.symbol.partition(":")
            if key.exchange == exchange and settle and pair.replace("/", "") == symbol:
                return key.symbol
    return symbol


@dataclass(frozen=True, kw_only=True)
class History:
    """The stored bars, funding, open interest and mark prices of a symbol; ranges are half-open, in UTC ms.

    Mark prices are used if any of them are stored, and then every bar needs its own.
    """

    data_dir: Path
    exchange: str
    symbol: str
    timeframe: str
    funding: bool
    open_interest: bool
    mark: bool = False

    def span(self, since: int | None, until: int | None) -> Range:
        """Return the requested range on the grid of the bars; a missing end is taken from the stored bars.

        Raises:
            BadSource: the range is empty.
            MissingData: an end is missing and no bars are stored.
            Damaged: an end is missing, and a file that may hold it is damaged.
        """
        step = to_ms(self.timeframe)
        if since is None or until is None:
            info = series_info(self.data_dir, self._key("bars"))
            self._check_whole(
                "bars", info, 0 if since is None else since, _FOREVER if until is None else until
            )
            if info.first is None or info.last is None:
                raise MissingData(
                    f"no {self.timeframe} bars of {self.symbol} are stored in {self.data_dir}; "
                    f"get them with: {self._command(since, until)}"
                )
            since = info.first if since is None else since
            until = info.last + step if until is None else until
        start, end = -(-since // step) * step, -(-until // step) * step
        if start >= end:
            raise BadSource(f"expected since < until, found since {iso(since)} and until {iso(until)}")
        return start, end

    def missing(self, start: int, end: int) -> dict[str, list[Range]]:
        """Return the ranges of [start, end) that are not known, by kind ("bars", "funding", "open_interest").

        A range without a full hour has no settlement, so it is never missing.
        """
        lacking = {}
        for kind in self._kinds():
            span = self._needed(kind, start, end)
            holes = subtract(span, series_info(self.data_dir, self._key(kind)).covered)
            if kind == "funding":
                holes = [(low, high) for low, high in holes if -(-low // _HOUR_MS) * _HOUR_MS < high]
            if holes:
                lacking[kind] = holes
        return lacking

    def implausible(self, start: int, end: int) -> dict[str, list[Range]]:
        """Return the missing ranges that stored rows do not make plausible; used where nothing can be downloaded.

        Settlements at the usual interval make plausible that there is none between them. An open interest is valid for
        a day, and the first bar may have none.
        """
        lacking = self.missing(start, end)
        for kind in ("funding", "open_interest"):
            if kind in lacking and self._kept(kind):
                low, high = self._needed(kind, start, end)
                rows = read_series(self.data_dir, self._key(kind), low - _DAY_MS, high).columns["timestamp"]
                if kind == "funding":
                    gaps = _due(rows, (low, high))
                else:
                    gaps = _outdated(rows, (low, high), to_ms(open_interest_timeframe(self.timeframe)))
                found = [part for hole in lacking.pop(kind) for part in clip(gaps, *hole)]
                lacking |= {kind: found} if found else {}
        return lacking

    def clip_warmup(self, start: int, since: int) -> int:
        """Return the start in [start, since] of the stored bars that reach `since`; warn if it is after `start`."""
        if start >= since:
            return start
        lacking = [holes[-1][1] for kind, holes in self.implausible(start, since).items() if self._kept(kind)]
        step = to_ms(self.timeframe)
        first = min(since, -(-max(lacking, default=start) // step) * step)
        if first > start:
            _log.warning(
                "%s: %d of %d warm-up bars before %s are stored",
                self.symbol,
                (since - first) // step,
                (since - start) // step,
                iso(since),
            )
        return first

    def refuse_missing(self, start: int, end: int) -> None:
        """Check that [start, end) can be read without a download; series that were never downloaded are not required.

        Raises:
            MissingData: the message names the missing ranges and the command that downloads them.
        """
        for kind, holes in self.implausible(start, end).items():
            if not self._kept(kind):
                continue
            info = series_info(self.data_dir, self._key(kind))
            # Ranges of settlements begin a millisecond after a bar; the message uses whole seconds.
            low, high = holes[0][0] // 1000 * 1000, holes[-1][1]
            what = self._named(kind)
            stored = (
                "nothing"
                if info.first is None or info.last is None
                else f"{iso(info.first)} to {iso(info.last)}"
            )
            raise MissingData(
                f"{what} of {self.symbol} from {iso(low)} to {iso(high)} are not stored in {self.data_dir} "
                f"(stored: {stored}); get them with: {self._command(low, high)}"
            )

    def frame(self, start: int, end: int | None) -> pd.DataFrame:
        """Return the canonical bars that open in [start, end) with the stored series joined; gaps stay.

        Raises:
            MissingData: there is no such bar.
            Damaged: a damaged file has lost some of the rows; it has been moved aside.
        """
        stop = _FOREVER if end is None else end
        columns = self._read("bars", start, stop)
        if not len(columns["timestamp"]):
            until = "now" if end is None else iso(end)
            raise MissingData(
                f"{self.exchange} has no {self.timeframe} bars of {self.symbol} from {iso(start)} to {until}"
            )
        bars = as_bars(
            pd.DataFrame(dict(columns)),
            symbol=self.symbol,
            timeframe=self.timeframe,
            gaps="keep",
            source=f"{self.exchange}:{self.symbol}@{self.timeframe}",
        )
        joins = {"funding": join_funding, "open_interest": join_open_interest, "mark": join_mark}
        stop = int(columns["timestamp"][-1]) + to_ms(self.timeframe)
        for kind in self._kinds():
            if kind == "bars" or not self._kept(kind):
                continue
            rows = self._read(kind, start, stop)
            bars = joins[kind](bars, pd.DataFrame(dict(rows)))
            if kind == "funding":
                self._say_unsettled(rows["timestamp"], self._needed(kind, start, stop))
            if kind == "mark":
                check_mark(bars, f"the stored mark prices of {self.symbol}")
        return bars

    def _say_unsettled(self, times: NDArray[np.int64], span: Range) -> None:
        """Warn of settlements that are due and that the exchange, or an import, did not have: they cost nothing."""
        # The newest one may not be published yet.
        holes = _due(times, (span[0], span[1] - PUBLICATION_LAG_MS))
        if holes:
            low, high = holes[0][0] // 1000 * 1000, holes[0][1] // 1000 * 1000
            more = f" and in {len(holes) - 1} other place(s)" if len(holes) > 1 else ""
            _log.warning(
                "%s: no settlement is known from %s to %s%s, where some are due; the account pays none there. To ask "
                "again, delete %s and download",
                self.symbol,
                iso(low),
                iso(high),
                more,
                series_info(self.data_dir, self._key("funding")).path,
            )

    def _read(self, kind: str, start: int, end: int) -> Columns:
        """Return the stored rows that bars in [start, end) need; a file that is damaged is an error."""
        # One more day at the start: the open interest of the first bar was published before it.
        low = start if kind == "bars" else start - _DAY_MS
        rows = read_series(self.data_dir, self._key(kind), low, end).columns
        self._check_whole(kind, series_info(self.data_dir, self._key(kind)), *self._needed(kind, start, end))
        return rows

    def _check_whole(self, kind: str, info: SeriesInfo, start: int, end: int) -> None:
        what = f"{self._named(kind)} of {self.symbol}"
        check_whole(
            info, start, end, what, lambda low, high: f"get them again with: {self._command(low, high)}"
        )

    def _named(self, kind: str) -> str:
        return f"{self.timeframe} bars" if kind == "bars" else kind.replace("_", " ")

    def uses_mark(self) -> bool:
        """Return whether mark prices are wanted and any are stored."""
        return self.mark and ":" in self.symbol and self._kept("mark")

    def _kept(self, kind: str) -> bool:
        """Return whether the series is used: bars always, the others if any of their rows are or were stored."""
        if kind == "bars":
            return True
        info = series_info(self.data_dir, self._key(kind))
        return bool(info.covered or info.damaged)

    def _kinds(self) -> list[str]:
        perpetual = ":" in self.symbol
        wanted = (
            ("bars", True),
            ("funding", self.funding and perpetual),
            ("open_interest", self.open_interest and perpetual),
            ("mark", self.uses_mark()),
        )
        return [kind for kind, use in wanted if use]

    def _key(self, kind: str) -> SeriesKey:
        return SeriesKey(self.exchange, self.symbol, stored_kind(kind, self.timeframe))

    def _needed(self, kind: str, start: int, end: int) -> Range:
        step = to_ms(self.timeframe)
        if kind == "funding":
            # The first bar includes settlements after the previous bar's open; the last one those at its own open.
            return start - step + 1, end - step + 1
        if kind == "open_interest":
            # The value as of the first open may have been published before it.
            every = to_ms(open_interest_timeframe(self.timeframe))
            return start // every * every, (end - step) // every * every + every
        return start, end

    def _command(self, since: int | None, until: int | None) -> str:
        parts = ["scorenet", "fetch", self.symbol, "--exchange", self.exchange, "--timeframe", self.timeframe]
        parts += ["--since", "DATE" if since is None else iso(since)]
        parts += [] if until is None else ["--until", iso(until)]
        parts += [f"--{kind.replace('_', '-')}" for kind in self._kinds() if kind != "bars"]
        return shlex.join([*parts, "--data-dir", str(self.data_dir)])


def _due(times: NDArray[np.int64], span: Range) -> list[Range]:
    """Return the ranges of a span in which settlements are due and absent; `times` [N] are stored ones."""
    holes = funding_holes(settlement_times(times), span[0] - 1, span[1] - 1, most_missing=_MOST_ZEROS)
    return [hole for hole, _ in holes]


def _outdated(times: NDArray[np.int64], span: Range, every: int) -> list[Range]:
    """Return the ranges of a span in which the last open interest is older than a day; `times` [N] are stored ones.

    The value at the start of the span, up to `every` ms, may be older than the stored ones.
    """
    valid = [(int(time), int(time) + _DAY_MS) for time in times]
    return subtract(span, merge([*valid, (span[0], span[0] + every)]))
