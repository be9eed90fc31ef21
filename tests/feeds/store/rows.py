"""Made-up rows, a short way to store them, and what a store holds afterwards."""

import numpy as np

from feeds.store.keys import SeriesKey
from feeds.store.series_store import read_series, write_series

HOUR = 3_600_000
DAY = 24 * HOUR
YEAR_2024 = 1_704_067_200_000
YEAR_2023 = YEAR_2024 - 365 * DAY
KEY = SeriesKey("bybit", "BTC/USDT:USDT", "1h")
ETH = SeriesKey("bybit", "ETH/USDT:USDT", "1h")
ALL = (0, 1 << 62)


def bars(start, count, step=HOUR, level=100.0):
    stamps = start + step * np.arange(count, dtype=np.int64)
    prices = level + np.arange(count, dtype=float)
    return {"timestamp": stamps, **dict.fromkeys(("open", "high", "low", "close", "volume"), prices)}


def put(folder, start, count, key=KEY, step=HOUR, **options):
    with write_series(folder, key) as writer:
        writer.write(bars(start, count, step, **options), (start, start + count * step))


def stamps(folder, key=KEY, span=ALL):
    return read_series(folder, key, *span).columns["timestamp"].tolist()


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.name != ".lock")
