"""Claim: the verdict on a search calls luck by its name, whatever the trials have in common.

size      how often each statistic finds an edge in searches over trials that have none (target of the verdict's: 5 % +-
          1.5): independent trials, trials with a correlation of 0.9, trials with heavy tails, and 100 momentum rules on
          one random walk. 1,000 searches each, 100 trials of 1,000 returns; 2,500 of independent trials, because a rate
          of 5 % in 1,000 searches has a standard error of 0.7 %. For comparison, what the best trial's own t-test says.
pbo       mean probability of overfitting over the same searches (target 0.5 +- 0.03 on independent trials).
power     the same shares where one of 100 independent trials has a true Sharpe of 0.15 a period.
cost      seconds and memory of the overfitting figures of 10,000 trials (12,870 splits; target: below 1 GB above the
          trials themselves), and of the SPA test next to that of `arch` on the same returns.

python benchmarks/selection.py [--quick]
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
from _timing import verdict

from runs.selection import (
    SharpeEstimate,
    Trials,
    deflated_sharpe,
    effective_trials,
    overfitting,
    sidak_p_value,
    superior_ability,
)

PERIODS, TRIALS, LEVEL = 1_000, 100, 0.05
FORMS = (
    "t-test of the best alone",
    "deflated Sharpe, published, N",
    "deflated Sharpe, published, N effective",
    "Sidak, N effective",
    "SPA, consistent (the verdict's)",
    "SPA, upper (reality check)",
)
Draw = Callable[[np.random.Generator], np.ndarray]


def independent(rng: np.random.Generator) -> np.ndarray:
    return 0.01 * rng.standard_normal((PERIODS, TRIALS))


def correlated(rng: np.random.Generator) -> np.ndarray:
    common = rng.standard_normal((PERIODS, 1))
    return 0.01 * (np.sqrt(0.9) * common + np.sqrt(0.1) * rng.standard_normal((PERIODS, TRIALS)))


def heavy(rng: np.random.Generator) -> np.ndarray:
    return 0.01 * rng.standard_t(4, (PERIODS, TRIALS))


def momentum(rng: np.random.Generator) -> np.ndarray:
    """Return the returns of 100 rules: the sign of the mean of the last 2 to 101 returns of one random walk."""
    walk = 0.01 * rng.standard_normal(PERIODS + TRIALS + 1)
    total = np.concatenate(([0.0], np.cumsum(walk)))
    now = np.arange(TRIALS + 1, PERIODS + TRIALS + 1)
    return np.stack([np.sign(total[now] - total[now - k]) * walk[now] for k in range(2, TRIALS + 2)], axis=1)


def planted(rng: np.random.Generator) -> np.ndarray:
    returns = independent(rng)
    returns[:, 17] += 0.15 * 0.01
    return returns


def found(returns: np.ndarray, seed: int) -> tuple[list[bool], float]:
    """Return whether each form finds an edge, and the PBO."""
    trials = Trials.of(returns)
    best = SharpeEstimate.of(trials.returns[:, trials.best])
    variance, effective = float(trials.sharpes.var(ddof=1)), effective_trials(trials)
    alone = 1.0 - best.probability_above()
    spa = superior_ability(trials, resamples=499, seed=seed)
    confidence = 1.0 - LEVEL
    rejected = [
        alone <= LEVEL,
        deflated_sharpe(best, variance, trials.n) >= confidence,
        deflated_sharpe(best, variance, effective) >= confidence,
        sidak_p_value(alone, effective) <= LEVEL,
        spa.p_value <= LEVEL,
        spa.p_upper <= LEVEL,
    ]
    return rejected, overfitting(trials, 8).pbo


def shares(searches: int) -> None:
    print(
        f"share of searches in which an edge is found, {searches:,} searches of {TRIALS} trials, {PERIODS:,} returns"
    )
    draws: dict[str, Draw] = {
        "independent": independent,
        "correlated": correlated,
        "heavy tails": heavy,
        "momentum": momentum,
        "planted": planted,
    }
    rates, pbo = {}, {}
    for name, draw in draws.items():
        count = 5 * searches // 2 if draw is independent else searches
        rows = [found(draw(np.random.default_rng(seed)), seed) for seed in range(count)]
        rates[name] = np.mean([row[0] for row in rows], axis=0)
        pbo[name] = float(np.mean([row[1] for row in rows]))
    print(f"{'':<42}" + "".join(f"{name:>13}" for name in draws))
    for number, form in enumerate(FORMS):
        print(f"{form:<42}" + "".join(f"{rates[name][number]:>13.1%}" for name in draws))
    print(f"{'mean PBO':<42}" + "".join(f"{pbo[name]:>13.3f}" for name in draws))
    for name in list(draws)[:-1]:
        off = abs(rates[name][4] - LEVEL)
        verdict(f"size of the verdict, {name}: distance from 5 %", off, 0.015, at_least=False)
    verdict("PBO, independent: distance from 0.5", abs(pbo["independent"] - 0.5), 0.03, at_least=False)
    verdict("power of the verdict, planted", rates["planted"][4], 0.5, at_least=True)


def cost(trials: int) -> None:
    returns = 0.01 * np.random.default_rng(0).standard_normal((2_000, trials))
    matrix = Trials.of(returns)
    begin = time.perf_counter()
    overfitting(matrix, 16)
    print(f"overfitting of {trials:,} trials, 12,870 splits: {time.perf_counter() - begin:.1f} s")
    tracemalloc.start()
    overfitting(matrix, 16)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    verdict("memory above the trials, MB", peak, 1_000, at_least=False)
    against_arch(returns[:, :100])


def against_arch(returns: np.ndarray) -> None:
    from arch.bootstrap import SPA

    begin = time.perf_counter()
    superior_ability(Trials.of(returns), block=5, resamples=500)
    middle = time.perf_counter()
    SPA(np.zeros(len(returns)), -returns, block_size=5, reps=500, seed=0).compute()
    verdict(
        "SPA of 100 trials: times as fast as arch",
        (time.perf_counter() - middle) / (middle - begin),
        1,
        at_least=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="100 searches, 1,000 trials")
    quick = parser.parse_args().quick
    cost(1_000 if quick else 10_000)
    shares(100 if quick else 1_000)


if __name__ == "__main__":
    main()
