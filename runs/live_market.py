"""Bybit as a live run sees it: names, the exchange's clock, and one taped `CCXTData` a symbol."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from feeds.bybit import Bybit
from feeds.ccxtdata import CCXTData
from feeds.instruments import Instrument
from feeds.live_clock import ExchangeClock
from feeds.tape import Taped

__all__ = ["BybitMarket", "TapedCCXTData"]


class TapedCCXTData(Taped, CCXTData):  # type: ignore[misc]
    """`CCXTData` on the tape of a live run, with the exchange's clock."""

    clock: ExchangeClock

    def exchange_now(self) -> int | None:
        """Return the exchange's time in UTC ms."""
        return self.clock.now()


@dataclass(kw_only=True)
class BybitMarket:
    """Bring closed bars of Bybit, with the optional columns named by `funding` and `open_interest`.

    `base_url` replaces the exchange's host, `speed` is how many times as fast as the machine's its clock runs (1 but
    for a loopback exchange), `sync` how many seconds a bar waits for those of the other symbols.
    """

    data_dir: str = "data"
    base_url: str | None = None
    funding: bool = True
    open_interest: bool = False
    speed: float = 1.0
    sync: float = 10.0
    progress: bool = True
    # The feeds wait for each other by themselves.
    grace: float = 0.0
    clock: ExchangeClock = field(init=False)

    def __post_init__(self) -> None:
        self.clock = ExchangeClock(self.speed)
        self._instruments: dict[str, Instrument] = {}

    def now(self) -> int:
        """Return the exchange's time in UTC ms, asked for now."""
        with Bybit(base_url=self.base_url) as client:
            self.clock.set(client.server_time())
        return self.clock.now()

    def resolve(self, symbol: str) -> str:
        """Return the full name of a symbol."""
        return self.instrument(symbol).symbol

    def instrument(self, symbol: str) -> Instrument:
        """Return the rules of a symbol, asked for once.

        Raises:
            BadSymbol: there is none; says which names are close.
        """
        if symbol not in self._instruments:
            with Bybit(base_url=self.base_url) as client:
                found = client.instrument(symbol)
            self._instruments |= {symbol: found, found.symbol: found}
        return self._instruments[symbol]

    def columns(self) -> tuple[str, ...]:
        """Return the optional columns of the bars."""
        asked = {"funding_rate": self.funding, "open_interest": self.open_interest}
        return tuple(name for name, wanted in asked.items() if wanted)

    def data(self, symbol: str, timeframe: str, since: int) -> Taped:
        """Return a data of the closed bars that open at `since` (UTC ms) or later."""
        make: Any = TapedCCXTData
        data: Any = make(
            dataname=symbol,
            timeframe=timeframe,
            since=since,
            data_dir=self.data_dir,
            base_url=self.base_url,
            funding=self.funding,
            open_interest=self.open_interest,
            speed=self.speed,
            sync=self.sync,
            progress=self.progress,
        )
        data.clock = self.clock
        taped: Taped = data
        return taped
