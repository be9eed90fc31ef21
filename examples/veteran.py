"""A script of somebody who knows Backtrader: a daily filter, a subclass, a futures multiplier, several symbols.

python examples/veteran.py [MODEL_DIR] [SOURCE]

The filter is data that the strategy does not trade. `allow` says whether, `decide` what and how much. The second symbol
is listed later than the first, and trading starts with the first bar that the model has not seen.
"""

import sys

import backtrader as bt

from scorenet import (
    BarsData,
    Decision,
    Orders,
    PerpetualBroker,
    PerpetualCommission,
    ScoreStrategy,
    load_bars,
    resample,
    save_plot,
)

MODEL = sys.argv[1] if len(sys.argv) > 1 else "models/demo"
SOURCE = sys.argv[2] if len(sys.argv) > 2 else "simulated:planted?seed=2&bars=9500&edge=0.15"
PLOT = sys.argv[3] if len(sys.argv) > 3 else ""


class Filtered(ScoreStrategy):
    """Long only above the mean of the last days; half of the usual exposure in rare market states."""

    params = (("days", 3),)

    def __init__(self):
        super().__init__()
        self.daily = self.getdatabyname("daily")
        self.mean = bt.indicators.SMA(self.daily, period=self.p.days)

    def allow(self, symbol, target):
        return self.daily.close[0] > self.mean[0]

    def decide(self, facts):
        target, reason = super().decide(facts)
        if 0 < facts.seen.density_rank < 0.2 and reason == "trade":
            return Decision(target / 2, "reduced")
        return Decision(target, reason)


bars = load_bars(SOURCE)
later = bars.iloc[len(bars) // 2 :].reset_index(drop=True)
later.attrs = {**bars.attrs, "symbol": "LATER"}

cerebro = bt.Cerebro()
cerebro.setbroker(PerpetualBroker(cash=10_000))
cerebro.broker.addcommissioninfo(PerpetualCommission(mult=10, lot_step=0.01), name="FIRST")
cerebro.adddata(BarsData(dataname=bars), name="FIRST")
cerebro.adddata(BarsData(dataname=later), name="LATER")
cerebro.adddata(BarsData(dataname=resample(bars, "1d")), name="daily")
cerebro.addstrategy(Filtered, model=MODEL, datas=["FIRST", "LATER"], trade_from="auto", direction="long")
cerebro.addanalyzer(Orders, _name="orders")
run = cerebro.run()[0]

reasons = list(run.decisions.columns()["reason"])
print(run.models)
print(f"orders   {len(run.analyzers.orders.get_analysis()['time'])}")
print(f"refused  {reasons.count('refused')}, of the other direction {reasons.count('direction')}")
print(f"equity   {cerebro.broker.getvalue():,.2f}")
if PLOT:
    print(save_plot(cerebro, PLOT, volume=False))
