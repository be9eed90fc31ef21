"""A paper run: stored bars take the bar-by-bar path of a live feed, one closed bar at a time.

python examples/paper.py [MODEL_DIR] [SOURCE]

Backtrader treats the feed as live: no preloading, no vectorised indicators. Decisions and orders are those of the
backtest.
"""

import sys

import backtrader as bt

from feeds import ReplayData, load_bars
from feeds.bars.times import iso
from strategies import Orders, PerpetualBroker, ScoreStrategy

MODEL = sys.argv[1] if len(sys.argv) > 1 else "models/demo"
SOURCE = sys.argv[2] if len(sys.argv) > 2 else "simulated:planted?seed=2&bars=3000&edge=0.15"

cerebro = bt.Cerebro(stdstats=False)
cerebro.setbroker(PerpetualBroker(cash=10_000))
cerebro.adddata(ReplayData(dataname=load_bars(SOURCE)))
cerebro.addstrategy(ScoreStrategy, model=MODEL)
cerebro.addanalyzer(Orders, _name="orders")
run = cerebro.run()[0]
decisions = run.decisions.columns()
for row in range(-5, 0):
    bar = {name: column[row] for name, column in decisions.items()}
    print(
        f"{iso(int(bar['time']))}  close {bar['close']:>10,.2f}  signal {bar['signal']:+.2f}  "
        f"density_rank {bar['density_rank']:.3f}  target {bar['target']:+.3f}  {bar['reason']}"
    )
print(f"{len(run.analyzers.orders.get_analysis()['time'])} orders, equity {cerebro.broker.getvalue():,.2f}")
