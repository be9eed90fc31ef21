"""Download an exchange's history into the store, and load it from the store as frames.

Only missing bars are requested: a second run makes no request for bars, an earlier `since` downloads only the earlier
bars, and an interrupted run continues where it stopped.
"""

import datetime as dt
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ..bars.timeframes import to_ms
from ..bars.times import iso, parse_time
from ..errors import BadSource, BadSymbol
from ..exchange.market import AsyncMarket, Market, Pace
from ..exchange.protocol import Exchange, check_timeframe, require
from ..exchange.registry import DEFAULT_EXCHANGE, find_exchange
from ..exchange.rows import TierRows
from ..instruments import Instrument
from ..store.damage import Damaged
from ..store.history import History, stored_name
from ..store.keys import series_folders
from ..store.rules import write_instrument
from .downloader import Downloader, FetchReport, Wanted
from .task_pool import run

__all__ = ["FetchReport", "ensure", "fetch", "risk_tiers"]

Time = str | int | dt.date | dt.datetime

_SKEW_SECONDS = 1.0
_log = logging.getLogger("feeds")


def fetch(
    symbols: Sequence[str],
    *,
    timeframe: str = "1h",
    since: Time,
    until: Time | None = None,
    exchange: str = DEFAULT_EXCHANGE,
    data_dir: str | Path = "data",
    funding: bool = False,
    open_interest: bool = False,
    mark: bool = False,
    base_url: str | None = None,
    requests_per_second: Pace = "exchange",
    progress: bool = True,
) -> list[FetchReport]:
    """Store the closed bars that open in [since, until) and return one report per series; `until` None means now.

    All symbols are checked before the first download, then all series are downloaded concurrently. Spot markets have
    bars only, not funding, open interest or mark prices. The trading rules of each instrument are stored too.
    `requests_per_second` limits all requests together; "exchange" uses the exchange's own limit.

    Raises:
        BadSource: a time or the exchange is invalid, or the exchange does not offer the requested series.
        BadSymbol: the exchange lists no such market.
        BadTimeframe: the bar size is unknown, or the exchange does not have it.
        ExchangeError: the exchange fails to deliver; all rows received before are stored.
        StoreError: the store cannot be written.
    """
    to_ms(timeframe)
    found = find_exchange(exchange)
    check_timeframe(found, timeframe)
    if mark:
        require(found, "mark_prices")
    if open_interest:
        require(found, "open_interest")
    start, end = parse_time(since), None if until is None else parse_time(until)
    if end is not None and start >= end:
        raise BadSource(f"expected since < until, found since {iso(start)} and until {iso(end)}")
    if isinstance(symbols, str) or not symbols:
        raise BadSource(f"expected a list of symbols such as ['BTC/USDT:USDT'], found {symbols!r}")
    kinds = _kinds(mark=mark, funding=funding, open_interest=open_interest)

    async def download() -> list[FetchReport]:
        async with AsyncMarket(found, base_url=base_url, requests_per_second=requests_per_second) as client:
            instruments = await _resolve(client, symbols, Path(data_dir))
            return await _download_series(
                client, instruments, kinds, timeframe, start, end, Path(data_dir), progress
            )

    return run(download())


