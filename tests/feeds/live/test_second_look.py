"""A bar missing from the history is requested a second time before it counts as a gap."""

import asyncio

import numpy as np
import pytest

from feeds.instruments import Instrument
from feeds.live.bars import LiveBars
from feeds.live.clock import ExchangeClock
from feeds.live.events import Bar, LiveSettings

MINUTE = 60_000
BTC = Instrument("BTC/USDT:USDT", "BTCUSDT", "linear", 0.1, 0.001, 0.001, 5.0, 480, None, True)


class History:
    """Three closed one-minute bars; the second one appears after `late` responses, or never if None."""

    def __init__(self, late):
        self.late, self.asked = late, []

    async def server_time(self):
        return 3 * MINUTE + 1_000

    async def klines(self, instrument, timeframe, start, end, closed_for):
        self.asked.append((start // MINUTE, end // MINUTE))
        known = [0, 1, 2] if self.late is not None and len(self.asked) > self.late else [0, 2]
        times = [MINUTE * bar for bar in known if start <= MINUTE * bar < end]
        prices = {name: np.ones(len(times)) for name in ("open", "high", "low", "close", "volume")}
        return prices | {"timestamp": np.array(times, dtype=np.int64)}


class Extras:
    async def of(self, rest, start):
        return 0.0, 0.0


class Store:
    def add_bar(self, start, values, step):
        pass


@pytest.mark.parametrize(("late", "bars"), [(1, [0, 1, 2]), (None, [0, 2])])
def test_a_bar_published_late_is_delivered_and_a_gap_is_requested_twice(late, bars):
    delivered, history = [], History(late)

    async def deliver(item):
        if isinstance(item, Bar):
            delivered.append(item.start // MINUTE)

    async def main():
        clock = ExchangeClock(speed=1_000.0, timer=lambda: 0.0)
        live = LiveBars(BTC, "1m", 0, clock, LiveSettings(websocket=False), Extras(), Store(), deliver)
        live._rest = history
        await live._synchronise()
        await live._catch_up()

    asyncio.run(main())
    assert delivered == bars
    assert (1, 2) in history.asked, "the missing minute, and it alone, was asked for again"
