"""Replay recorded bars, then deliver live ones, so that a live run is repeatable: all data feeds advance in steps.

A step holds the bars of one call of the strategy. Bars with the same close are in one step, even if they arrive at
different times. A replay delivers exactly the recorded steps.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Any, NamedTuple

from scorenet.base.times import float_days, whole_ms

from ..exchange.candles import Values

__all__ = ["Replay", "ReplayedData", "Row", "Step"]

_AHEAD = 64  # recorded steps that are read together


class Row(NamedTuple):
    """One closed bar: `close_time` in UTC ms, prices in quote currency, volume and open interest in base units."""

    close_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    funding_rate: float
    open_interest: float


class Step(NamedTuple):
    """The bars of one call of the strategy, by symbol.

    `late`: a newer bar had closed before they arrived. `doubtful`: the exchange's stamps contradicted each other.
    """

    late: bool
    rows: dict[str, Row]
    doubtful: bool = False


class Replay:
    """Decide in each round which bars the data feeds of one Cerebro deliver: recorded steps first, then live bars.

    `grace` is how many seconds the first bar of a close waits for the bars of the other symbols. The run ends after
    `limit` new steps for which `counts` returns True, or when `ask_stop`, called every round, returns True.

    Attributes:
        step: the step being delivered, or the last one.
        replaying: whether recorded steps are still being delivered.
        ended: whether the run is over.
    """

    def __init__(
        self,
        recorded: Iterable[Step] = (),
        *,
        grace: float = 10.0,
        limit: int | None = None,
        ask_stop: Callable[[], bool] = lambda: False,
        counts: Callable[[Step], bool] = lambda step: True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.step = Step(False, {})
        self.replaying = True
        self.ended = False
        self._recorded: Iterator[Step] = iter(recorded)
        self._coming: deque[Step] = deque()
        self._grace, self._limit, self._ask_stop, self._counts = grace, limit, ask_stop, counts
        self._monotonic = monotonic
        self._members: list[ReplayedData] = []
        self._held: dict[str, Row] = {}
        self._doubtful: dict[str, bool] = {}
        self._left: set[str] = set()
        self._empty: set[str] = set()
        """The symbols that had no bar when they were asked since the last step."""
        self._deadline = 0.0
        self._leaving: dict[str, Row] = {}

    def join(self, member: "ReplayedData") -> None:
        """Add a data feed; the first one added begins each round."""
        self._members.append(member)

    def leads(self, member: "ReplayedData") -> bool:
        """Return whether `member` begins the rounds."""
        return self._members[0] is member

    def turn(self) -> None:
        """Begin a round."""
        self._leaving = {}
        if self._ask_stop() or self._limit == 0:
            self.ended = True
            return
        if self.replaying:
            if not self._coming:
                self._coming.extend(islice(self._recorded, _AHEAD))
            if self._coming:
                self.step = self._coming.popleft()
                self._leaving = dict(self.step.rows)
                return
            self.replaying = False
        symbols = {member.symbol for member in self._members}
        waiting = symbols - self._left - set(self._held)
        if not self._held:
            self.ended = not waiting
        elif not waiting or (waiting <= self._empty and self._monotonic() >= self._deadline):
            # One that has not been asked yet may have an older bar: after an outage symbols are behind by many bars.
            self._release()

    def _release(self) -> None:
        close = min(row.close_time for row in self._held.values())
        rows = {symbol: row for symbol, row in sorted(self._held.items()) if row.close_time == close}
        for symbol in rows:
            del self._held[symbol]
        self._deadline = self._monotonic() + self._grace
        self._empty.clear()
        marks = [self._doubtful.pop(symbol) for symbol in rows]
        self.step, self._leaving = Step(self._is_late(close), rows, any(marks)), dict(rows)
        if self._limit is not None and self._counts(self.step):
            self._limit -= 1

    def _is_late(self, close: int) -> bool:
        clocks = [(member.exchange_now(), member.step_ms) for member in self._members]
        return any(now is not None and now - close >= step for now, step in clocks)

    def coming(self, symbol: str) -> list[Row]:
        """Return the next recorded bars of `symbol`, as many as have been read; none once live bars are delivered."""
        return [step.rows[symbol] for step in self._coming if symbol in step.rows]

    def wants(self, symbol: str) -> bool:
        """Return whether the feed of `symbol` should be asked for its next bar."""
        busy = symbol in self._leaving or symbol in self._held or symbol in self._left
        return not (self.replaying or self.ended or busy)

    def hold(self, symbol: str, row: Row, *, doubtful: bool = False) -> None:
        """Keep a bar until the bars of the other symbols have arrived."""
        if not self._held:
            self._deadline = self._monotonic() + self._grace
        self._held[symbol], self._doubtful[symbol] = row, doubtful

    def lacks(self, symbol: str) -> None:
        """Note that the feed of `symbol` was asked and has no bar now."""
        self._empty.add(symbol)

    def leave(self, symbol: str) -> None:
        """Note that the feed of `symbol` has ended."""
        self._left.add(symbol)

    def take(self, symbol: str) -> Row | None:
        """Return the bar of `symbol` in this round on the first call, then None."""
        return self._leaving.pop(symbol, None)


class ReplayedData:
    """Mixin that makes a live data feed follow a `Replay`: `class Replayed(ReplayedData, ReplayData)`, then `follow`.

    The underlying feed starts as usual, but is asked for bars only after all recorded ones have been delivered.
    """

    replay: Replay
    symbol: str
    step_ms: int
    earlier_rates: Mapping[int, float]
    earlier_bars: Mapping[int, Values]
    _asked_again = False

    def follow(
        self,
        replay: Replay,
        symbol: str,
        step_ms: int,
        rates: Mapping[int, float] = MappingProxyType({}),
        unread: Mapping[int, Values] = MappingProxyType({}),
    ) -> None:
        """Follow `replay`; call it before the run.

        Of recorded bars by their open (UTC ms): `rates` are their funding rates, `unread` the values of those that may
        not have been compared with the history.
        """
        self.replay, self.symbol, self.step_ms = replay, symbol, step_ms
        self.earlier_rates, self.earlier_bars = rates, unread
        replay.join(self)

    def coming(self) -> list[Row]:
        """Return the next recorded bars, as many as have been read; none once live bars are delivered."""
        return self.replay.coming(self.symbol)

    def exchange_now(self) -> int | None:
        """Return the exchange's time in UTC ms, None if the feed has no clock; then no bar counts as late."""
        clock = getattr(super(), "exchange_now", None)
        return None if clock is None else clock()

    def _check(self, forcedata: Any = None) -> None:
        # Before a round ends, Backtrader asks a feed without a bar a second time.
        self._asked_again = forcedata is not None
        super()._check(forcedata=forcedata)  # type: ignore[misc]

    def _load(self) -> bool | None:
        again, self._asked_again = self._asked_again, False
        replay = self.replay
        if replay.leads(self) and not again:
            replay.turn()
        if replay.ended:
            return False
        if not again and replay.wants(self.symbol):
            found = super()._load()  # type: ignore[misc]
            if found:
                replay.hold(self.symbol, self._read_bar(), doubtful=getattr(self, "doubtful", False))
            elif found is False:
                replay.leave(self.symbol)
            else:
                replay.lacks(self.symbol)
        row = replay.take(self.symbol)
        if row is None:
            return None
        self._write_bar(row)
        return True

    def _read_bar(self) -> Row:
        lines: Any = self.lines  # type: ignore[attr-defined]
        close = whole_ms(lines.datetime[0])
        return Row(close, *(float(getattr(lines, name)[0]) for name in Row._fields[1:]))

    def _write_bar(self, row: Row) -> None:
        lines: Any = self.lines  # type: ignore[attr-defined]
        lines.datetime[0] = float_days(row.close_time)
        for name, value in zip(Row._fields[1:], row[1:], strict=True):
            getattr(lines, name)[0] = value
        lines.openinterest[0] = row.open_interest
