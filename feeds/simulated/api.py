"""Simulated markets with a known return distribution; the same seed gives the same first bars for any length."""

import math
from urllib.parse import parse_qsl, urlencode

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..bars.frame import as_bars
from ..bars.joins import join_funding
from ..bars.timeframes import to_ms
from ..bars.times import iso, parse_time
from ..errors import BadSource
from .processes import OPTIONS, PROCESSES, Floats, Regimes, ar1_path, generator, make_process

__all__ = ["MARKETS", "expected_return", "simulate", "true_regimes"]

MARKETS = tuple(PROCESSES)

_HOUR = 3_600_000
_SETTLEMENT = 8 * _HOUR
_START = "2020-01-01"
_FIRST_PRICE = 100.0
_MAX_BARS = 10_000_000


def simulate(
    name: str,
    *,
    seed: int = 1,
    bars: int = 20_000,
    timeframe: str = "1h",
    start: str | int = _START,
    symbol: str | None = None,
    **parameters: float,
) -> pd.DataFrame:
    """Return canonical bars of the market `name`: random_walk, ar1, regimes or planted.

    Each bar opens at the previous close. Highs and lows are those of a Brownian bridge with the bar's volatility, and
    volume rises with volatility. Funding settles every 8 hours and varies slowly around 5e-5; open interest drifts. The
    other keywords are parameters of the process (see `feeds.simulated.processes`), e.g. phi=-0.2.

    Raises:
        BadSource: unknown market or parameter, or a value out of its range.
        BadTimeframe: unknown timeframe.
    """
    rule = make_process(name, **parameters)
    seed = _integer("seed", seed, 0, 2**63 - 1)
    bars = _integer("bars", bars, 1, _MAX_BARS)
    step, begin = to_ms(timeframe), parse_time(start)
    if begin % step:
        raise BadSource(f"expected a start on the {timeframe} grid, found {iso(begin)}")
    returns, volatility = rule.draw(seed, bars, step / _HOUR)
    times = begin + step * np.arange(bars, dtype=np.int64)
    frame = pd.DataFrame({"timestamp": times, **_prices(seed, returns, volatility)})
    frame["volume"] = _volume(seed, returns, volatility)
    frame.attrs = {"timeframe": timeframe}
    frame = join_funding(frame, _funding(seed, int(times[0]), int(times[-1])))
    frame["open_interest"] = _open_interest(seed, bars, step)
    drawn = {key: getattr(rule, key) for key in parameters}
    query = urlencode(
        {"seed": seed, "bars": bars, "timeframe": timeframe, "start": iso(begin), **drawn}, safe=":"
    )
    return as_bars(
        frame, symbol=symbol or f"{name}-{seed}", timeframe=timeframe, source=f"simulated:{name}?{query}"
    )


def expected_return(frame: pd.DataFrame, market: str | None = None, **parameters: float) -> Floats:
    """Return the exact E[r_{t+1} | bars up to t] of a simulated frame, log-return per bar [T].

    The process is read from `frame.attrs["source"]` unless `market` (and its parameters) name it. Rows whose
    expectation depends on bars before the frame's first one are NaN.

    Raises:
        BadSource: the frame names no simulated market, or was resampled.
    """
    step = to_ms(frame.attrs["timeframe"])
    start: int | None = None
    if market is None:
        market, parameters, start, drawn = _process_of(frame)
        if drawn != step:
            raise BadSource("expected the simulated bars, found a resampled frame; pass the original frame")
    rule = make_process(market, **parameters)
    returns = np.log(frame["close"].to_numpy() / frame["open"].to_numpy())
    expected = rule.expected(returns, step / _HOUR)
    if start is not None and int(frame["timestamp"].iloc[0]) != start:
        expected[: rule.memory - 1] = np.nan
    return expected


