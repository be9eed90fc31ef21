"""What the store holds of a symbol: which ranges are missing, and the frame of the rest. No network here."""

import logging
import shlex
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..bars.frame import as_bars, join_funding, join_open_interest
from ..bars.ranges import Range, subtract
from ..bars.timeframes import to_ms
from ..bars.times import iso
from ..errors import BadSource, MissingData
from .keys import SeriesKey, open_interest_timeframe, series_folders, stored_kind
from .series_store import read_series, series_info

__all__ = ["History", "stored_name"]

_FOREVER = 1 << 62
_log = logging.getLogger("feeds")
_DAY_MS = 86_400_000
# What may lack at the end without harm: settlements stand on full hours, open interest holds for a day.
_TAIL_MS = {"funding": 3_600_000, "open_interest": _DAY_MS}


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
    """See the stored bars of a symbol and what belongs to them; ranges are half-open, in UTC ms."""

    data_dir: Path
    exchange: str
    symbol: str
    timeframe: str
    funding: bool
    open_interest: bool

    def span(self, since: int | None, until: int | None) -> Range:
        """Return the range asked for on the grid of the bars, its open ends filled in from what is stored.

        Raises:
            BadSource: nothing is left between the ends.
            MissingData: an end is open and nothing is stored.
        """
        step = to_ms(self.timeframe)
        if since is None or until is None:
            info = series_info(self.data_dir, self._key("bars"))
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
        """Return what is not stored of [start, end), by kind ("bars", "funding", "open_interest")."""
        lacking = {}
        for kind in self._kinds():
            span = self._needed(kind, start, end)
            holes = subtract(span, series_info(self.data_dir, self._key(kind)).covered)
            if holes and holes[-1][1] == span[1] and holes[-1][1] - holes[-1][0] < _TAIL_MS.get(kind, 0):
                holes.pop()
            if holes:
                lacking[kind] = holes
        return lacking

    def clip_warmup(self, start: int, since: int) -> int:
        """Return where in [start, since] the bars begin that are stored up to `since`; say so if it is later."""
        if start >= since:
            return start
        lacking = [holes[-1][1] for kind, holes in self.missing(start, since).items() if self._kept(kind)]
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
        """Make sure that [start, end) can be read without a download; a series never fetched is not missed.

        Raises:
            MissingData: says which ranges are missing and which command gets them.
        """
        for kind, holes in self.missing(start, end).items():
            if not self._kept(kind):
                continue
            info = series_info(self.data_dir, self._key(kind))
            # Spans of settlements begin a millisecond after a bar; people and the command line count in seconds.
            low, high = holes[0][0] // 1000 * 1000, holes[-1][1]
            what = f"{self.timeframe} bars" if kind == "bars" else kind.replace("_", " ")
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
        """Return the canonical bars that open in [start, end) with the stored series joined; holes stay.

        Raises:
            MissingData: there is no such bar.
        """
        stop = _FOREVER if end is None else end
        columns = read_series(self.data_dir, self._key("bars"), start, stop).columns
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
        joins = {"funding": join_funding, "open_interest": join_open_interest}
        for kind in self._kinds():
            if kind == "bars" or not self._kept(kind):
                continue
            # A day more at the front: what held at the first bar was recorded before it.
            rows = read_series(self.data_dir, self._key(kind), start - _DAY_MS, stop).columns
            bars = joins[kind](bars, pd.DataFrame(dict(rows)))
        return bars

    def _kept(self, kind: str) -> bool:
        """Return whether the series counts: bars always, the others if something of them is stored."""
        return kind == "bars" or bool(series_info(self.data_dir, self._key(kind)).covered)

    def _kinds(self) -> list[str]:
        perpetual = ":" in self.symbol
        wanted = (
            ("bars", True),
            ("funding", self.funding and perpetual),
            ("open_interest", self.open_interest and perpetual),
        )
        return [kind for kind, use in wanted if use]

    def _key(self, kind: str) -> SeriesKey:
        return SeriesKey(self.exchange, self.symbol, stored_kind(kind, self.timeframe))

    def _needed(self, kind: str, start: int, end: int) -> Range:
        step = to_ms(self.timeframe)
        if kind == "funding":
            # The first bar carries what was settled after the open before it, the last one what was at its own.
            return start - step + 1, end - step + 1
        if kind == "open_interest":
            # The value as of the first open may have been published before it.
            every = to_ms(open_interest_timeframe(self.timeframe))
            return start // every * every, (end - step) // every * every + every
        return start, end

    def _command(self, since: int | None, until: int | None) -> str:
        parts = ["scorenet", "fetch", self.symbol, "--timeframe", self.timeframe]
        parts += ["--since", "DATE" if since is None else iso(since)]
        parts += [] if until is None else ["--until", iso(until)]
        parts += [f"--{kind.replace('_', '-')}" for kind in self._kinds() if kind != "bars"]
        return shlex.join([*parts, "--data-dir", str(self.data_dir)])
