"""Live Backtrader feed of an exchange: history through the store, then every bar as it closes."""

import weakref
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import backtrader as bt
import pandas as pd
from backtrader.feed import DataClone

from scorenet.base.times import float_days, whole_ms

from .bars.cells import COLUMNS
from .bars.timeframes import to_ms
from .bars.times import iso, parse_time
from .btdata import BarsData, empty_bars
from .download.api import ensure
from .errors import BadSource, MissingData
from .exchange.candles import Values
from .exchange.market import Market
from .exchange.protocol import check_timeframe, require
from .exchange.registry import DEFAULT_EXCHANGE, find_exchange
from .instruments import Instrument
from .live.charged import Charged
from .live.events import Bar, Failed, LiveSettings, Notice, Report, Status
from .live.evidence.history import last_bars
from .live.evidence.holes import known_bars
from .live.group import LiveGroup
from .live.queue import NEWS, LiveQueue
from .live.source import LiveSource, LiveThread

__all__ = ["CCXTData"]

_STATUS = {
    Status.DELAYED: bt.feed.DataBase.DELAYED,
    Status.LIVE: bt.feed.DataBase.LIVE,
    Status.DISCONNECTED: bt.feed.DataBase.DISCONNECTED,
}
_LIVE_SETTINGS = ("websocket", "grace", "poll_delay", "stale")
_BAR_LINES = ("datetime", *COLUMNS[1:], "openinterest", "funding_rate", "open_interest")


