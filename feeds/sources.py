"""Load bars from a source text: a file, an exchange's series in the store, or a simulated market.

The text is a path ending in .parquet or .csv, `bybit:BTC/USDT:USDT@1h` (from the store; missing bars are downloaded),
`XNYS:SPY@1d` (imported bars of a market with sessions, by its calendar), or
`simulated:NAME?seed=1&bars=20000&phi=-0.2`.
"""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import pandas as pd

from scorenet.base.did_you_mean import did_you_mean
from scorenet.calendars import canonical_name

from .bars.files import EXTENSIONS, Siblings, read_with_siblings
from .bars.frame import GapPolicy, check_gap_policy, with_gaps
from .bars.timeframes import to_ms
from .bars.times import iso, parse_time
from .errors import BadSource, BadTimeframe, MissingData
from .exchange.protocol import check_timeframe
from .exchange.registry import EXCHANGES, find_exchange
from .simulated.api import simulate
from .simulated.processes import OPTIONS, make_process
from .store.sessions import CALENDAR, sessions_frame

__all__ = ["ExchangeSource", "FileSource", "SessionsSource", "SimulatedSource", "load_bars", "parse_source"]

Time = str | int | dt.date | dt.datetime

_FORMS = (
    "a path ending in .parquet or .csv, 'bybit:BTC/USDT:USDT@1h', 'XNYS:SPY@1d' or "
    "'simulated:random_walk?seed=1&bars=20000'"
)


@dataclass(frozen=True, kw_only=True)
class FileSource:
    """A parquet or CSV file."""

    path: Path


@dataclass(frozen=True, kw_only=True)
class ExchangeSource:
    """A bar series of an exchange."""

    exchange: str
    symbol: str
    timeframe: str


@dataclass(frozen=True, kw_only=True)
class SessionsSource:
    """An imported bar series of a market with sessions."""

    calendar: str
    symbol: str
    timeframe: str


@dataclass(frozen=True, kw_only=True)
class SimulatedSource:
    """A simulated market; `options` are keyword arguments of `simulate`."""

    name: str
    options: dict[str, Any]


def load_bars(
    source: str | Path,
    *,
    since: Time | None = None,
    until: Time | None = None,
    warmup_bars: int = 0,
    data_dir: str | Path = "data",
    offline: bool = False,
    gaps: GapPolicy = "raise",
    symbol: str | None = None,
    timeframe: str | None = None,
    base_url: str | None = None,
    progress: bool = True,
    calendar: str | None = None,
) -> pd.DataFrame:
    """Return the canonical bars of a source that open in [since, until), and `warmup_bars` earlier ones.

    Times without a zone are UTC. The gap policy applies to the returned bars only. `data_dir`, `offline`, `base_url`
    and `progress` are used for exchange sources only. `calendar` is the trading calendar of a file's market, as
    `as_bars` takes it; a source such as `XNYS:SPY@1d` says it itself. Fewer warm-up bars are returned if fewer exist.

    Raises:
        BadSource: the source, a time or the policy is invalid.
        MissingData: the source does not exist, has no bar in the range, or its funding file lacks settlements there.
        BadBars: its bars violate the frame contract.
        ExchangeError: the exchange fails to deliver.
        ConfigError: the calendar is unknown, or exchange_calendars is not installed.
    """
    check_gap_policy(gaps)
    parsed = parse_source(source, timeframe=timeframe)
    _check_calendar(parsed, calendar)
    first = None if since is None else parse_time(since)
    end = None if until is None else parse_time(until)
    if first is not None and end is not None and first >= end:
        raise BadSource(f"expected since < until, found since {iso(first)} and until {iso(end)}")
    if warmup_bars < 0:
        raise BadSource(f"expected warmup_bars >= 0, found {warmup_bars}")
    # Missing bars outside the range are no error, so the policy is applied after the range is selected.
    early: GapPolicy = "ffill" if gaps == "ffill" else "keep"
    siblings = Siblings()
    match parsed:
        case FileSource(path=path):
            frame, siblings = read_with_siblings(path, symbol, timeframe, early, calendar=calendar)
        case SessionsSource():
            frame = sessions_frame(data_dir, parsed.calendar, parsed.symbol, parsed.timeframe)
            frame.attrs["symbol"] = symbol or parsed.symbol
            frame = with_gaps(frame, early)
        case SimulatedSource(name=name, options=options):
            frame = simulate(name, **{**options, **({"symbol": symbol} if symbol else {})})
        case ExchangeSource():
            frame = _from_exchange(
                parsed,
                first,
                end,
                warmup_bars,
                data_dir=Path(data_dir),
                offline=offline,
                base_url=base_url,
                progress=progress,
            )
            frame.attrs["symbol"] = symbol or parsed.symbol
            frame = with_gaps(frame, early)
    bars = _cut(frame, first, end, warmup_bars, str(source))
    siblings.check(bars)
    return with_gaps(bars, gaps)


