"""Sets a second of the compiled replay, beside Cerebro and vectorbt; equality with Cerebro; memory and scaling.

    python benchmarks/replay_speed.py [--vectorbt PYTHON] [--equal 200] [--large]

`--vectorbt` is an interpreter of another environment that has vectorbt. `--equal N` compares N random sets with real
Cerebro runs: orders, reason codes, equity. `--large` replays 10,000 sets on 5 symbols and measures memory. Figures are
medians over alternating rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from statistics import median
from typing import Any

import backtrader as bt
import numpy as np
from _models import quick_model
from _timing import alternate, median_ratio

from feeds import BarsData, simulate
from feeds.bars.frame import to_arrays
from runs.engine import run
from runs.settings import Account
from strategies import PerpetualBroker, Rules, ScoreStrategy
from strategies.replay import ReplayMarket, prepare, replay, replay_chunks

BARS, HOUR, ROUNDS = 17_520, 3_600_000, 5
ROOT = Path(__file__).resolve().parents[1]
FIRST_CALL = """
import sys, time
from strategies import Rules
from strategies.account import Costs
from strategies.replay import ReplayMarket, replay
market = ReplayMarket.load(sys.argv[1])
begin = time.perf_counter()
replay(market, [Rules()], Costs())
print(time.perf_counter() - begin)
"""


def random_sets(count: int, seed: int = 0) -> list[Rules]:
    """Return random decision settings."""
    rng = np.random.default_rng(seed)
    return [
        Rules(
            confidence_threshold=float(rng.uniform(0.0, 0.5)),
            density_quantile=float(rng.uniform(0.0, 0.2)),
            rebalance_band=float(rng.uniform(0.02, 0.3)),
            target_volatility=float(rng.uniform(0.1, 0.8)),
            leverage=float(rng.uniform(0.5, 3.0)),
            max_exposure=float(rng.uniform(0.5, 3.0)),
            cooldown=int(rng.integers(0, 12)),
            forecast_window=int(rng.integers(1, 25)),
            novelty_scaling=float(rng.choice([0.0, 0.2])),
            score_variance_scaling=float(rng.choice([0.0, 0.5])),
            consistency_window=int(rng.choice([0, 6])),
        )
        for _ in range(count)
    ]


def parameters(rules: Rules) -> dict[str, Any]:
    """Return the settings of a set that differ from the defaults."""
    default = Rules()
    values = {item.name: getattr(rules, item.name) for item in fields(Rules)}
    return {name: value for name, value in values.items() if getattr(default, name) != value}


def first_calls(market: ReplayMarket) -> None:
    """Print the time of the first call in a new process, with an empty and with a filled cache of numba."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(market.save(Path(folder) / "market"))
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": f"{folder}/cache"}
        for name in ("compilation", "numba's cache on disk"):
            words = [sys.executable, "-c", FIRST_CALL, path]
            done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
            print(f"first call, with {name:22s} {float(done.stdout):7.2f} s")


def against_others(name: str, market: ReplayMarket, frame: Any, model: Any, vectorbt: str | None) -> None:
    """Print sets a second of the replay, of plain optstrategy and of vectorbt, and the ratios."""
    many, few, account = random_sets(2_000), 2, Account()
    held = replay(market, many[:200], account.costs).figures["bars_in_market"].mean() / len(market.times)
    print(f"{name} market: a position at {held:.0%} of the closes")

    def optstrategy() -> None:
        cerebro = bt.Cerebro(maxcpus=None, optreturn=True)
        cerebro.adddata(BarsData(dataname=frame, checked=True), name="A")
        cerebro.setbroker(PerpetualBroker(cash=account.cash, costs=account.costs))
        cerebro.optstrategy(
            ScoreStrategy, model=[model], confidence_threshold=[0.1 * k for k in range(2 * few)]
        )
        cerebro.run()

    tasks = {
        "replay": lambda: replay(market, many, account.costs),
        "optstrategy": optstrategy,
    }
    taken = alternate(tasks, ROUNDS)
    rates = {
        "replay": [len(many) / s for s in taken["replay"]],
        "optstrategy": [2 * few / s for s in taken["optstrategy"]],
    }
    for task, values in rates.items():
        print(f"{task:12s} {median(values):10.1f} sets/s on {os.cpu_count()} cores")
    print(f"replay / optstrategy {median_ratio(rates['replay'], rates['optstrategy']):10.0f} x   aim 1,000 x")
    if vectorbt:
        with_vectorbt(market, frame, many, account, vectorbt)