class CCXTData(BarsData):
    """Deliver an exchange's closed bars since a given time, then each bar when it closes, exactly once and in order.

    Missing bars are downloaded first, and the history is read from the store. Then a thread receives bars from the
    websocket, and requests by REST the bars that the websocket does not confirm. All received rows are stored.
    `notify_data` gets DELAYED, LIVE or DISCONNECTED and the reason before the bars with that status; for a report
    (`feeds.live.events.Report`) it gets the present status, the text and a dict of facts. Several of these feeds in one
    Cerebro are synchronised: bars with the same close are delivered together.

    Params:
        - dataname: "BTC/USDT:USDT", its alias "BTCUSDT", or "BTC/USDT" (spot).
        - timeframe ("1h"): bar size.
        - exchange ("bybit"): its name; live bars need an exchange with a websocket stream.
        - since (None): open of the first bar (date, ISO text, UTC ms); None: `backfill` bars before now.
        - backfill (1000): number of bars before now if `since` is None.
        - historical (False): if True, end with the newest closed bar.
        - data_dir ("data"): the store. base_url (None): "http://HOST:PORT" in place of the exchange's.
        - funding, open_interest (True): fill these lines (perpetuals only).
        - websocket (True): if False, every bar is requested by REST after its close.
        - grace (2.0): seconds to wait after a close for the websocket's bar.
        - poll_delay (1.0): seconds after a close before a request, when there is no websocket.
        - stale (90.0): seconds without any candle before the websocket is reconnected.
        - sync (10.0): seconds to wait for the bar of another feed.
        - queue (4096): largest number of bars waiting for Backtrader; a slower consumer gets the rest from history.
        - speed (1.0): speed of the exchange's clock relative to the machine's (a loopback exchange only).
        - qcheck (0.5): seconds that Backtrader waits for a bar at a time.
        - progress (True): show the download on stderr.

    Lines:
        - as `BarsData`.

    Attributes:
        doubtful: whether the exchange's stamps contradict each other at this bar; do not trade on it.

    Raises:
        BadSource: a time or the exchange is invalid, or the exchange has no live bars.
        BadTimeframe: the bar size is unknown, or the exchange does not have it.
    """

    params = (
        ("timeframe", "1h"),
        ("exchange", DEFAULT_EXCHANGE),
        ("since", None),
        ("backfill", 1000),
        ("historical", False),
        ("data_dir", "data"),
        ("base_url", None),
        ("funding", True),
        ("open_interest", True),
        ("websocket", True),
        ("grace", 2.0),
        ("poll_delay", 1.0),
        ("stale", 90.0),
        ("sync", 10.0),
        ("queue", 4096),
        ("speed", 1.0),
        ("qcheck", 0.5),
        ("progress", True),
    )

    # Of bars before `since`, by their open (UTC ms): rates, and values that the history may not have confirmed.
    earlier_rates: Mapping[int, float] = MappingProxyType({})
    earlier_bars: Mapping[int, Values] = MappingProxyType({})
    # The market, if the exchange no longer lists it: its history is not requested, and it is waited for as a live feed.
    unlisted: Instrument | None = None

    def _begin(self) -> None:
        self._size = self.p.timeframe
        self._step = to_ms(self._size)
        if not isinstance(self.p.dataname, str) or not self.p.dataname:
            raise BadSource(f"expected a symbol such as 'BTC/USDT:USDT', found {self.p.dataname!r}")
        exchange = self._exchange = find_exchange(self.p.exchange)
        check_timeframe(exchange, self._size)
        if not self.p.historical:
            require(exchange, "stream")
        self._since = None if self.p.since is None else parse_time(self.p.since)
        self._set_timeframe(self._size, check=False)
        self._set_bars(empty_bars(self.p.dataname, self._size))
        self._thread: LiveThread | None = None
        self._delisted = False
        self.doubtful = False

    def islive(self) -> bool:
        """Return True unless only history is wanted, so that Cerebro runs bar by bar."""
        return not self.p.historical

    def haslivedata(self) -> bool:
        """Return True when a bar is available."""
        with NEWS:
            return self.head_ms() is not None

    def start(self) -> None:
        """Load the history, then start the live thread.

        Raises:
            FeedError: the exchange or the store fails.
        """
        self.stop()
        instrument, start, end = self._resolve()
        bars = self._history(instrument, start, end)
        if not self.p.historical:  # what a download lacks may still come: the live feed waits for it
            bars = bars.iloc[: known_bars(bars["timestamp"], (start, end), instrument.launch, self._step)]
        self._set_bars(bars)
        super().start()
        self._group: LiveGroup | None = None
        first = int(bars["timestamp"].iloc[-1]) + self._step if len(bars) else start
        self.expected_ms = start + self._step
        self.put_notification(self.DELAYED)
        if not self.p.historical:
            self._start_live(instrument, first, bars)

    def stop(self) -> None:
        """Stop the thread; received bars are stored, so the next run loads undelivered ones from history."""
        if self._thread is not None:
            self._finalizer.detach()
            self._thread.stop()
            self._thread = None

    def head_ms(self) -> int | None:
        """Return the close of the next available bar in UTC ms, None if there is none."""
        if self._row < len(self._columns["datetime"]):
            return whole_ms(self._columns["datetime"][self._row])
        bar = None if self._thread is None else self._thread.queue.next_bar()
        return None if bar is None else bar.start + self._step

    def ended(self) -> bool:
        """Return whether no further bar will come."""
        return self._thread is None or self._thread.queue.failed()

    def waits_for_listing(self) -> bool:
        """Return whether the exchange does not list the market any more, so that no bar is expected."""
        return self._delisted

    def has_notice(self) -> bool:
        """Return whether the next item is not a bar."""
        return self._thread is not None and self._thread.queue.has_notice()

    def _resolve(self) -> tuple[Instrument, int, int]:
        """Return the instrument, and the open times of the first bar and of the bar that is still open."""
        with Market(self._exchange, base_url=self.p.base_url) as client:
            instrument = self.unlisted or client.instrument(self.p.dataname)
            now = client.server_time()
            if self._since is not None and self._since > now:
                now = client.server_time()  # one answer may be old
        if self.earlier_rates and self._since is not None:
            now = max(now, self._since)  # the bars before prove that it is later
        end = now // self._step * self._step
        since = end - self.p.backfill * self._step if self._since is None else self._since
        if since > now:
            raise BadSource(
                f"expected since in the past, found {iso(since)}; at the exchange it is {iso(now)}"
            )
        return instrument, min(end, -(-since // self._step) * self._step), end

    def _history(self, instrument: Instrument, start: int, end: int) -> pd.DataFrame:
        if start < end and self.unlisted is None:
            try:
                return ensure(
                    instrument.symbol,
                    self._size,
                    start,
                    end,
                    exchange=self.p.exchange,
                    data_dir=self.p.data_dir,
                    funding=self.p.funding,
                    open_interest=self.p.open_interest,
                    base_url=self.p.base_url,
                    progress=self.p.progress,
                )
            except MissingData:
                pass  # no bar has closed since the listing: all bars are live bars
        return empty_bars(instrument.symbol, self._size)

    def _start_live(self, instrument: Instrument, first: int, bars: pd.DataFrame) -> None:
        names = ["timestamp", "funding_rate"]
        rates: dict[int, float] = dict(bars[names].itertuples(index=False)) if names[1] in bars else {}
        source = LiveSource(
            instrument=instrument,
            timeframe=self._size,
            first=first,
            charged=Charged.before(first, self._step, {**self.earlier_rates, **rates}),
            delivered={**self.earlier_bars, **last_bars(bars)},
            data_dir=Path(self.p.data_dir),
            base_url=self.p.base_url,
            funding=self.p.funding,
            open_interest=self.p.open_interest,
            speed=self.p.speed,
            settings=LiveSettings(**{name: getattr(self.p, name) for name in _LIVE_SETTINGS}),
            exchange=self.p.exchange,
        )
        self._thread = LiveThread(source, self.p.queue)
        # Cerebro does not stop its feeds after an error; the thread then ends with this object or with the process.
        self._finalizer = weakref.finalize(self, self._thread.stop)
        self._thread.start()

    def _load(self) -> bool | None:
        if super()._load():
            self._passed(whole_ms(self.datetime[0]))
            return True
        if self._thread is None:
            self.put_notification(self.DISCONNECTED)
            return False
        return self._load_live(self._thread.queue)

    def _load_live(self, queue: LiveQueue) -> bool | None:
        group = self._group or self._form_group()
        self._pass_notices(queue)
        if group.leader is self:
            group.wait(self.p.qcheck)
            self._pass_notices(queue)
        # Not `head_ms`: a notice may have arrived before that bar.
        bar = queue.pop_bar(group.released - self._step)
        if bar is None:
            return None
        self._fill(bar)
        self.doubtful = bar.doubtful
        self._passed(bar.start + self._step)
        return True

    def _pass_notices(self, queue: LiveQueue) -> None:
        """Pass on the notices that come before the next bar."""
        while (item := queue.pop_notice()) is not None:
            match item:
                case Failed(error=error):
                    raise error
                case Report(kind=kind, text=text, facts=facts):
                    self._notify(self._laststatus, text, {"what": kind, **facts})
                case Notice(status=status, reason=reason):
                    self._delisted = item.delisted
                    if reason or _STATUS[status] != self._laststatus:
                        self._notify(_STATUS[status], reason)

    def _notify(self, status: int, *facts: Any) -> None:
        # Not `put_notification`: it drops a status that is the same as before, with its new reason.
        self._laststatus = status
        self.notifs.append((status, facts, {}))

    def _fill(self, bar: Bar) -> None:
        row = (float_days(bar.start + self._step), *bar.values, bar.open_interest)
        for name, value in zip(_BAR_LINES, (*row, bar.funding_rate, bar.open_interest), strict=True):
            getattr(self.lines, name)[0] = value

    def _passed(self, close: int) -> None:
        self.expected_ms = close + self._step
        if self._group is not None:
            self._group.passed(close)

    def _form_group(self) -> LiveGroup:
        """Group the live feeds of this Cerebro, in the order in which Cerebro asks them."""
        order = sorted(self._env.datas, key=lambda data: (data._timeframe, data._compression))
        members = [data for data in order if isinstance(data, CCXTData) and data.islive()]
        group = LiveGroup(members, self.p.sync / self.p.speed)
        for member in members:
            member._group = group
        return group

    def _check(self, forcedata: Any = None) -> None:
        """Do nothing: Backtrader would close a resampled bar by the machine's clock, before its last bar arrives."""

    def clone(self, **kwargs: Any) -> DataClone:
        """Return the clone that Backtrader makes to resample a feed that is also used without resampling."""
        return _Clone(dataname=self, **kwargs)


class _Clone(DataClone):
    def _check(self, forcedata: Any = None) -> None:
        """Do nothing, as `CCXTData._check`; a resampled bar without any feed's bar also ends Backtrader's live loop."""
