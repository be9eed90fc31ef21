"""A market whose every number is a pure function of (symbol, timestamp).

So tests can compute the expected content of a download, and servers in different processes serve the same history. In
every timeframe, a bar's close is the next bar's open.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

__all__ = [
    "DAY",
    "HOUR",
    "MINUTE",
    "Listing",
    "as_matrix",
    "bars",
    "default_listings",
    "funding",
    "open_interest",
]

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_JAN_2022 = 1_640_995_200_000


@dataclass(frozen=True)
class Listing:
    """One instrument as instruments-info describes it.

    `funding` holds (from UTC ms, minutes between settlements): the exchange changes it for a symbol in time.
    `announced` is the published launchTime if bars are older than it, as for the real BTCUSDT. `interval` is the
    published number of minutes between settlements, if the exchange settles otherwise.
    """

    symbol: str
    base: str
    quote: str
    category: str = "linear"
    launch: int = _JAN_2022
    status: str = "Trading"
    tick: str = "0.10"
    lot: str = "0.001"
    min_qty: str = "0.001"
    min_notional: str = "5"
    funding: tuple[tuple[int, int], ...] = ((0, 480),)
    announced: int | None = None
    interval: int | None = None


def default_listings() -> list[Listing]:
    """Return the default listings: large coins, spot, new and pre-launch symbols, a changed funding interval."""
    summer = _JAN_2022 + 515 * DAY
    return [
        Listing("BTCUSDT", "BTC", "USDT"),
        Listing("ETHUSDT", "ETH", "USDT", tick="0.01", lot="0.01", min_qty="0.01"),
        Listing(
            "SOLUSDT", "SOL", "USDT", lot="0.1", funding=((0, 480), (summer, 120), (summer + 10 * DAY, 480))
        ),
        Listing("1000PEPEUSDT", "1000PEPE", "USDT", tick="0.0000001", lot="100", min_qty="100"),
        Listing("NEWUSDT", "NEW", "USDT", launch=1_717_200_000_000),
        Listing("SOONUSDT", "SOON", "USDT", status="PreLaunch", launch=1_719_700_000_000),
        Listing(
            "BTCUSD", "BTC", "USD", category="inverse", tick="0.50", lot="1", min_qty="1", min_notional=""
        ),
        Listing("BTCUSDT", "BTC", "USDT", category="spot", tick="0.01", lot="0.000001", min_qty="0.000048"),
        Listing("ETHUSDT", "ETH", "USDT", category="spot", tick="0.01", lot="0.00001", min_qty="0.00062"),
    ]


def _seed(symbol: str) -> int:
    return zlib.crc32(symbol.encode())


def _noise(symbol: str, stamps: np.ndarray, salt: int) -> np.ndarray:
    """Return uniform numbers in [-1, 1) that depend on the symbol and the timestamp alone (splitmix64)."""
    with np.errstate(over="ignore"):
        z = stamps.astype(np.uint64) + np.uint64((_seed(symbol) << 8) + salt) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return z.astype(np.float64) / 2.0**63 - 1.0


def price(symbol: str, stamps: np.ndarray) -> np.ndarray:
    """Return the last traded price at each time (UTC ms), rounded to cents."""
    days = stamps.astype(np.float64) / DAY
    level = 100.0 + _seed(symbol) % 900
    swing = 0.30 * np.sin(days / 41.0) + 0.10 * np.sin(days * 2.1) + 0.004 * _noise(symbol, stamps, 1)
    return np.round(level * np.exp(swing), 2)


def bars(symbol: str, starts: np.ndarray, step: int, now: int, scale: float = 1.0) -> np.ndarray:
    """Return [N, 6] bars (start, open, high, low, close, volume); a bar still open at `now` is partial."""
    ends = np.minimum(starts + step, now)
    opened, closed = price(symbol, starts) * scale, price(symbol, ends) * scale
    high = np.maximum(opened, closed) * (1.0 + 0.002 * np.abs(_noise(symbol, ends, 2)))
    low = np.minimum(opened, closed) * (1.0 - 0.002 * np.abs(_noise(symbol, ends, 3)))
    elapsed = (ends - starts) / step
    volume = 1000.0 * elapsed * (1.0 + 0.9 * _noise(symbol, starts, 4))
    columns = [np.round(c, 4) for c in (opened, high, low, closed)] + [np.round(volume, 3)]
    return np.column_stack([starts.astype(np.float64), *columns])


def as_matrix(rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the columns of a client's rows side by side, as `bars` returns them."""
    return np.column_stack([values.astype(np.float64) for values in rows.values()])


def funding(listing: Listing, start: int, end: int) -> list[tuple[int, float]]:
    """Return the settlements `(UTC ms, rate)` with start <= time <= end, oldest first."""
    settled: list[tuple[int, float]] = []
    regimes = [*listing.funding, (2**62, 0)]
    for (since, minutes), (until, _) in itertools.pairwise(regimes):
        step = minutes * MINUTE
        low, high = max(since, listing.launch + 1, start), min(until - 1, end)
        stamps = np.arange(-(-low // step) * step, high + 1, step, dtype=np.int64)
        rates = np.round(0.0003 * _noise(listing.symbol, stamps, 5), 8)
        settled += zip(stamps.tolist(), rates.tolist(), strict=True)
    return settled


def open_interest(listing: Listing, start: int, end: int, step: int) -> list[tuple[int, float]]:
    """Return (UTC ms, open interest) on the grid of `step` with start <= time <= end, oldest first."""
    low = max(start, listing.launch)
    stamps = np.arange(-(-low // step) * step, end + 1, step, dtype=np.int64)
    values = np.round(50_000.0 * (1.0 + 0.5 * _noise(listing.symbol, stamps, 6)), 3)
    return list(zip(stamps.tolist(), values.tolist(), strict=True))
