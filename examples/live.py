"""Live bars on a paper account: history first, then closed bars as they arrive, with the feed's notifications.

python examples/live.py [MODEL_DIR] [BASE_URL SPEED] [BARS]

Ends after BARS live bars, or by Ctrl-C. BASE_URL is that of a loopback exchange (`python -m tests.bybit`) whose
clock runs SPEED times as fast as the machine's. `scorenet live` does the same with a journal that survives
restarts.
"""

import sys
from contextlib import suppress

import backtrader as bt

from feeds import CCXTData
from strategies import PerpetualBroker, ScoreStrategy

MODEL, URL, SPEED, BARS = (*sys.argv[1:], *("models/demo", None, 1, 0)[len(sys.argv) - 1 :])


class PrintingStrategy(ScoreStrategy):
    """Print the feed's notifications, and the decision at each live bar."""

    live = 0

    def notify_data(self, data, status, *args, **kwargs):
        print(data._getstatusname(status), *filter(None, args))

    def next(self):
        super().next()
        if self.data._laststatus == self.data.LIVE:
            bar = self.decisions.rows(len(self.decisions) - 1)[0]
            time = f"{self.data.datetime.datetime(0):%Y-%m-%d %H:%M}"
            print(f"{time}  close {bar['close']:,.2f}  target {bar['target']:+.2f}  {bar['reason']}")
            self.live += 1
            if self.live == int(BARS):
                self.env.runstop()


cerebro = bt.Cerebro(stdstats=False)
cerebro.setbroker(PerpetualBroker(cash=10_000))
cerebro.adddata(
    CCXTData(dataname="BTC/USDT:USDT", timeframe="1h", backfill=200, base_url=URL, speed=float(SPEED))
)
cerebro.addstrategy(PrintingStrategy, model=MODEL)
with suppress(KeyboardInterrupt):
    cerebro.run(exactbars=1)
print(f"equity {cerebro.broker.getvalue():,.2f}")
