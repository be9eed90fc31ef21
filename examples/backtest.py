"""Ten lines: the score strategy in a plain Cerebro script.

python examples/backtest.py [MODEL_DIR] [SOURCE]

The defaults are the model that `make demo` wrote, and another market simulated with the same parameters.
"""

import sys

import backtrader as bt

from feeds import BarsData, load_bars
from strategies import InDistribution, PerpetualBroker, ScoreStrategy, Sharpe

MODEL = sys.argv[1] if len(sys.argv) > 1 else "models/demo"
SOURCE = sys.argv[2] if len(sys.argv) > 2 else "simulated:planted?seed=2&bars=9500&edge=0.15"

cerebro = bt.Cerebro(stdstats=False)
cerebro.setbroker(PerpetualBroker(cash=10_000, slippage=0.0002))
cerebro.adddata(BarsData(dataname=load_bars(SOURCE)))
cerebro.addstrategy(ScoreStrategy, model=MODEL, density_quantile=0.05)
cerebro.addanalyzer(Sharpe, _name="sharpe")
cerebro.addanalyzer(InDistribution, _name="in_distribution")
run = cerebro.run()[0]
print(f"equity                {cerebro.broker.getvalue():,.2f}")
print(f"sharpe_ratio          {run.analyzers.sharpe.get_analysis()['sharpe_ratio']:.2f}")
print(f"in_distribution_ratio {run.analyzers.in_distribution.get_analysis()['in_distribution_ratio']:.3f}")
