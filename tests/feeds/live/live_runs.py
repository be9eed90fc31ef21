"""Run a Cerebro on live feeds of the loopback exchange, and record what its strategy received."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import backtrader as bt

from feeds import CCXTData
from tests.bybit import MINUTE

__all__ = ["LINES", "START", "Watch", "finished", "history_rows", "live_feed", "live_threads", "watched"]

START = 1_719_748_800_000 + 26 * MINUTE + 12_345
"""2024-06-30T12:26:12.345Z."""
LINES = ("open", "high", "low", "close", "volume", "openinterest", "funding_rate", "open_interest")


class Watch(bt.Strategy):
    """Record every line of every data at every bar, and every status.

    It stops after `bars` bars of the first data, and later if its feed has not had every status of `until`: a busy
    machine may take longer than a bar to connect. It stops at the latest after 100 bars more.
    """

    params = (("bars", 20), ("act", None), ("until", ()))

    def __init__(self):
        self.rows = [[] for _ in self.datas]
        self.lengths = []
        self.notes = []

    def notify_data(self, data, status, *args):
        self.notes.append((self.datas.index(data), len(data), data._getstatusname(status)))

    def prenext(self):
        self.next()

    def next(self):
        self.lengths.append(tuple(len(data) for data in self.datas))
        for rows, data in zip(self.rows, self.datas, strict=True):
            if len(data) > len(rows):
                close = round((data.datetime[0] - 719_163) * 86_400) * 1000
                rows.append((close, *(getattr(data, name)[0] for name in LINES if hasattr(data, name))))
        if self.p.act is not None:
            self.p.act(self)
        more = len(self.data) - self.p.bars
        if more >= 100 or (more >= 0 and set(self.p.until) <= set(self.statuses())):
            self.env.runstop()

    def statuses(self, data=0):
        return [status for position, _, status in self.notes if position == data]


def live_feed(exchange, folder, **params):
    """Return a feed of one-minute bars with a little history."""
    settings = {
        "timeframe": "1m",
        "backfill": 5,
        "progress": False,
        "qcheck": 0.05,
        "speed": exchange.time.speed or 1.0,
    }
    settings |= {"dataname": "BTC/USDT:USDT", "data_dir": folder, "base_url": exchange.url, **params}
    return CCXTData(**settings)


def finished(*feeds, bars=20, act=None, until=(), prepare=None, **mode):
    """Run a Cerebro on the feeds to its end and return the strategy."""
    cerebro = bt.Cerebro(stdstats=False)
    for feed in feeds:
        cerebro.adddata(feed)
    if prepare is not None:
        prepare(cerebro)
    cerebro.addstrategy(Watch, bars=bars, act=act, until=until)
    return cerebro.run(**mode)[0]


@contextmanager
def watched(seconds=60.0):
    """Fail with the stacks of all threads if the block exceeds its deadline."""
    import faulthandler

    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def history_rows(load, exchange, folder, rows, *, symbol="BTC/USDT:USDT", timeframe="1m", step=MINUTE):
    """Return the rows of the history for the time range of `rows`, in the format of `Watch`."""
    from feeds.btdata import columns_of

    frame = load(
        f"bybit:{symbol}@{timeframe}",
        since=rows[0][0] - step,
        until=rows[-1][0],
        data_dir=folder,
        base_url=exchange.url,
        gaps="keep",
        progress=False,
    )
    columns = columns_of(frame)
    closes = (frame["timestamp"] + step).tolist()
    return list(zip(closes, *(columns[name].tolist() for name in LINES), strict=True))


def live_threads():
    """Return the names of live threads that still run shortly after they should have ended."""
    for _ in range(100):
        names = [t.name for t in threading.enumerate() if t.name.startswith("live ")]
        if not names:
            return []
        time.sleep(0.02)
    return names
