"""What the datas of one live account deliver together, step by step: recorded bars first, then new ones.

Bars of the same close reach a strategy in one call, however far apart their feeds bring them, and a recorded run is
delivered in exactly the steps in which it was seen: that is what makes a live run repeatable.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from scorenet.base.times import float_days, whole_ms

__all__ = ["Row", "Step", "Tape", "Taped"]


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
    """The rows of one call of the strategy by symbol; `late` when a newer bar had closed before they came."""

    late: bool
    rows: dict[str, Row]


class Tape:
    """Decide round by round which bars the datas of one Cerebro deliver.

    `grace` is how many seconds the first bar of a close waits for those of the other symbols, `limit` after how
    many new steps the run ends, `ask_stop` is asked every round whether it ends now.

    Attributes:
        step: what is being delivered, or was last.
        replaying: whether recorded steps are still being delivered.
        ended: whether all is over.
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
        self._grace, self._limit, self._ask_stop, self._counts = grace, limit, ask_stop, counts
        self._monotonic = monotonic
        self._members: list[Taped] = []
        self._held: dict[str, Row] = {}
        self._left: set[str] = set()
        self._deadline = 0.0
        self._leaving: dict[str, Row] = {}

    def join(self, member: "Taped") -> None:
        """Add a data; the first one to join begins each round."""
        self._members.append(member)

    def leads(self, member: "Taped") -> bool:
        """Say whether `member` begins the rounds."""
        return self._members[0] is member

    def turn(self) -> None:
        """Begin a round."""
        self._leaving = {}
        if self._ask_stop() or self._limit == 0:
            self.ended = True
            return
        if self.replaying:
            step = next(self._recorded, None)
            if step is not None:
                self.step, self._leaving = step, dict(step.rows)
                return
            self.replaying = False
        symbols = {member.symbol for member in self._members}
        waiting = symbols - self._left - set(self._held)
        if not self._held:
            self.ended = not waiting
        elif not waiting or self._monotonic() >= self._deadline:
            self._release()

    def _release(self) -> None:
        close = min(row.close_time for row in self._held.values())
        rows = {symbol: row for symbol, row in sorted(self._held.items()) if row.close_time == close}
        for symbol in rows:
            del self._held[symbol]
        self._deadline = self._monotonic() + self._grace
        self.step, self._leaving = Step(self._is_late(close), rows), dict(rows)
        if self._limit is not None and self._counts(self.step):
            self._limit -= 1

    def _is_late(self, close: int) -> bool:
        clocks = [(member.exchange_now(), member.step_ms) for member in self._members]
        return any(now is not None and now - close >= step for now, step in clocks)

    def wants(self, symbol: str) -> bool:
        """Say whether the next bar of `symbol` is asked for."""
        busy = symbol in self._leaving or symbol in self._held or symbol in self._left
        return not (self.replaying or self.ended or busy)

    def hold(self, symbol: str, row: Row) -> None:
        """Keep a bar until those of the other symbols are there."""
        if not self._held:
            self._deadline = self._monotonic() + self._grace
        self._held[symbol] = row

    def leave(self, symbol: str) -> None:
        """Note that the feed of `symbol` is over."""
        self._left.add(symbol)

    def take(self, symbol: str) -> Row | None:
        """Return the bar of `symbol` in this round, once."""
        return self._leaving.pop(symbol, None)


class Taped:
    """Put a live data on the tape of its account: `class TapedReplay(Taped, ReplayData)`, then set `tape`.

    The data underneath is started as usual, and asked for bars only when the recorded ones have been delivered.
    """

    tape: Tape
    symbol: str
    step_ms: int
    _asked_again = False

    def put_on(self, tape: Tape, symbol: str, step_ms: int) -> None:
        """Join a tape; before the run."""
        self.tape, self.symbol, self.step_ms = tape, symbol, step_ms
        tape.join(self)

    def exchange_now(self) -> int | None:
        """Return the exchange's time in UTC ms, None where the data has no clock: then no bar is late."""
        clock = getattr(super(), "exchange_now", None)
        return None if clock is None else clock()

    def _check(self, forcedata: Any = None) -> None:
        # Backtrader asks a data that had no bar once more before the round is over.
        self._asked_again = forcedata is not None
        super()._check(forcedata=forcedata)  # type: ignore[misc]

    def _load(self) -> bool | None:
        again, self._asked_again = self._asked_again, False
        tape = self.tape
        if tape.leads(self) and not again:
            tape.turn()
        if tape.ended:
            return False
        if not again and tape.wants(self.symbol):
            found = super()._load()  # type: ignore[misc]
            if found:
                tape.hold(self.symbol, self._read_bar())
            elif found is False:
                tape.leave(self.symbol)
        row = tape.take(self.symbol)
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
