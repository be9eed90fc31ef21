"""From frames to a page in one script: train, trade after what the model has seen, and write the report.

python examples/own_run.py [MODEL_DIR] [RUN_DIR]

The report is that of `scorenet backtest`; the last lines write it for a strategy without a model, too.
"""

import sys

import backtrader as bt

import scorenet
from scorenet import BarsData, PerpetualBroker, ScoreStrategy

MODEL = sys.argv[1] if len(sys.argv) > 1 else "models/frames"
RUN = sys.argv[2] if len(sys.argv) > 2 else "out/frames"
SMALL = {
    "features": "chapter",
    "state": {"steps": 60, "hidden": 32, "batch_size": 256},
    "density": {"points": 400, "steps": 80, "hidden": 32},
    "forward": {"horizon": 4, "members": 2, "scale_steps": 60, "steps": 60},
}  # for speed; leave it out to train for use

markets = {f"COIN{seed}/USDT:USDT": scorenet.simulate("planted", seed=seed, bars=1_500) for seed in (1, 2)}
model = scorenet.train(markets, SMALL, out=MODEL, progress=False)
print(model)


class Trend(bt.Strategy):
    """Not a strategy of scorenet."""

    def __init__(self):
        self.mean = bt.indicators.SMA(self.data, period=48)

    def next(self):
        self.order_target_percent(target=0.5 if self.data.close[0] > self.mean[0] else 0.0)


for strategy, params, out in (
    (ScoreStrategy, {"model": model, "trade_from": "auto"}, RUN),
    (Trend, {}, f"{RUN}-trend"),
):
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(PerpetualBroker(cash=10_000))
    cerebro.adddata(
        BarsData(dataname=scorenet.simulate("planted", seed=3, bars=2_400)), name="COIN1/USDT:USDT"
    )
    cerebro.addstrategy(strategy, **params)
    scorenet.add_scorenet_analyzers(cerebro)
    cerebro.run()
    print(scorenet.report(cerebro, out))
