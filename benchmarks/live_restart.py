"""Claim: a live run that is started again repeats its recorded bars three times as fast as bar by bar.

A restart replays the journal: the strategy decides every recorded bar again, and each decision is compared with the
recorded one. The model evaluates the recorded bars of a symbol 64 at a time; the baseline evaluates them one by one.
Both runs read the same journal, written by a run on simulated bars, without the report that ends a run.

python benchmarks/live_restart.py [--quick] [--bars 2000] [--symbols 5] [--rounds 3]
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import torch
from _models import quick_model
from _timing import alternate, heading, median_ratio, verdict

from feeds import simulate
from runs.backtest import strategy_defaults
from runs.live.session import LiveRequest, live
from runs.live.status import LiveStatus
from runs.settings import Account

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.runs.live.live_market import ScriptedMarket, open_at


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a smoke run: its figures mean little")
    parser.add_argument("--bars", type=int, default=2_000)
    parser.add_argument("--symbols", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    bars, rounds = (150, 1) if args.quick else (args.bars, args.rounds)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        run = session(Path(temporary), bars, args.symbols)
        run()
        tasks = {"one by one": lambda: ahead(1, run), "64 at a time": lambda: ahead(64, run)}
        taken = alternate(tasks, rounds)
    heading(
        "a restart of a live run", f"{rounds} alternating rounds, {args.symbols} symbols, {bars:,} bars each"
    )
    for name, seconds in taken.items():
        print(f"{name:<20}{bars * args.symbols / min(seconds):9,.0f} bars/s")
    ratio = median_ratio(taken["one by one"], taken["64 at a time"])
    verdict("speed of the replay over bar by bar", ratio, 3.0, at_least=True)


def session(folder: Path, bars: int, symbols: int) -> Callable[[], None]:
    """Return a run that records all bars at its first call, and at every later one only repeats them."""
    model = quick_model()
    model.save(folder / "model")
    frames = [
        simulate("planted", seed=number, bars=model.lookback + 1 + bars, symbol=f"S{number}")
        for number in range(symbols)
    ]
    market = ScriptedMarket(frames, open_at(frames[0], model.lookback + 1) + 5)
    request = LiveRequest(symbols=tuple(market.frames), out=str(folder / "run"))

    def run() -> None:
        status = LiveStatus(io.StringIO(), refreshing=False)
        with patch("runs.live.session.publish"):
            live(folder / "model", request, Account(), strategy_defaults(), market, status, model=model)

    return run


def ahead(steps: int, run: Callable[[], None]) -> None:
    """Run with this number of recorded steps read together."""
    with patch("feeds.live.replay._AHEAD", steps):
        run()


if __name__ == "__main__":
    main()
