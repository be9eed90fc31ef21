"""Funding and open interest of a bar that has just closed, equal to what the store joins to it later."""

import asyncio
import logging
from collections.abc import Callable

from ..bars.settlements import LATE_MS, settlement_times
from ..bars.timeframes import to_ms
from ..bars.times import iso
from ..errors import ExchangeUnavailable
from ..exchange.market import AsyncMarket
from ..exchange.rows import Table
from ..instruments import Instrument
from ..store.keys import open_interest_timeframe
from .clock import ExchangeClock

__all__ = ["Extras"]

_log = logging.getLogger(__name__)

_HOUR_MS, _DAY_MS = 3_600_000, 86_400_000
# Number of requests for a value that is due, and the pause between them (exchange seconds). After the last request the
# bar is delivered without the value. The timeout of one request is `_TIMEOUT` (machine seconds).
_TRIES = 3
_PAUSE = 1.0
_TIMEOUT = 3.0
# A settlement that the exchange has not recorded after this time did not happen.
_OVERDUE_MS = 1_800_000

StoreRows = Callable[[str, Table, int, int], None]
"""Function that stores the rows of a kind ("funding", "open_interest") for [start, end), UTC ms."""


class Extras:
    """Provide the funding rate and the open interest of bars as they close.

    A settlement at 08:00 belongs to the bar that opens at 08:00; if it is published too late, to the next bar.
    Open interest is the last value published up to the bar's open, at most a day old.
    """

    def __init__(
        self,
        instrument: Instrument,
        timeframe: str,
        clock: ExchangeClock,
        store_rows: StoreRows,
        *,
        funding: bool,
        open_interest: bool,
        settled: int,
    ) -> None:
        self._instrument = instrument
        self._clock = clock
        self._store_rows = store_rows
        contract = instrument.category != "spot"
        self._funding = funding and contract
        self._interest = open_interest and contract
        self._settled = settled
        """Every settlement up to this time (UTC ms) has been assigned to a bar."""
        self._rates: dict[int, float] = {}
        self._every = open_interest_timeframe(timeframe)
        self._interest_at, self._interest_value = 0, 0.0

    async def prepare(self, rest: AsyncMarket, start: int) -> bool:
        """Request the missing values of the bar that opens at `start`; return whether it is complete."""
        try:
            async with asyncio.timeout(_TIMEOUT):
                settled = not self._funding or await self._ask_funding(rest, start)
                return (not self._interest or await self._ask_interest(rest, start)) and settled
        except (ExchangeUnavailable, TimeoutError) as error:
            reason = str(error) or f"no response within {_TIMEOUT:g} s"
            _log.warning("%s, funding and open interest: %s", self._instrument.symbol, reason)
            return False

    async def of(self, rest: AsyncMarket, start: int) -> tuple[float, float]:
        """Return the funding rate (fraction) and open interest (base units) of the bar that opens at `start` (UTC ms).

        Unknown values are 0.0.
        """
        for attempt in range(_TRIES):
            if await self.prepare(rest, start):
                break
            if attempt + 1 < _TRIES:
                await asyncio.sleep(self._clock.seconds(_PAUSE))
        rate = sum(self._rates.pop(stamp) for stamp in sorted(self._rates) if stamp <= start)
        fresh = start - self._interest_at <= _DAY_MS
        return rate, self._interest_value if fresh else 0.0

    async def _ask_funding(self, rest: AsyncMarket, start: int) -> bool:
        due = start // _HOUR_MS * _HOUR_MS  # settlements are at full hours
        if due <= self._settled:
            return True
        low = self._settled + 1
        table = await rest.funding(self._instrument, low, due + 1 + LATE_MS)
        table = {**table, "timestamp": settlement_times(table["timestamp"])}
        found = dict(zip(table["timestamp"].tolist(), table["funding_rate"].tolist(), strict=True))
        self._rates |= found
        complete = due in found or not self._expected(due)
        late = not complete and self._clock.now() - due > _OVERDUE_MS
        if late:
            _log.warning("%s: the exchange has no settlement at %s", self._instrument.symbol, iso(due))
        self._settled = due if complete or late else max(found, default=self._settled)
        if self._settled >= low:
            self._store_rows("funding", table, low, self._settled + 1)
        return complete or late

    def _expected(self, due: int) -> bool:
        minutes = self._instrument.funding_minutes
        return minutes is None or due % (minutes * 60_000) == 0

    async def _ask_interest(self, rest: AsyncMarket, start: int) -> bool:
        every = to_ms(self._every)
        due = start // every * every
        if due <= self._interest_at:
            return True
        low = max(self._interest_at + every, due - 99 * every)
        table = await rest.open_interest(self._instrument, self._every, low, due + every)
        if not len(table["timestamp"]):
            return False
        last = int(table["timestamp"][-1])
        self._interest_at, self._interest_value = last, float(table["open_interest"][-1])
        self._store_rows("open_interest", table, int(table["timestamp"][0]), last + every)
        return last == due
