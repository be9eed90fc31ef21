"""Claim: the store's checks are fast: 100,000 hourly bars become a frame or a feed in well under a second.

raw        `pandas.read_parquet` of the same rows from one plain file, without any check.
store      `read_series`: twelve yearly chunks, each verified by SHA-256 over every value.
frame      `load_bars(..., offline=True)`: the above, plus the lookup of coverage and the validation of the contract.
feed       `BarsData` of that frame, and a Cerebro that runs all of its bars with an empty strategy; compared with
           `bt.feeds.PandasData` of the raw frame in the same Cerebro.
chunk      a year of these bars in the store's encoding, and in parquet's usual one, both with zstd: bytes and the time
           to write them.

Rounds alternate, files are in the page cache. Targets: a frame in at most 0.25 s; a run of the feed in at most the
time of PandasData.

python benchmarks/store_read.py [--quick] [--repeats 9]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import median

import backtrader as bt
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from _timing import alternate, heading, median_ratio, milliseconds, verdict

from feeds import BarsData, load_bars, simulate, to_arrays
from feeds.store.chunks import Chunk, encode
from feeds.store.keys import SeriesKey
from feeds.store.series_store import read_series, write_series

HOUR = 3_600_000
START = 1_325_376_000_000  # 2012-01-01
KEY = SeriesKey("bybit", "BTC/USDT:USDT", "1h")


def fill(folder: Path, bars: int) -> Path:
    """Store simulated bars, and the same bars in a plain parquet file; return the plain file."""
    columns = dict(to_arrays(simulate("random_walk", seed=3, bars=bars)))
    stamps = START + HOUR * np.arange(bars, dtype=np.int64)
    rows = {"timestamp": stamps, **{n: columns[n] for n in ("open", "high", "low", "close", "volume")}}
    with write_series(folder, KEY) as writer:
        writer.write(rows, (START, START + bars * HOUR))
    plain = folder / "plain.parquet"
    pd.DataFrame(rows).to_parquet(plain)
    return plain


def compare_encodings(folder: Path, repeats: int) -> None:
    """Print bytes and time of a year's rows in the store's encoding and in parquet's usual one."""
    year, period = read_series(folder, KEY, START, START + 8_784 * HOUR), {"period": "2012"}
    plain = pa.table(dict(year.columns))

    def usual() -> bytes:
        sink = pa.BufferOutputStream()
        pq.write_table(plain, sink, compression="zstd")
        return bytes(sink.getvalue())

    def ours() -> bytes:
        return encode(Chunk(year.columns, year.covered), period)

    ways = {"usual encoding": usual, "the store's, checksum included": ours}
    taken = alternate(ways, 5 * repeats)
    heading("a year of hourly bars, written", f"median of {5 * repeats} alternating repeats")
    for title, seconds in taken.items():
        print(f"  {title:<42}{milliseconds(seconds)}   {len(ways[title]()):,} bytes")


def run(data: bt.feed.DataBase, bars: int) -> None:
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(data)
    cerebro.addstrategy(bt.Strategy)
    assert len(cerebro.run()[0].data) == bars


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a smoke run: its figures mean little")
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()
    bars, repeats = (5_000, 2) if args.quick else (100_000, args.repeats)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = fill(folder, bars)
        span = (START, START + bars * HOUR)

        def frame() -> pd.DataFrame:
            return load_bars(
                "bybit:BTC/USDT:USDT@1h", since=span[0], until=span[1], data_dir=folder, offline=True
            )

        def raw() -> pd.DataFrame:
            return pd.read_parquet(plain)

        def by_pandas() -> None:
            bare = raw()
            index = pd.to_datetime(bare.pop("timestamp"), unit="ms")
            run(
                bt.feeds.PandasData(
                    dataname=bare.set_index(index), timeframe=bt.TimeFrame.Minutes, compression=60
                ),
                bars,
            )

        stored = frame()
        for column, values in raw().items():
            np.testing.assert_array_equal(stored[column].to_numpy(), values.to_numpy())
        taken = alternate(
            {
                "raw: pandas.read_parquet, no checks": raw,
                "store: read_series, checksums verified": lambda: read_series(folder, KEY, *span),
                "frame: load_bars, offline": frame,
                "feed: BarsData from the store, a run": lambda: run(BarsData(dataname=frame()), bars),
                "PandasData from the plain file, a run": by_pandas,
            },
            repeats,
        )
        compare_encodings(folder, repeats)
    heading(f"{bars:,} hourly bars", f"median of {repeats} alternating repeats")
    for title, seconds in taken.items():
        print(f"  {title:<42}{milliseconds(seconds)}")
    raw_times, _, frames, feeds, pandas_runs = taken.values()
    print(f"\na checked frame takes {median_ratio(frames, raw_times):.1f} times pandas' unchecked read")
    verdict("seconds to a checked frame", median(frames), 0.25, at_least=False)
    verdict("run of the feed beside PandasData's", median_ratio(feeds, pandas_runs), 1.0, at_least=False)


if __name__ == "__main__":
    main()
