"""A market made of frames for `runs.live.session.live`: tests set its delays, feed states and clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from feeds.bars.timeframes import to_ms
from feeds.btdata import ReplayData
from feeds.live.replay import ReplayedData

__all__ = ["ScriptedMarket", "open_at"]


class _Waiting(ReplayData):
    before: Callable[[int], int] = staticmethod(lambda row: 0)
    suspect: Callable[[int], bool] = staticmethod(lambda row: False)
    doubtful = False
    first = 0
    _left: int | None = None

    def start(self) -> None:
        super().start()
        self._row = self.first

    def _load(self) -> bool | None:
        if self._row < len(self._columns["datetime"]):
            if self._left is None:
                opened = int(self.p.dataname["timestamp"].iloc[self._row])
                self._left = self.before(opened)
                if self.suspect(opened) > self.doubtful:
                    self.notifs.append((self.LIVE, ("stamps contradict", {"what": "doubt"}), {}))
                self.doubtful = self.suspect(opened)
            if self._left > 0:
                self._left -= 1
                return None
        self._left = None
        if self._laststatus != self.LIVE:
            self.put_notification(self.LIVE)
        return super()._load()


class ReplayedScript(ReplayedData, _Waiting):
    """A scripted feed that follows a replay and has its own clock."""

    clock: Callable[[], int | None] = staticmethod(lambda: None)

    def exchange_now(self) -> int | None:
        return self.clock()


class ScriptedMarket:
    """Deliver the bars of canonical frames; at the start of a run the exchange's time is `now` (UTC ms).

    `before(open)` is the number of rounds before a bar arrives, `suspect(open)` whether it is doubtful.
    """

    def __init__(
        self,
        frames: Sequence[pd.DataFrame],
        now: int,
        before: Callable[[int], int] = lambda opened: 0,
        clock: Callable[[], int | None] = lambda: None,
        grace: float = 10.0,
        suspect: Callable[[int], bool] = lambda opened: False,
    ) -> None:
        self.grace, self.exchange, self.speed = grace, "bybit", 1.0
        self.unlisted: dict[str, Exception] = {}
        self.frames = {str(frame.attrs["symbol"]): frame for frame in frames}
        self._now, self._before, self._clock, self._suspect = now, before, clock, suspect
        self.asked: list[tuple[str, int]] = []

    def now(self) -> int:
        return self._now

    def resolve(self, symbol: str) -> str:
        return symbol

    def columns(self) -> tuple[str, ...]:
        return tuple(c for c in ("funding_rate", "open_interest") if c in next(iter(self.frames.values())))

    def data(self, symbol: str, timeframe: str, since: int) -> ReplayedData:
        self.asked.append((symbol, since))
        frame = self.frames[symbol]
        data = ReplayedScript(dataname=frame)
        data.first = int((frame["timestamp"] < since).sum())
        data.before, data.clock, data.suspect = self._before, self._clock, self._suspect
        assert to_ms(timeframe) == to_ms(frame.attrs["timeframe"])
        return data


def open_at(frame: pd.DataFrame, row: int) -> int:
    """Return the open time of a bar, UTC ms."""
    return int(np.asarray(frame["timestamp"])[row])
