"""History of an exchange into the store, and from the store into frames.

Only what is missing is asked for: a second run makes no request for bars, an earlier `since` extends the
store without a new download of the rest, and an interrupted run goes on where it stopped.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from feeds.downloader import Downloader, FetchReport
from feeds.errors import BadSource
from feeds.exchange import Bybit
from feeds.history import History, stored_name
from feeds.stamps import iso, parse_time
from feeds.timeframes import to_ms

__all__ = ["FetchReport", "ensure", "fetch"]

Time = str | int | dt.date | dt.datetime

_EXCHANGES = ("bybit",)


def fetch(
    symbols: Sequence[str],
    *,
    timeframe: str = "1h",
    since: Time,
    until: Time | None = None,
    exchange: str = "bybit",
    data_dir: str | Path = "data",
    funding: bool = False,
    open_interest: bool = False,
    base_url: str | None = None,
    progress: bool = True,
) -> list[FetchReport]:
    """Store the closed bars that open in [since, until) and return a report a series; `until` None is now.

    Funding and open interest come with linear symbols only. Every symbol is resolved before the first
    download.

    Raises:
        BadSource: a time or the exchange cannot be understood.
        BadSymbol: the exchange lists no such market.
        BadTimeframe: unknown bar size.
        ExchangeError: the exchange does not deliver; what came before is stored.
        StoreError: the store cannot be written.
    """
    to_ms(timeframe)
    _check_exchange(exchange)
    start, end = parse_time(since), None if until is None else parse_time(until)
    if end is not None and start >= end:
        raise BadSource(f"expected since < until, found since {iso(start)} and until {iso(end)}")
    if isinstance(symbols, str) or not symbols:
        raise BadSource(f"expected a list of symbols such as ['BTC/USDT:USDT'], found {symbols!r}")
    with Bybit(base_url=base_url) as client:
        downloader = Downloader(client, data_dir, progress=progress)
        instruments = {found.symbol: found for found in map(client.instrument, symbols)}
        return [
            report
            for instrument in instruments.values()
            for report in downloader.all(
                instrument, timeframe, start, end, funding=funding, open_interest=open_interest
            )
        ]


def ensure(
    symbol: str,
    timeframe: str,
    since_ms: int | None,
    until_ms: int | None,
    *,
    exchange: str = "bybit",
    data_dir: str | Path = "data",
    offline: bool = False,
    funding: bool = True,
    open_interest: bool = True,
    base_url: str | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Return the canonical bars that open in [since_ms, until_ms); get what is missing unless `offline`.

    None stands for the ends of what is stored, or for now when `until_ms` is None and bars may be
    downloaded. Funding and open interest are columns when their series are stored. Holes of the exchange's
    history stay holes.

    Raises:
        MissingData: there are no such bars, or some are not stored and `offline` forbids to get them.
        BadSource: a time or the exchange cannot be understood.
        BadSymbol: the exchange lists no such market.
        BadTimeframe: unknown bar size.
        ExchangeError: the exchange does not deliver; what came before is stored.
        StoreError: the store cannot be read or written.
    """
    to_ms(timeframe)
    _check_exchange(exchange)
    name = stored_name(data_dir, exchange, symbol)
    history = History(
        data_dir=Path(data_dir),
        exchange=exchange,
        symbol=name,
        timeframe=timeframe,
        funding=funding,
        open_interest=open_interest,
    )
    start, end = history.span(since_ms, until_ms)
    if offline:
        history.refuse_missing(start, end)
    elif until_ms is None or history.missing(start, end):
        with Bybit(base_url=base_url) as client:
            instrument = client.instrument(name)
            Downloader(client, data_dir, progress=progress).all(
                instrument, timeframe, start, until_ms, funding=funding, open_interest=open_interest
            )
        history = replace(history, symbol=instrument.symbol)
    return history.frame(start, None if until_ms is None and not offline else end)


def _check_exchange(exchange: str) -> None:
    if exchange not in _EXCHANGES:
        raise BadSource(f"expected one of the exchanges {', '.join(_EXCHANGES)}, found {exchange!r}")
