"""Claim: on simulated markets, `forward` finds a planted edge, and finds none on random walks.

planted      (edge 0.15, horizon 8) out-of-sample Sharpe ratio of the strategy, and of an oracle that trades the exact
             expected return through the same rules and costs; target: at least 60 % of the oracle's.
random_walk  Sharpe ratio after costs, and the Sharpe ratio that costs alone explain, on ten markets; target: all
             together within 2 standard errors. (By chance, one of ten is beyond 2 in 4 cases of 10.)
ar1          hit rate of sign(score) against the next return for phi = +-0.2, `forward` and the chapter's `state`;
             target: forward at least 55 % on both signs.

python benchmarks/recovery.py [--quick] [--seeds 3] [--walks 10] [--edge 0.15]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from feeds import expected_return, simulate, to_arrays
from runs.backtest import strategy_defaults
from runs.engine import Result, run
from runs.markets import as_market
from runs.settings import Account
from scorenet import ModelConfig, ScoreModel, learn
from strategies import Rules, ScoreStrategy, SignalStrategy

YEAR = 8_760
EDGE = 0.15  # largest drift of the next bar, in units of its volatility
WALKS = 10
FIRST_SEED = 11  # settings were chosen on seeds 1 to 3; no setting was chosen on these markets


def part(frame: pd.DataFrame, begin: int, end: int) -> pd.DataFrame:
    piece = frame.iloc[begin:end].reset_index(drop=True)
    piece.attrs = dict(frame.attrs)
    return piece


def sharpe(equity: np.ndarray) -> float:
    returns = np.diff(equity) / equity[:-1]
    return float(returns.mean() / returns.std(ddof=1) * math.sqrt(YEAR))


def trade(model: ScoreModel, frame: pd.DataFrame) -> tuple[Result, int]:
    since = int(frame["timestamp"].iloc[model.lookback + 1]) + 3_600_000
    params = {**strategy_defaults(), "model": model, "trade_from": since}
    return run([frame], Account(), ScoreStrategy, params, since=since), since


def oracle(
    model: ScoreModel, frame: pd.DataFrame, expected: np.ndarray, calibration: np.ndarray, since: int
) -> Result:
    """Trade the exact expected return with the strategy's rules."""
    rules = Rules()
    volatility = model.features.volatility(to_arrays(frame)) * math.sqrt(YEAR)
    strength = expected / math.sqrt(float(np.mean(calibration**2)))
    wanted = strength * np.minimum(rules.max_exposure, (rules.target_volatility or np.inf) / volatility)
    wanted = np.nan_to_num(np.clip(wanted, -rules.max_exposure, rules.max_exposure))
    held = np.convolve(wanted, np.ones(model.horizon) / model.horizon)[: len(wanted)]
    signals = {frame.attrs["symbol"]: held}
    params = {"signals": signals, "trade_from": since, "rebalance_band": rules.rebalance_band}
    return run([frame], Account(), SignalStrategy, params, since=since)


def planted(seed: int, bars: int, config: ModelConfig, edge: float = EDGE) -> tuple[float, float]:
    frame = simulate("planted", seed=seed, bars=bars + YEAR, edge=edge)
    model = learn([as_market(part(frame, 0, bars))], config, progress=False)
    begin = bars - model.lookback - 1
    test = part(frame, begin, len(frame))
    expected = np.nan_to_num(expected_return(frame))
    mine, since = trade(model, test)
    best = oracle(model, test, expected[begin:], expected[int(0.7 * bars) : int(0.85 * bars)], since)
    return sharpe(mine.equity["equity"].to_numpy()), sharpe(best.equity["equity"].to_numpy())


def random_walk(seed: int, bars: int, config: ModelConfig) -> tuple[float, float, float]:
    frame = simulate("random_walk", seed=seed, bars=bars + YEAR)
    model = learn([as_market(part(frame, 0, bars))], config, progress=False)
    result, _ = trade(model, part(frame, bars - model.lookback - 1, len(frame)))
    equity = result.equity["equity"].to_numpy()
    returns = np.diff(equity) / equity[:-1]
    costs = result.orders["fee"].sum() + result.orders["slippage"].sum() + result.funding["amount"].sum()
    drag = -costs / equity.mean() / len(returns) / returns.std(ddof=1) * math.sqrt(YEAR)
    return sharpe(equity), float(drag), math.sqrt(YEAR / len(returns))


def together(distances: Sequence[float]) -> float:
    """Return the combined distance, in standard errors, of independent distances in standard errors."""
    return float(np.sum(distances) / math.sqrt(len(distances)))


def hit_rates(phi: float, seed: int, bars: int, config: ModelConfig) -> dict[str, float]:
    frame = simulate("ar1", seed=seed, bars=2 * bars, phi=phi)
    one_bar = config.with_values(**{"features": "chapter", "forward.horizon": 1})
    model = learn([as_market(part(frame, 0, bars))], one_bar, progress=False)
    test = to_arrays(part(frame, bars - model.lookback, len(frame)))
    coming = np.sign(np.diff(np.log(test["close"])))[model.lookback :]
    out = {}
    for signal in ("forward", "state"):
        guess = np.sign(model.evaluate(test, signal).score[model.lookback : -1])
        out[signal] = float((guess == coming)[coming != 0].mean())
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smoke run on few bars and steps")
    parser.add_argument("--seeds", type=int, default=3, help="markets with a planted edge")
    parser.add_argument("--walks", type=int, default=WALKS, help="random walks")
    parser.add_argument("--edge", type=float, default=EDGE, help="size of the planted edge")
    options = parser.parse_args()
    bars, config = 50_000, ModelConfig()
    if options.quick:
        bars = 12_000
        config = config.with_values(
            **{"state.steps": 30, "density.steps": 30, "density.points": 300, "forward.steps": 60}
        )
    print("planted: Sharpe of forward, of the oracle, ratio (target >= 0.60)", flush=True)
    ratios = []
    for seed in range(FIRST_SEED, FIRST_SEED + options.seeds):
        mine, best = planted(seed, bars, config.with_values(**{"forward.horizon": 8}), options.edge)
        ratios.append(mine / best)
        print(f"  seed {seed}: {mine:6.2f} {best:6.2f} {mine / best:6.2f}", flush=True)
    print(f"  median ratio {np.median(ratios):.2f}")
    print("random walk: Sharpe, Sharpe of the costs alone, distance in standard errors")
    distances = []
    for seed in range(FIRST_SEED, FIRST_SEED + options.walks):
        found, drag, error = random_walk(seed, bars, config)
        distances.append((found - drag) / error)
        print(f"  seed {seed}: {found:6.2f} {drag:6.2f} {distances[-1]:+6.2f}", flush=True)
    print(f"  together {together(distances):+.2f} (target within 2)")
    print("AR(1): hit rate of forward (target >= 0.55) and of the chapter's state signal")
    for phi in (0.2, -0.2):
        rates = hit_rates(phi, FIRST_SEED, bars // 2, config)
        print(f"  phi {phi:+.1f}: forward {rates['forward']:.4f}  state {rates['state']:.4f}", flush=True)


if __name__ == "__main__":
    main()
