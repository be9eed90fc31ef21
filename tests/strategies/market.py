"""Small markets whose equity can be computed by hand, and a scripted strategy that trades them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import backtrader as bt
import pandas as pd

from feeds.btdata import BarsData, ReplayData
from feeds.live.replay import Replay, ReplayedData, Row, Step
from strategies.account.broker import PerpetualBroker
from strategies.account.perpetual import PerpetualCommission
from strategies.analyzers import EquityCurve, Funding, Orders, Trades

START = 1_700_006_400_000  # 2023-11-15 00:00 UTC
HOUR = 3_600_000


def bars(
    prices: Sequence[float | tuple[float, float, float, float] | None],
    funding: Mapping[int, float] | None = None,
    symbol: str = "BTC/USDT:USDT",
    start: int = START,
    gaps: str = "keep",
    volume: float = 1.0,
) -> BarsData:
    """Return hourly bars: a number is a bar with four equal prices, a tuple is (open, high, low, close), None a hole.

    `funding` maps a bar's position to the rate that settles at its open.
    """
    frame = frame_of(prices, funding, start, volume)
    return BarsData(dataname=frame, symbol=symbol, timeframe="1h", gaps=gaps)


def frame_of(
    prices: Sequence[float | tuple[float, float, float, float] | None],
    funding: Mapping[int, float] | None = None,
    start: int = START,
    volume: float = 1.0,
) -> pd.DataFrame:
    """Return the frame of `bars`."""
    quotes = [bar if isinstance(bar, tuple) else (bar,) * 4 for bar in prices]
    frame = pd.DataFrame(quotes, columns=["open", "high", "low", "close"], dtype="float64")
    frame.insert(0, "timestamp", [start + HOUR * i for i in range(len(quotes))])
    frame["volume"] = volume
    frame["funding_rate"] = [(funding or {}).get(i, 0.0) for i in range(len(quotes))]
    return frame.dropna(ignore_index=True)


class Script(bt.Strategy):
    """Send given orders: `orders[bar]` is a list of (method, keyword arguments, data number)."""

    params = (("orders", None),)

    def __init__(self) -> None:
        self.notices: list[tuple[int, str, float]] = []
        self.sent: list[Any] = []

    def prenext(self) -> None:
        self.next()

    def next(self) -> None:
        for method, arguments, number in self.p.orders.get(len(self) - 1, []):
            self.sent.append(getattr(self, method)(data=self.datas[number], **arguments))

    def notify_order(self, order: Any) -> None:
        if not order.alive():
            self.notices.append((len(self) - 1, order.getstatusname(), order.executed.size))


def trade(size: float, number: int = 0, **more: Any) -> tuple[str, dict[str, Any], int]:
    """Return an entry for `Script`: buy (size > 0) or sell at the next open."""
    return ("buy" if size > 0 else "sell", {"size": abs(size), **more}, number)


def hold(target: float, number: int = 0) -> tuple[str, dict[str, Any], int]:
    """Return an entry for `Script`: order_target_percent."""
    return ("order_target_percent", {"target": target}, number)


def run(
    datas: BarsData | Sequence[BarsData],
    orders: Mapping[int, Sequence[Any]],
    broker: Any = None,
    cash: float = 10_000.0,
    analyzers: Sequence[type[bt.Analyzer]] = (EquityCurve, Orders, Trades, Funding),
    **modes: Any,
) -> Any:
    """Run the script and return its strategy; analyzers have their lower-case class names."""
    cerebro = bt.Cerebro(stdstats=False, **modes)
    for data in [datas] if isinstance(datas, BarsData) else datas:
        cerebro.adddata(data)
    cerebro.setbroker(broker if broker is not None else free_broker())
    cerebro.broker.setcash(cash)
    cerebro.addstrategy(Script, orders=orders)
    for analyzer in analyzers:
        cerebro.addanalyzer(analyzer)
    return cerebro.run()[0]


def free_broker(slippage: float = 0.0, **commission: Any) -> PerpetualBroker:
    """Return an account without slippage, fees or order sizes unless they are given."""
    return PerpetualBroker(slippage=slippage, commission=free_commission(**commission))


def free_commission(**params: Any) -> PerpetualCommission:
    """Return a commission scheme without fees and with any order size, unless they are given."""
    return PerpetualCommission(**{"taker": 0.0, "maker": 0.0, "lot_step": 0.0, "min_notional": 0.0, **params})


class RecordedData(ReplayedData, ReplayData):
    """Deliver the bars of a frame as the replay of a live run's journal does."""

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        frame = self.p.dataname
        step, names = int(frame["timestamp"].diff().min()), Row._fields[1:]
        closes = (frame["timestamp"] + step).tolist()
        values = frame.reindex(columns=names, fill_value=0.0).to_numpy().tolist()
        symbol = str(frame.attrs["symbol"])
        steps = [Step(False, {symbol: Row(close, *row)}) for close, row in zip(closes, values, strict=True)]
        replay = Replay(steps, ask_stop=lambda: replay.step is steps[-1])
        self.follow(replay, symbol, step)


def with_attrs(short: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the part `short` of a frame with the attributes of that frame."""
    short.attrs = dict(frame.attrs)
    return short


def equity_of(strategy: Any) -> list[float]:
    """Return the equity at each close."""
    return strategy.analyzers.equitycurve.get_analysis()["equity"].tolist()
