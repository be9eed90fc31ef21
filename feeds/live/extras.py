"""Funding and open interest of a bar that has just closed, and the values that are published only after their bar.

An absent value proves nothing while it may still be published. So the store marks a range as known only up to the
newest value, or up to the publication lag before now. What is not known is requested again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

import numpy as np

from ..bars.ranges import merge
from ..bars.settlements import LATE_MS, PUBLICATION_LAG_MS, settlement_times
from ..bars.timeframes import to_ms
from ..bars.times import iso
from ..errors import ExchangeRejected, ExchangeUnavailable
from ..exchange.market import AsyncMarket
from ..exchange.rows import Table, select
from ..instruments import Instrument
from ..store.keys import open_interest_timeframe
from .announcer import Announcer
from .charged import Charged
from .clock import ExchangeClock

__all__ = ["Extras"]

_log = logging.getLogger(__name__)

_HOUR_MS, _DAY_MS = 3_600_000, 86_400_000
# Number of requests for a value that is due, and the pause between them (exchange seconds). After the last request the
# bar is delivered without the value. The timeout of one request is `_TIMEOUT` (machine seconds).
_TRIES = 3
_PAUSE = 1.0
_TIMEOUT = 3.0
# The same, of the only request at a bar's close, while an endpoint has failed since the bar before. Between two bars it
# is asked with the longer timeout, so one that is only slow is found to work again.
_SHORT_TIMEOUT = 1.0
# Pause between two requests for a settlement that the instrument's interval does not announce: exchange ms, and at
# least this many of the machine's seconds.
_UNANNOUNCED_MS, _UNANNOUNCED_SECONDS = 20_000, 0.5
_MOST_VALUES = 99
_FUNDING, _INTEREST = "funding", "open interest"

StoreRows = Callable[[str, Table, int, int], None]
"""Function that stores the rows of a kind ("funding", "open_interest") for [start, end), UTC ms."""


class Extras:
    """Provide the funding rate and the open interest of bars as they close.

    A settlement at 08:00 belongs to the bar that opens at 08:00; if it is published too late, to the next bar.
    Open interest is the last value published up to the bar's open, at most a day old. A value that is published after
    its bar is stored and reported.
    """

    def __init__(
        self,
        instrument: Instrument,
        timeframe: str,
        clock: ExchangeClock,
        store_rows: StoreRows,
        announcer: Announcer,
        *,
        funding: bool,
        open_interest: bool,
        charged: Charged,
    ) -> None:
        self._instrument = instrument
        self._clock = clock
        self._store_rows = store_rows
        self._announcer = announcer
        contract = instrument.category != "spot"
        self._funding = funding and contract
        self._interest = open_interest and contract
        self._charged = charged
        self._delivered = -1
        """Open of the last delivered bar (UTC ms)."""
        self._settled_until = charged.settled + 1
        """Every settlement before this time (UTC ms) is known."""
        self._counted: set[int] = set()
        self._rates: dict[int, float] = {}
        self._ask_at = 0
        self._every = open_interest_timeframe(timeframe)
        self._interests: dict[int, float] = {}
        self._interest_until = 0
        # The endpoints whose last request has failed; and those that failed until a bar was delivered, and ever since.
        self._failing: set[str] = set()
        self._given_up: set[str] = set()

    async def prepare(self, rest: AsyncMarket, start: int) -> None:
        """Request the missing values of the bar that opens at `start`, before its close."""
        await self._ask(rest, start, dict.fromkeys((_FUNDING, _INTEREST), _TIMEOUT))

    async def _ask(self, rest: AsyncMarket, start: int, timeouts: Mapping[str, float]) -> set[str]:
        """Request the missing values of a bar; return the endpoints of which it lacks an announced value."""
        lacking = set()
        # Each on its own: an endpoint that fails must not take away the values of the other.
        for what, wanted, ask in (
            (_FUNDING, self._funding, self._ask_funding),
            (_INTEREST, self._interest, self._ask_interest),
        ):
            if wanted and not await self._succeeds(what, ask(rest, start), timeouts[what]):
                lacking.add(what)
        return lacking

    async def _succeeds(self, what: str, asking: Awaitable[bool], timeout: float) -> bool:
        try:
            async with asyncio.timeout(timeout):
                found = await asking
        except (ExchangeUnavailable, ExchangeRejected, TimeoutError) as error:
            reason = str(error) or f"no response within {timeout:g} s"
            _log.warning("%s, %s: %s", self._instrument.symbol, what, reason)
            self._failing.add(what)
            return False
        self._failing.discard(what)
        self._given_up.discard(what)
        return found

    async def of(self, rest: AsyncMarket, start: int) -> tuple[float, float]:
        """Return the funding rate (fraction) and open interest (base units) of the bar that opens at `start` (UTC ms).

        Unknown values are 0.0. An endpoint that fails delays one bar; while it goes on failing, the next bars are only
        delayed by one short request each, and what it has not told is requested again later as any late value.
        """
        lacking: set[str] = set()
        for attempt in range(_TRIES):
            short = self._given_up
            timeouts = {what: _SHORT_TIMEOUT if what in short else _TIMEOUT for what in (_FUNDING, _INTEREST)}
            lacking = await self._ask(rest, start, timeouts)
            if lacking <= self._given_up:
                break
            if attempt + 1 < _TRIES:
                await asyncio.sleep(self._clock.seconds(_PAUSE))
        self._given_up = lacking & self._failing
        self._delivered = start
        rate = sum(self._rates.pop(stamp) for stamp in sorted(self._rates) if stamp <= start)
        newest = max((stamp for stamp in self._interests if start - _DAY_MS <= stamp <= start), default=None)
        return rate, 0.0 if newest is None else self._interests[newest]

    async def _ask_funding(self, rest: AsyncMarket, start: int) -> bool:
        due = start // _HOUR_MS * _HOUR_MS  # settlements are at full hours
        low, announced = self._settled_until, self._announced(due)
        if due < low or (not announced and self._clock.now() < self._ask_at):
            return True
        table = await rest.funding(self._instrument, low, due + 1 + LATE_MS)
        table = {**table, "timestamp": settlement_times(table["timestamp"])}
        found = dict(zip(table["timestamp"].tolist(), table["funding_rate"].tolist(), strict=True))
        self._counted |= self._charged.match({s: rate for s, rate in found.items() if s not in self._counted})
        await self._count({stamp: rate for stamp, rate in found.items() if stamp not in self._counted})
        now = self._clock.now()
        proven = due in found or now - due >= PUBLICATION_LAG_MS
        if announced and proven and due not in found:
            _log.warning("%s: the exchange has no settlement at %s", self._instrument.symbol, iso(due))
        self._ask_at = now + max(_UNANNOUNCED_MS, int(1000 * _UNANNOUNCED_SECONDS * self._clock.speed))
        # Earlier hours are proven: their settlements are older than any publication lag.
        self._settled_until = due + 1 if proven else due
        if self._settled_until > low:
            known = select(table, table["timestamp"] < self._settled_until)
            self._store_rows("funding", known, low, self._settled_until)
        self._counted = {stamp for stamp in self._counted if stamp >= self._settled_until}
        return proven or not announced

    async def _count(self, new: Mapping[int, float]) -> None:
        self._rates |= new
        self._counted |= new.keys()
        for stamp, rate in sorted(new.items()):
            if stamp <= max(self._delivered, self._charged.last):
                await self._announcer.report(
                    "settlement",
                    f"the settlement of {iso(stamp)} (rate {rate:g}) was published after its bar was delivered; it is "
                    "on the next bar, and stored at its time",
                    time=stamp,
                    rate=rate,
                )

    def _announced(self, due: int) -> bool:
        minutes = self._instrument.funding_minutes
        return minutes is None or due % (minutes * 60_000) == 0

    async def _ask_interest(self, rest: AsyncMarket, start: int) -> bool:
        every = to_ms(self._every)
        due = start // every * every
        low = max(self._interest_until, due - _MOST_VALUES * every)
        if due < low:
            return True
        table = await rest.open_interest(self._instrument, self._every, low, due + every)
        times = table["timestamp"]
        found = dict(zip(times.tolist(), table["open_interest"].tolist(), strict=True))
        for stamp in sorted(found.keys() - self._interests.keys()):
            if stamp <= self._delivered:
                await self._announcer.report(
                    "open_interest",
                    f"the open interest of {iso(stamp)} was published after its bar was delivered; it is stored",
                    time=stamp,
                    open_interest=found[stamp],
                )
        for first, end in merge((stamp, stamp + every) for stamp in found):
            self._store_rows("open_interest", select(table, (times >= first) & (times < end)), first, end)
        self._interests = {s: v for s, v in (self._interests | found).items() if s >= due - _DAY_MS}
        # What is absent may come; after the publication lag it is left to the next download.
        lacking = np.setdiff1d(np.arange(low, due + every, every), times)
        young = lacking[lacking > self._clock.now() - PUBLICATION_LAG_MS]
        self._interest_until = int(young[0]) if len(young) else due + every
        return due in found
