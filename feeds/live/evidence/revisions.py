"""Compare delivered bars with the history, which decides: values that differ are stored, reported, and evidence.

A bar that a push has confirmed is delivered at once, before the history can be asked. So the history is read once
afterwards: a push whose values are wrong must not stay unnoticed, and stored, for ever.
"""

from collections.abc import Awaitable, Callable

from ...bars.times import iso
from ...errors import ExchangeRejected, ExchangeUnavailable
from ...exchange.candles import Values
from ..announcer import Announcer
from ..clock import ExchangeClock
from ..writer import LiveStore
from .history import PAGE, BarHistory, Delivered

__all__ = ["Revisions"]

# Time from a bar's close to its comparison with the history, and between two attempts (ms of the exchange's clock). No
# attempt begins this close to the close of a bar: a history that answers slowly must not delay the bar.
_COMPARE_MS = 20_000
# A trade that is counted late changes the volume by less, at the same prices: the bar was closed, and trading goes on.
_VOLUME_SHARE = 0.01


class Revisions:
    """The delivered bars of one series; `step` is its bar size in ms.

    `contradict` is called with the reason when a delivered bar has changed.

    Attributes:
        delivered: the last delivered bars.
        due: time of the next comparison (UTC ms), while a delivered bar has not been seen in the history.
    """

    def __init__(
        self,
        clock: ExchangeClock,
        store: LiveStore,
        announcer: Announcer,
        step: int,
        contradict: Callable[[str], Awaitable[None]],
    ) -> None:
        self.delivered = Delivered()
        self.due = 0
        self._clock, self._store, self._announcer, self._step = clock, store, announcer, step
        self._contradict = contradict

    def add(self, start: int, values: Values, *, pushed: bool) -> None:
        """Note a delivered bar; `pushed`: the history has not shown it."""
        waiting = bool(self.delivered.unread)
        self.delivered.add(start, values, pushed=pushed)
        if pushed and not waiting:  # bars that come quickly must not put off the comparison of those before
            self.due = start + self._step + min(_COMPARE_MS, self._step // 2)

    async def compare(self, history: BarHistory) -> None:
        """Read the pushed bars in the history; if that fails or lacks one, it is tried again."""
        self._put_off()
        starts = self.delivered.unread
        try:
            first = min(starts)
            rows = await history.rows(first, min(max(starts), first + PAGE * self._step) + self._step)
        except (ExchangeUnavailable, ExchangeRejected) as error:
            self._announcer.warn(f"delivered bars could not be compared with the history: {error}")
            return
        for start, values in rows:
            await self.revise(start, values)

    def _put_off(self) -> None:
        pause = min(_COMPARE_MS, self._step // 2)
        due = self._clock.now() + pause
        opened, passed = due - due % self._step, due % self._step
        late = passed > self._step - pause
        self.due = max(due, opened + pause) if not late else opened + self._step + pause

    async def recheck(self, history: BarHistory) -> None:
        """Read delivered bars of which a push has sent another version, until the history decides."""
        for start in sorted(self.delivered.suspects):
            for found, values in await history.rows(start, start + self._step):
                await self.revise(found, values)

    async def revise(self, start: int, values: Values) -> None:
        """Store the history's version of a delivered bar; if it differs from the delivered one, report it.

        It is evidence against the exchange's stamps unless only the volume differs, by less than 1 %.
        """
        before = self.delivered.revise(start, values)
        if before is None:
            return
        self._store.add_bar(start, values, self._step)
        text = f"the bar of {iso(start)} was delivered as {before} and is now {values}"
        await self._announcer.report("revised", text, start=start, delivered=list(before), now=list(values))
        if not _is_late_trade(before, values):
            await self._contradict(f"the bar of {iso(start)} has changed after its delivery")


def _is_late_trade(before: Values, now: Values) -> bool:
    return before[:4] == now[:4] and abs(now[4] - before[4]) < _VOLUME_SHARE * max(now[4], before[4])