def parse_source(
    source: str | Path, *, timeframe: str | None = None
) -> FileSource | ExchangeSource | SessionsSource | SimulatedSource:
    """Parse a source text; `timeframe` is used if the text does not state one.

    Raises:
        BadSource: unknown form, scheme, market or option.
        BadTimeframe: unknown timeframe.
    """
    if isinstance(source, Path) or source.lower().endswith(EXTENSIONS):
        return FileSource(path=Path(source))
    scheme, colon, rest = source.partition(":")
    if not colon or not rest:
        raise BadSource(f"expected {_FORMS}, found {source!r}")
    if scheme in EXCHANGES:
        return _parse_exchange(scheme, rest, timeframe)
    if scheme == "simulated":
        return _parse_simulated(rest, timeframe)
    if CALENDAR.fullmatch(scheme):
        symbol, _, stated = rest.partition("@")
        chosen = _one_timeframe(stated, timeframe)
        return SessionsSource(calendar=str(canonical_name(scheme)), symbol=symbol, timeframe=chosen)
    schemes = (*EXCHANGES, "simulated")
    raise BadSource(f"unknown source {scheme!r}{did_you_mean(scheme, schemes, 0.5)}; expected {_FORMS}")


def _check_calendar(source: object, calendar: str | None) -> None:
    """Raise an error for a calendar that contradicts the source."""
    named = canonical_name(calendar)
    if named is None or isinstance(source, FileSource):
        return
    own = getattr(source, "calendar", None)
    if own != named:
        found = f"the source is of {own}" if own else "this market never closes"
        raise BadSource(
            f"calendar: expected that of the bars, found {named}, but {found}; leave --calendar out"
        )


def _parse_exchange(exchange: str, text: str, timeframe: str | None) -> ExchangeSource:
    symbol, _, stated = text.partition("@")
    if not symbol or not (stated or timeframe):
        raise BadSource(
            f"expected '{exchange}:SYMBOL@TIMEFRAME', found '{exchange}:{text}'; "
            f"did you mean '{exchange}:{symbol or 'BTC/USDT:USDT'}@1h'?"
        )
    chosen = _one_timeframe(stated, timeframe)
    check_timeframe(find_exchange(exchange), chosen)
    return ExchangeSource(exchange=exchange, symbol=symbol, timeframe=chosen)


def _parse_simulated(text: str, timeframe: str | None) -> SimulatedSource:
    name, _, query = text.partition("?")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError as error:
        raise BadSource(f"expected options such as '?seed=1&bars=20000', found '?{query}'") from error
    options: dict[str, Any] = dict(pairs)
    if len(options) < len(pairs):
        raise BadSource(f"expected each option once, found a repeated option in '?{query}'")
    parameters = {key: value for key, value in options.items() if key not in OPTIONS}
    make_process(name, **parameters)
    if "timeframe" in options or timeframe:
        options["timeframe"] = _one_timeframe(options.get("timeframe"), timeframe)
    return SimulatedSource(name=name, options=options)


def _one_timeframe(stated: str | None, given: str | None) -> str:
    if stated and given and stated != given:
        raise BadTimeframe(f"the source says timeframe {stated!r}, the option says {given!r}; drop one")
    chosen = stated or given or ""
    to_ms(chosen)
    return chosen


def _from_exchange(
    source: ExchangeSource, since: int | None, until: int | None, warmup_bars: int, **options: Any
) -> pd.DataFrame:
    # Imported here: only an exchange source needs the exchange client.
    from .download.api import ensure

    return ensure(
        source.symbol,
        source.timeframe,
        since,
        until,
        exchange=source.exchange,
        warmup_bars=warmup_bars,
        mark=True,
        **options,
    )


def _cut(
    frame: pd.DataFrame, since: int | None, until: int | None, warmup_bars: int, source: str
) -> pd.DataFrame:
    times = frame["timestamp"].to_numpy(dtype=np.int64)
    first = 0 if since is None else int(np.searchsorted(times, since))
    end = len(times) if until is None else int(np.searchsorted(times, until))
    if first >= end:
        wanted = f"[{iso(since) if since is not None else '..'}, {iso(until) if until is not None else '..'})"
        raise MissingData(
            f"{source} has no bar in {wanted}; its {len(times)} bars open from {iso(int(times[0]))} "
            f"to {iso(int(times[-1]))}"
        )
    cut = frame.iloc[max(0, first - warmup_bars) : end].reset_index(drop=True)
    cut.attrs = dict(frame.attrs)
    return cut
