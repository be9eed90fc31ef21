"""One's own bars by Backtrader's own feeds: a frame by PandasData, and a file by GenericCSVData.

python examples/own_data.py [MODEL_DIR] [SOURCE]

Both must say their bar size, and stamp a bar at its close: a decision at the stamp then knows all of the bar, and no
more. `BarsData(dataname=frame)` does both by itself. A column more, here the funding rate, is declared as a line.
"""

import sys
import tempfile
from pathlib import Path

import backtrader as bt
import pandas as pd

from scorenet import PerpetualBroker, ScoreStrategy, load_bars

MODEL = sys.argv[1] if len(sys.argv) > 1 else "models/demo"
SOURCE = sys.argv[2] if len(sys.argv) > 2 else "simulated:planted?seed=2&bars=3000&edge=0.15"
HOURLY = {"timeframe": bt.TimeFrame.Minutes, "compression": 60}


class FundedFrame(bt.feeds.PandasData):
    lines = ("funding_rate",)
    params = (("funding_rate", "funding_rate"), ("openinterest", "open_interest"))


class FundedFile(bt.feeds.GenericCSVData):
    lines = ("funding_rate",)
    params = (("funding_rate", 7), ("openinterest", 6), ("dtformat", "%Y-%m-%d %H:%M:%S"))


bars = load_bars(SOURCE)
closes = pd.to_datetime(bars["timestamp"], unit="ms") + pd.Timedelta("1h")
columns = ["open", "high", "low", "close", "volume", "open_interest", "funding_rate"]
frame = bars.reindex(columns=columns, fill_value=0.0).set_index(closes)

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "bars.csv"
    frame.to_csv(path, float_format="%.17g", date_format="%Y-%m-%d %H:%M:%S")
    feeds = {
        "PandasData": FundedFrame(dataname=frame, **HOURLY),
        "GenericCSVData": FundedFile(dataname=path, **HOURLY),
    }
    for name, data in feeds.items():
        cerebro = bt.Cerebro(stdstats=False)
        cerebro.setbroker(PerpetualBroker(cash=10_000))
        cerebro.adddata(data, name="MINE")
        cerebro.addstrategy(ScoreStrategy, model=MODEL, trade_from=bars["timestamp"].iloc[0])
        cerebro.run()
        print(f"{name:15s} equity {cerebro.broker.getvalue():,.2f}")