def with_vectorbt(market: ReplayMarket, frame: Any, many: list[Rules], account: Account, python: str) -> None:
    """Print the same for vectorbt, in turns with the replay."""
    script = Path(__file__).with_name("_replay_vectorbt.py")
    for sets in (100, 500):
        targets = np.column_stack([targets_of(market, rules) for rules in many[:sets]])
        with tempfile.TemporaryDirectory() as folder:
            np.savez(f"{folder}/in.npz", close=frame["close"], open=frame["open"], targets=targets)
            taken = alternate({"replay": lambda: replay(market, many, account.costs)}, ROUNDS)["replay"]
            ours = len(many) / median(taken)
            words = [python, str(script), f"{folder}/in.npz", str(ROUNDS)]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        theirs = sets / median(found["seconds"])
        print(
            f"vectorbt {found['version']} ({found['engine']} engine), {sets} sets: {theirs:8.1f} sets/s, "
            f"{found['orders'] / sets:.0f} orders a set; replay / vectorbt {ours / theirs:6.1f} x   aim 10 x"
        )


def targets_of(market: ReplayMarket, rules: Rules) -> np.ndarray:
    """Return targets [T] of about the set's: strength at its target volatility, held inside its band."""
    strength, volatility = market.column("strength")[0], market.column("annual_volatility")[0]
    wanted = np.nan_to_num(strength * np.minimum(rules.target_volatility / volatility, rules.max_exposure))
    wanted = np.clip(wanted, -rules.max_exposure, rules.max_exposure)
    wanted = np.where(market.column("density_rank")[0] < rules.density_quantile, 0.0, wanted)
    out, held = np.full(len(wanted), np.nan), 0.0
    for t, target in enumerate(wanted.tolist()):
        if target != held and (target == 0.0 or abs(target - held) >= rules.rebalance_band):
            out[t] = held = target
    return out


def equal(market: ReplayMarket, frame: Any, model: Any, count: int) -> None:
    """Compare random sets with Cerebro, and print the largest difference of equity."""
    sets, account, worst, orders = random_sets(count, seed=1), Account(), 0.0, 0
    result = replay(market, sets, account.costs, curves=True, trace=True)
    for number, rules in enumerate(sets):
        real = run([frame], account, ScoreStrategy, {**parameters(rules), "model": model})
        ours, theirs = result.orders(number), real.orders
        assert ours["status"] == theirs["status"].tolist()
        assert np.allclose(ours["size"], theirs["size"], rtol=1e-9)
        counted = {name: int(n[number]) for name, n in result.reasons.items() if n[number]}
        assert counted == real.decisions["reason"].value_counts().to_dict()
        difference = np.abs(result.equity[number] / real.equity["equity"].to_numpy() - 1.0).max()
        worst, orders = max(worst, float(difference)), orders + len(theirs)
    print(
        f"{count} random sets by Cerebro: {orders} orders and all reason codes the same, equity to {worst:.1e}"
    )


def large(frames: Sequence[Any], model: Any) -> None:
    """Replay many sets on five symbols, and print memory and time; then half of the bars and twice the sets."""
    bars = {str(frame.attrs["symbol"]): to_arrays(frame) for frame in frames}
    short = {
        name: {key: values[: BARS // 2] for key, values in columns.items()} for name, columns in bars.items()
    }
    account = Account()
    for name, columns, count in (
        ("5 symbols", bars, 1_000),
        ("half the bars", short, 1_000),
        ("", bars, 10_000),
    ):
        market = prepare(columns, model, HOUR)
        begin = time.perf_counter()
        for _ in replay_chunks(market, ((rules, account.costs) for rules in _stream(count)), chunk=1_000):
            pass
        taken = time.perf_counter() - begin
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{name:14s} {count:6d} sets {taken:8.1f} s, {1e3 * taken / count:7.2f} ms a set, peak {peak:,.0f} MiB"
        )


def _stream(count: int) -> Iterator[Rules]:
    for seed in range(count // 500):
        yield from random_sets(500, seed)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vectorbt")
    parser.add_argument("--equal", type=int, default=10)
    parser.add_argument("--large", action="store_true")
    options = parser.parse_args()
    model = quick_model()
    frames = [simulate("regimes", seed=k, bars=BARS, symbol="ABCDE"[k], sigma=0.006) for k in range(5)]
    market = prepare({"A": to_arrays(frames[0])}, model, HOUR)
    first_calls(market)
    against_others("unfamiliar", market, frames[0], model, options.vectorbt)
    # The model learned on such a market: nearly every close has a forecast, and most have a position.
    learned = simulate("planted", seed=10, bars=BARS, symbol="A")
    familiar = prepare({"A": to_arrays(learned)}, model, HOUR)
    against_others("familiar", familiar, learned, model, options.vectorbt)
    equal(market, frames[0], model, options.equal)
    if options.large:
        large(frames, model)


if __name__ == "__main__":
    main()
