"""Run a soak and print what it showed; the exit status is 1 if a promise was broken.

The days are divided among traders that run side by side, each with an exchange of its own: one trader mostly waits for
its exchange, so that several use the cores better.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from feeds import simulate
from runs.live.journal import JOURNAL
from runs.markets import as_market
from scorenet import learn
from tests.conftest import TINY
from tests.soak.exchange import SYMBOLS, Exchange
from tests.soak.process import Trader, unsettled
from tests.soak.schedule import draw, draw_account, plan
from tests.soak.verify import Findings, verify

SPEED = 20.0  # waits of the exchange's time are this much shorter on the machine
_PATIENCE = 0.25  # seconds of the machine for a minute to be traded; then the next one passes all the same
_SETTLE = 30  # minutes without faults at the end
_ORDERS_SETTLE = 20.0  # seconds, at most, for orders whose every answer was lost
_MIB = 2**20


def soak(options: argparse.Namespace, folder: Path) -> tuple[Findings, Trader, Counter[str]]:
    """Trade under faults for the simulated days or until the limit; then heal everything, settle and compare."""
    rng, counts = random.Random(options.seed), Counter[str]()
    model = Path(options.model) if options.model else _train(folder / "model")
    minutes = int(options.days * 1440)
    weeks = options.days / 7
    faults = options.faults * weeks
    kills = set(rng.sample(range(200, minutes - 60), round(options.kills * weeks)))
    with Exchange(folder) as exchange:
        public, private = exchange.public, exchange.private
        trader = Trader(_command(exchange, folder, model), folder / "trader.log", folder / "run")
        until = time.monotonic() + 60 * options.limit
        for minute in range(minutes):
            if time.monotonic() > until:
                break
            counts["simulated minutes"] += 1
            trader.ensure()
            if rng.random() < faults / minutes:
                plan(draw(rng), public, private)
                counts["faults"] += 1
            if rng.random() < 0.05 * faults / minutes:
                draw_account(rng, private)
                counts["changes of the account"] += 1
            if rng.random() < 10 * weeks / minutes:
                trader.suspend(rng.uniform(0.1, 1.0))
                counts["suspensions"] += 1
            jump = rng.random() < 10 * weeks / minutes
            counts["jumps of the exchange's clock"] += jump
            close = exchange.pass_minutes(rng.randrange(2, 30) if jump else 1)
            if minute in kills:
                time.sleep(rng.uniform(0.0, 0.1))
                trader.kill()
                counts["kills"] += 1
            else:
                trader.follow(close, _PATIENCE)
        exchange.heal()
        for _ in range(_SETTLE):
            trader.ensure()
            trader.follow(exchange.pass_minutes(1), 20.0)
        settled = time.monotonic() + _ORDERS_SETTLE
        while unsettled(folder / "run" / JOURNAL) and time.monotonic() < settled:
            trader.follow(exchange.pass_minutes(1), 20.0)
            time.sleep(0.2)
        status = trader.end()
        found = verify(folder / "run", public, private, SYMBOLS)
    if status:
        found.wrong.append(f"the trader ended with {status}; see its log")
    return found, trader, counts


def _train(path: Path) -> Path:
    frame = simulate("planted", seed=5, bars=3_000, timeframe="1m")
    return Path(learn([as_market(frame)], TINY, progress=False).save(path))


def _command(exchange: Exchange, folder: Path, model: Path) -> list[str]:
    words = {
        "model": model,
        "out": folder / "run",
        "time": folder / "time",
        "public": exchange.public.url,
        "private": exchange.private.url,
        "symbols": ",".join(SYMBOLS),
        "speed": SPEED,
    }
    flags = [str(word) for name, value in words.items() for word in (f"--{name}", value)]
    return [sys.executable, "-m", "tests.soak.trader", *flags]


def show(found: Findings, trader: Trader, counts: Counter[str], seconds: float) -> bool:
    """Print the figures; return whether every promise was kept."""
    starts = f"{trader.starts} starts ({trader.failed_starts} without an answer)"
    print(f"  {found.bars:,} bars, {found.orders:,} orders, {starts} in {seconds:.0f} s")
    print("  " + ", ".join(f"{value} {name}" for name, value in counts.items()))
    print("  states: " + ", ".join(f"{name} {value}" for name, value in sorted(found.states.items())))
    print("  positions: " + ", ".join(f"{name} {size:+f}" for name, size in found.positions.items()))
    longest = max(trader.memory, key=len)
    early, late = longest[len(longest) // 10], max(longest[len(longest) // 10 :])
    growth = (late - early) / _MIB
    print(f"  resident memory of the longest session: {early / _MIB:.0f} MiB, then at most {growth:+.1f} MiB")
    for text in found.wrong[:20]:
        print(f"  WRONG: {text}")
    return not found.wrong


def main() -> None:
    """Parse the command line and run a soak."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--days", type=float, default=30.0, help="simulated days in all (default: 30)")
    parser.add_argument("--traders", type=int, default=4, help="traders side by side (default: 4)")
    parser.add_argument(
        "--kills", type=float, default=6, help="number of kill -9 a simulated week (default: 6)"
    )
    parser.add_argument(
        "--faults", type=float, default=350, help="mean number of faults a week (default: 350)"
    )
    parser.add_argument(
        "--limit",
        type=float,
        default=28,
        help="minutes of the machine after which trading ends (default: 28)",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", help="folder for the run; a temporary one without it")
    parser.add_argument("--model", help="model to trade with; a tiny one is trained without it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.keep or temporary)
        sys.exit(_one(options, folder) if options.traders == 1 else _side_by_side(options, folder))


def _one(options: argparse.Namespace, folder: Path) -> int:
    begin = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    found, trader, counts = soak(options, folder)
    return 0 if show(found, trader, counts, time.monotonic() - begin) else 1


def _side_by_side(options: argparse.Namespace, folder: Path) -> int:
    """Run one process a trader, print the figures of each as it ends, and return 1 if any broke a promise."""
    running = []
    folder.mkdir(parents=True, exist_ok=True)
    model = options.model or _train(folder / "model")
    for number in range(options.traders):
        words = {
            "traders": 1,
            "days": options.days / options.traders,
            "kills": options.kills,
            "faults": options.faults,
            "limit": options.limit,
            "seed": options.seed + number,
            "keep": folder / f"trader_{number}",
            "model": model,
        }
        flags = [str(word) for name, value in words.items() for word in (f"--{name}", value)]
        command = [sys.executable, "-m", "tests.soak", *flags]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    failed = 0
    for number, process in enumerate(running):
        said, _ = process.communicate()
        print(f"trader {number + 1} of {options.traders}\n{said}", end="", flush=True)
        failed |= process.returncode != 0
    return int(failed)


if __name__ == "__main__":
    main()
