"""Backtrader's own optimiser over the confidence and density thresholds, on two processes.

python examples/sweep.py [MODEL_DIR] [SOURCE]

The nets are evaluated once, before the workers are forked, so a trial takes only Backtrader's own loop. The best of
many trials is partly luck: choose on one span and test on a later one.
"""

import sys

import backtrader as bt

from feeds import BarsData, load_bars, to_arrays
from strategies import InDistribution, PerpetualBroker, ScoreStrategy, Sharpe, precompute

MODEL = sys.argv[1] if len(sys.argv) > 1 else "models/demo"
SOURCE = sys.argv[2] if len(sys.argv) > 2 else "simulated:planted?seed=2&bars=9500&edge=0.15"
CONFIDENCE = (0.0, 0.2, 0.4, 0.6)
DENSITY = (0.0, 0.05, 0.2)


def main() -> None:
    bars = load_bars(SOURCE)
    precompute(MODEL, to_arrays(bars))
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(PerpetualBroker(cash=10_000))
    cerebro.adddata(BarsData(dataname=bars))
    cerebro.optstrategy(ScoreStrategy, model=MODEL, confidence_threshold=CONFIDENCE, density_quantile=DENSITY)
    cerebro.addanalyzer(Sharpe, _name="sharpe")
    cerebro.addanalyzer(InDistribution, _name="in_distribution")
    trials = [trial for (trial,) in cerebro.run(maxcpus=2)]
    trials.sort(key=lambda t: t.analyzers.sharpe.get_analysis()["sharpe_ratio"] or 0.0, reverse=True)
    print("confidence_threshold  density_quantile  sharpe_ratio  in_distribution_ratio")
    for trial in trials[:5]:
        sharpe = trial.analyzers.sharpe.get_analysis()["sharpe_ratio"] or 0.0
        familiar = trial.analyzers.in_distribution.get_analysis()["in_distribution_ratio"]
        print(
            f"{trial.p.confidence_threshold:20.2f}{trial.p.density_quantile:18.2f}{sharpe:14.2f}{familiar:23.3f}"
        )


if __name__ == "__main__":
    main()
