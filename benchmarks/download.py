"""Claim: a download of many symbols is several times faster than ccxt's own loop, and sends no unnecessary request.

Both run against the loopback exchange, which limits requests to 600 in 5 seconds (one more is a ban). It answers
immediately, which favours the sequential loop; --round-trip-ms simulates the network. Compared in one run:

own      `feeds.fetch`: all symbols concurrently through one rate limiter, into the checksummed store.
ccxt     `fetch_ohlcv` page by page, symbol by symbol, at ccxt's default throttle: the loop of ccxt's examples.

Targets: at least 4 times the bars per second; requests = ceil(missing bars / 1000) per series; no refused request;
a second run sends no request for bars.

python benchmarks/download.py [--quick] [--round-trip-ms 0]
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path

import ccxt
from _timing import heading, verdict

from feeds.download.api import fetch

ROOT = Path(__file__).resolve().parents[1]
HOUR = 3_600_000
NOW = 1_719_750_896_789
END = NOW // HOUR * HOUR
SERVER = """
import sys, time
from tests.bybit import Listing, LoopbackBybit
count, delay = int(sys.argv[1]), float(sys.argv[2])
listings = [Listing(f"C{k}USDT", f"C{k}", "USDT") for k in range(count)]
with LoopbackBybit(clock=int(sys.argv[3]), listings=listings, delay=delay) as exchange:
    print(exchange.url, flush=True)
    for line in sys.stdin:
        log = list(exchange.log)
        exchange.log.clear()
        klines = [r for r in log if r.path == "/v5/market/kline"]
        print(len(klines), len(log), sum(r.status == 403 for r in log), flush=True)
"""


class Exchange:
    """The loopback exchange in its own process, so that it does not slow down its client."""

    def __init__(self, symbols: int, delay: float) -> None:
        words = [sys.executable, "-c", SERVER, str(symbols), str(delay), str(NOW)]
        self._process = subprocess.Popen(
            words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.url = self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def requests(self) -> tuple[int, int, int]:
        """Return the requests since the last call: for klines, in total, refused."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        klines, total, refused = map(int, self._line().split())
        return klines, total, refused

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


def download(url: str, symbols: list[str], bars: int, folder: Path) -> int:
    reports = fetch(symbols, since=END - bars * HOUR, base_url=url, data_dir=folder, progress=False)
    return sum(report.rows for report in reports)


def by_ccxt(url: str, symbols: list[str], bars: int) -> int:
    """Download pages forward from `since` at ccxt's throttle; each page starts at the last row of the previous one."""
    client = ccxt.bybit(
        {
            "enableRateLimit": True,
            "urls": {"api": {"public": url}},
            "options": {"defaultType": "swap", "fetchMarkets": {"types": ["linear"]}},
        }
    )
    client.load_markets()
    total = 0
    for symbol in symbols:
        since, rows = END - bars * HOUR, deque[list[float]]()
        while since < END:
            page = client.fetch_ohlcv(symbol, "1h", since=since, limit=1000)
            page = [row for row in page if since <= row[0] < END]
            if not page:
                break
            rows.extend(page)
            since = page[-1][0] + HOUR
        total += len(rows)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a smoke run: its figures mean little")
    parser.add_argument("--symbols", type=int, default=100)
    parser.add_argument("--bars", type=int, default=9_500)
    parser.add_argument("--round-trip-ms", type=float, default=0.0)
    args = parser.parse_args()
    logging.getLogger("feeds").setLevel(logging.ERROR)  # the loopback's clock is in 2024
    count, bars, compared = (8, 2_500, 2) if args.quick else (args.symbols, args.bars, 10)
    symbols = [f"C{k}/USDT:USDT" for k in range(count)]
    exchange = Exchange(count, args.round_trip_ms / 1000)
    heading(
        f"{count} symbols, {bars:,} hourly bars each, {args.round_trip_ms:g} ms of network a request",
        f"ccxt's loop on {compared} of the symbols before and after: its rate does not depend on their number",
    )
    try:
        loop = []
        with tempfile.TemporaryDirectory() as folder:
            for turn in ("before", "after"):
                begin = time.perf_counter()
                rows = by_ccxt(exchange.url, symbols[:compared], bars)
                loop.append(rows / (time.perf_counter() - begin))
                assert rows == compared * bars
                print(
                    f"  ccxt, {turn:<14}{loop[-1]:12,.0f} bars/s  {exchange.requests()[0]:5} kline requests"
                )
                if turn == "after":
                    break
                begin = time.perf_counter()
                rows = download(exchange.url, symbols, bars, Path(folder))
                seconds = time.perf_counter() - begin
                assert rows == count * bars
                own, (asked, total, refused) = rows / seconds, exchange.requests()
                print(
                    f"  own                 {own:12,.0f} bars/s  {asked:5} kline requests, "
                    f"{total} in all, {seconds:.1f} s"
                )
                begin = time.perf_counter()
                download(exchange.url, symbols, bars, Path(folder))
                again = exchange.requests()
                print(
                    f"  own, second run     {time.perf_counter() - begin:12.2f} s       {again[0]:5} kline requests"
                )
    finally:
        exchange.close()
    needed = count * -(-bars // 1000)
    verdict("bars per second beside ccxt's loop", own / (sum(loop) / len(loop)), 4.0, at_least=True)
    verdict("kline requests beside ceil(missing bars / 1000)", asked / needed, 1.0, at_least=False)
    verdict("requests refused by the exchange's limit", refused, 0, at_least=False)
    verdict("kline requests of the second run", again[0], 0, at_least=False)


if __name__ == "__main__":
    main()