def ensure(
    symbol: str,
    timeframe: str,
    since_ms: int | None,
    until_ms: int | None,
    *,
    exchange: str = DEFAULT_EXCHANGE,
    data_dir: str | Path = "data",
    warmup_bars: int = 0,
    offline: bool = False,
    funding: bool = True,
    open_interest: bool = True,
    mark: bool = False,
    base_url: str | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Return the canonical bars that open in [since_ms, until_ms); download missing ones unless `offline`.

    None means the first or last stored bar; if bars may be downloaded, `until_ms` None means now. Up to `warmup_bars`
    earlier bars are included: fewer if fewer exist or, with `offline`, are stored. Funding and open interest are
    columns if their series are stored, and are downloaded if the exchange has them. With `mark`, mark prices are
    columns if any are stored, and missing ones are downloaded. Bars missing from the exchange's history stay missing.

    Raises:
        MissingData: there are no such bars, some are not stored and `offline` forbids a download, or a stored file is
            damaged and cannot be replaced.
        BadSource: a time or the exchange is invalid.
        BadSymbol: the exchange lists no such market.
        BadTimeframe: the bar size is unknown.
        ExchangeError: the exchange fails to deliver; all rows received before are stored.
        StoreError: the store cannot be read or written.
    """
    step = to_ms(timeframe)
    found = find_exchange(exchange)
    check_timeframe(found, timeframe)
    funding, open_interest = _offered(found, funding, open_interest)
    name = stored_name(data_dir, exchange, symbol)
    history = History(
        data_dir=Path(data_dir),
        exchange=exchange,
        symbol=name,
        timeframe=timeframe,
        funding=funding,
        open_interest=open_interest,
        mark=mark,
    )
    if until_ms is None and since_ms is not None and not offline:
        # Download up to now even if older bars are stored; the report gives the exact end.
        first = end = -(-since_ms // step) * step
    else:
        first, end = history.span(since_ms, until_ms)
    start = first if since_ms is None else first - warmup_bars * step
    if offline:
        start = history.clip_warmup(start, first)
        history.refuse_missing(start, end)
    stop = None if until_ms is None and not offline else end

    async def download() -> Instrument:
        kinds = _kinds(mark=history.uses_mark(), funding=funding, open_interest=open_interest)
        async with AsyncMarket(found, base_url=base_url) as client:
            instruments = await _resolve(client, [name], Path(data_dir))
            await _download_series(
                client, instruments, kinds, timeframe, start, until_ms, Path(data_dir), progress
            )
            return instruments[0]

    if not offline and (until_ms is None or history.missing(start, end)):
        history = replace(history, symbol=run(download()).symbol)
    try:
        return history.frame(start, stop)
    except Damaged as error:
        if offline:
            raise
        # Only reading finds a changed value. The file is moved aside by now, so its rows are missing.
        _log.warning("%s; downloading them again", error)
    history = replace(history, symbol=run(download()).symbol)
    return history.frame(start, stop)


def risk_tiers(symbol: str, *, exchange: str = DEFAULT_EXCHANGE, base_url: str | None = None) -> TierRows:
    """Return the exchange's risk tiers of a perpetual as of now, for `Costs(risk_tiers=...)` of its account.

    A row is (limit of the position's value, maintenance rate, largest leverage[, deduction]), smallest tier first;
    amounts are in the settlement coin, rates are fractions.

    Raises:
        BadSource: the exchange is unknown or does not publish them, or the market is spot.
        BadSymbol: the exchange lists no such market.
        ExchangeError: the exchange fails to deliver.
    """
    found = find_exchange(exchange)
    require(found, "risk_tiers")
    with Market(found, base_url=base_url) as client:
        return client.risk_tiers(client.instrument(symbol))


def _kinds(*, mark: bool, funding: bool, open_interest: bool) -> list[str]:
    wanted = {"bars": True, "mark": mark, "funding": funding, "open_interest": open_interest}
    return [kind for kind, use in wanted.items() if use]


def _offered(exchange: Exchange, funding: bool, open_interest: bool) -> tuple[bool, bool]:
    offered = exchange.capabilities
    return funding and offered.funding_limit > 0, open_interest and offered.open_interest


async def _download_series(
    client: AsyncMarket,
    instruments: Sequence[Instrument],
    kinds: Sequence[str],
    timeframe: str,
    since: int,
    until: int | None,
    data_dir: Path,
    progress: bool,
) -> list[FetchReport]:
    now = await _exchange_time(client)
    wanted = [
        Wanted(instrument=instrument, kind=kind, timeframe=timeframe, since=since, until=until)
        for instrument in instruments
        for kind in kinds
        if kind == "bars" or instrument.category != "spot"
    ]
    for instrument in instruments:
        if write_instrument(data_dir, client.name, instrument, now):
            _log.warning("%s: the trading rules have changed since the last download", instrument.symbol)
    return await Downloader(client, data_dir, now=now, progress=progress).download(wanted)


async def _resolve(client: AsyncMarket, symbols: Sequence[str], data_dir: Path) -> list[Instrument]:
    found: dict[str, Instrument] = {}
    for name in symbols:
        try:
            instrument = await client.instrument(name)
        except BadSymbol as error:
            stored = stored_name(data_dir, client.name, name)
            series = [
                key.kind
                for _, key in series_folders(data_dir)
                if (key.exchange, key.symbol) == (client.name, stored)
            ]
            if not series:
                raise
            raise BadSymbol(
                f"{client.name} no longer lists {stored!r}: it was delisted or renamed. Its stored series "
                f"({', '.join(series)}) can still be used with --offline"
            ) from error
        if not instrument.active:
            when = "" if instrument.launch is None else f", announced for {iso(instrument.launch)}"
            _log.warning("%s does not trade yet%s", instrument.symbol, when)
        elif instrument.delivery is not None:
            _log.warning("%s will be delisted on %s", instrument.symbol, iso(instrument.delivery))
        found[instrument.symbol] = instrument
    return list(found.values())


async def _exchange_time(client: AsyncMarket) -> int:
    """Return the exchange's time, which decides which bars are closed; warn if this machine's clock differs."""
    before = time.time()
    now = await client.server_time()
    after = time.time()
    skew = max(before - now / 1000, now / 1000 - after)
    if skew > _SKEW_SECONDS:
        _log.warning(
            "this machine's clock is %.1f s off the exchange's; bars are judged by the exchange's", skew
        )
    return now