def true_regimes(frame: pd.DataFrame) -> NDArray[np.int64]:
    """Return the true regime of each bar [T] of a market `regimes`: 0 quiet, 1 normal, 2 stressed.

    Raises:
        BadSource: the frame is of another market, or not the simulated bars themselves.
    """
    name, parameters, start, step = _process_of(frame)
    rule = make_process(name, **parameters)
    if not isinstance(rule, Regimes):
        raise BadSource(f"expected bars of the simulated market 'regimes', found {name!r}")
    place, odd = np.divmod(frame["timestamp"].to_numpy() - start, step)
    seed, bars = _drawn(frame)
    if to_ms(frame.attrs["timeframe"]) != step or odd.any() or not len(place) or place.max() >= bars:
        raise BadSource("expected the simulated bars, found a resampled frame; pass the original frame")
    found: NDArray[np.int64] = rule.regimes(seed, bars)[place]
    return found


def _drawn(frame: pd.DataFrame) -> tuple[int, int]:
    """Return the seed and the number of bars of a simulated frame."""
    options = dict(parse_qsl(str(frame.attrs["source"]).partition("?")[2]))
    return int(options["seed"]), int(options["bars"])


def _process_of(frame: pd.DataFrame) -> tuple[str, dict[str, float], int, int]:
    source = str(frame.attrs.get("source", ""))
    scheme, _, rest = source.partition(":")
    if scheme != "simulated":
        raise BadSource(f"expected bars of a simulated market, found source {source!r}; name the market")
    name, _, query = rest.partition("?")
    options = dict(parse_qsl(query))
    parameters = {key: float(value) for key, value in options.items() if key not in OPTIONS}
    return name, parameters, parse_time(options["start"]), to_ms(options["timeframe"])


def _prices(seed: int, returns: Floats, volatility: Floats) -> dict[str, Floats]:
    close = _FIRST_PRICE * np.exp(np.cumsum(returns))
    opening = np.concatenate([[_FIRST_PRICE], close[:-1]])
    # The maximum of a Brownian bridge from 0 to r with volatility v: (r + sqrt(r^2 - 2 v^2 ln U)) / 2.
    draws = -np.log1p(-generator(seed, "extremes").random((len(returns), 2)))
    reach = np.sqrt(returns[:, None] ** 2 + 2 * volatility[:, None] ** 2 * draws)
    high = np.maximum(opening * np.exp((returns + reach[:, 0]) / 2), np.maximum(opening, close))
    low = np.minimum(opening * np.exp((returns - reach[:, 1]) / 2), np.minimum(opening, close))
    return {"open": opening, "high": high, "low": low, "close": close}


def _volume(seed: int, returns: Floats, volatility: Floats) -> Floats:
    surprise = np.minimum(np.abs(returns) / volatility, 8.0)
    noise = 0.35 * generator(seed, "volume").standard_normal(len(returns))
    return np.asarray(1000.0 * (volatility / 0.006) * np.exp(0.4 * surprise + noise))


def _funding(seed: int, first: int, last: int) -> pd.DataFrame:
    begin = first - first % _SETTLEMENT
    times: NDArray[np.int64] = np.arange(begin, last + 1, _SETTLEMENT, dtype=np.int64)
    # Real rates of BTC, ETH, SOL and BNB correlate by 0.2 to 0.5 over a week (21 settlements); 0.95^21 is 0.34.
    drift = ar1_path(0.95, generator(seed, "funding").standard_normal(len(times)))
    rates = 5e-5 + 1.5e-5 * drift
    return pd.DataFrame({"timestamp": times, "funding_rate": rates})


def _open_interest(seed: int, bars: int, step: int) -> Floats:
    hours = step / _HOUR
    persistence = math.exp(-hours / 1000)
    shocks = 0.3 * math.sqrt(1 - persistence**2) * generator(seed, "open_interest").standard_normal(bars)
    return np.asarray(50_000.0 * np.exp(ar1_path(persistence, shocks)))


def _integer(name: str, value: int | str, low: int, high: int) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError) as error:
        raise BadSource(f"expected a whole number for {name}, found {value!r}") from error
    if not low <= number <= high:
        raise BadSource(f"expected {name} in [{low}, {high}], found {number}")
    return number
