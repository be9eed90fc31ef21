"""Check every stamp of the exchange before its clock is set by it; what does not fit is evidence."""

import asyncio

from ..bars.times import iso
from ..exchange.candles import Candle
from ..exchange.market import AsyncMarket
from .announcer import Announcer
from .clock import ExchangeClock
from .evidence import Doubt, StampBounds

__all__ = ["Stamps"]

_RESYNC = 600.0


class Stamps:
    """The stamps of one series; `step` is its bar size in ms, `slack` as in `LiveSettings`."""

    def __init__(
        self, clock: ExchangeClock, doubt: Doubt, announcer: Announcer, step: int, slack: float
    ) -> None:
        self._clock, self._doubt, self._announcer, self._step = clock, doubt, announcer, step
        self._slack = slack
        self._bounds = StampBounds(clock.timer, clock.speed, slack)
        self._synchronise_at = 0.0

    async def synchronise(self, rest: AsyncMarket) -> None:
        """Set the clock by the exchange's time; an answer that does not fit is asked for again."""
        moved = await self._set_clock(rest)
        self._synchronise_at = asyncio.get_running_loop().time() + _RESYNC
        if moved:
            await self.contradict(f"the exchange's time moved by {moved:+.1f} s against this machine's timer")
            await self._set_clock(rest)

    async def _set_clock(self, rest: AsyncMarket) -> float:
        sent = self._clock.timer()
        stamp = await rest.server_time()
        self._clock.set(stamp)
        return self._bounds.excess(stamp, sent)

    async def synchronise_if_due(self, rest: AsyncMarket) -> bool:
        """Synchronise every ten minutes; return whether it was done now."""
        if asyncio.get_running_loop().time() < self._synchronise_at:
            return False
        await self.synchronise(rest)
        return True

    async def accepts(self, candle: Candle, rest: AsyncMarket) -> bool:
        """Return whether a candle's stamp fits the exchange's time; move the clock forward by it."""
        lead = self._bounds.excess(candle.stamp)
        if lead:
            await self.contradict(f"the stamp of a candle is {lead:.1f} s ahead of this machine's timer")
        if lead or not self._clock.move_forward(candle.stamp):
            await self.synchronise(rest)
            if self._bounds.excess(candle.stamp) or not self._clock.move_forward(candle.stamp):
                self._announcer.warn(f"received a candle with a time in the future, {iso(candle.stamp)}")
                return False
        late = (candle.stamp - candle.start - self._step) / (1000.0 * self._clock.speed)
        if not candle.closed and late >= self._slack:
            await self.contradict(f"a bar was still pushed as open {late:.1f} s after its end")
        return True

    async def contradict(self, reason: str, *, delivered: bool = False) -> None:
        """Note a contradiction; report the first one."""
        if self._doubt.contradict(reason, delivered=delivered):
            await self._announcer.report(
                "doubt", f"{reason}: no trades until bars agree again", reason=reason
            )

    async def contradict_delivered(self, reason: str) -> None:
        """Note that a delivered bar has changed."""
        await self.contradict(reason, delivered=True)
