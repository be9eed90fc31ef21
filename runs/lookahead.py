"""`scorenet lookahead`: check that no decision depends on later bars (look-ahead bias).

The data is cut at random bars and the run is repeated on each part. All values recorded up to the cut (model outputs,
decisions, orders) must equal those of the full run bit for bit. A strategy that uses later bars records other values or
sends other orders near the cut, because the later bars are missing there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import backtrader as bt
import numpy as np
import pandas as pd

from feeds.bars.timeframes import to_ms
from scorenet import ScoreModel, TooFewBars
from scorenet.base.terminal.progress import progress_bar
from strategies import ScoreStrategy
from strategies.datas import symbol_of, to_milliseconds

from .backtest import check_frames, check_signal
from .engine import Modes, build, collect
from .folder.jsonfile import plain
from .markets import LoadOptions, load_markets
from .settings import Account

__all__ = ["Cuts", "Difference", "LookaheadReport", "check_lookahead", "prove"]


@dataclass(frozen=True)
class Difference:
    """The first value that later bars changed: its table and column, its bar (UTC), and the cut."""

    cut: str
    table: str
    column: str
    time: str
    with_future: Any
    without: Any


@dataclass(frozen=True, kw_only=True)
class Cuts:
    """Where to cut the data: `number` random bars, drawn with `seed`, none before bar `first`."""

    number: int = 20
    first: int = 1
    seed: int = 0


@dataclass(frozen=True)
class LookaheadReport:
    """Result: `values` compared values over `cuts` cuts; `differences` holds the first difference of each cut."""

    cuts: int
    bars: int
    values: int
    differences: tuple[Difference, ...]

    @property
    def clean(self) -> bool:
        """Whether no value up to any cut depended on later bars."""
        return not self.differences


def check_lookahead(
    frames: Sequence[pd.DataFrame],
    account: Account,
    strategy: type[bt.Strategy],
    params: Mapping[str, Any],
    cuts: Cuts,
    *,
    modes: Modes | None = None,
    progress: bool = True,
) -> LookaheadReport:
    """Compare the run on all bars with runs on the bars up to random cuts.

    No cut is made before the start of the last frame, because fewer symbols would change the account.

    Raises:
        TooFewBars: if there are no bars to cut.
    """
    times = np.unique(np.concatenate([frame["timestamp"].to_numpy() for frame in frames]))
    started = max(int(frame["timestamp"].iloc[0]) for frame in frames)
    first = max(cuts.first, int(np.searchsorted(times, started)))
    if len(times) < first + 2:
        raise TooFewBars(first + 2, len(times), "cut the data")
    chosen = np.random.default_rng(cuts.seed).choice(
        np.arange(first, len(times) - 1), size=min(cuts.number, len(times) - 1 - first), replace=False
    )
    full = _tables(frames, account, strategy, params, modes)
    step = to_ms(frames[0].attrs["timeframe"])
    values, found = 0, []
    for position in progress_bar(sorted(chosen), name="cuts", unit="cut", shown=progress):
        last = int(times[position])
        short = [frame[frame["timestamp"] <= last].reset_index(drop=True) for frame in frames]
        kept = [_with_attrs(s, f) for s, f in zip(short, frames, strict=True)]
        part = _tables(kept, account, strategy, params, modes)
        compared, difference = _compare(full, part, pd.Timestamp(last + step, unit="ms", tz="UTC"))
        values += compared
        if difference is not None:
            found.append(difference)
    return LookaheadReport(len(chosen), len(times), values, tuple(found))


def prove(
    model_dir: str | Path,
    sources: Sequence[str],
    account: Account,
    params: Mapping[str, Any],
    options: LoadOptions,
    *,
    cuts: int,
    seed: int,
) -> dict[str, Any]:
    """Run `check_lookahead` for a model's strategy on the bars of `sources`; return plain values.

    Raises:
        FeedError, ScorenetError: an error of the bars or the model.
    """
    model = ScoreModel.load(model_dir)
    frames = load_markets(sources, options, warmup_bars=model.lookback + 1)
    check_frames(model, frames)
    check_signal(model, params["signal"])
    found = check_lookahead(
        frames,
        account,
        ScoreStrategy,
        {**params, "model": model},
        Cuts(number=cuts, first=model.lookback + 1, seed=seed),
        progress=options.progress,
    )
    return dict(plain({**asdict(found), "clean": found.clean}))


class _Requests(bt.Analyzer):  # type: ignore[misc]
    """Record every order at the bar where it was sent; the table `orders` lacks the unfilled orders sent at a cut."""

    def start(self) -> None:
        self._sent: list[tuple[float, str, float, float | None]] = []
        self._seen = 0

    def prenext(self) -> None:
        self.next()

    def next(self) -> None:
        orders, now = self.strategy.broker.orders, self.strategy.lines.datetime[0]
        for order in orders[self._seen :]:
            self._sent.append((now, symbol_of(order.data), order.created.size, order.created.price))
        self._seen = len(orders)

    def table(self) -> pd.DataFrame:
        table = pd.DataFrame(self._sent, columns=["time", "symbol", "size", "price"])
        return table.assign(time=pd.to_datetime(to_milliseconds(table["time"]), unit="ms", utc=True))


def _tables(
    frames: Sequence[pd.DataFrame],
    account: Account,
    strategy: type[bt.Strategy],
    params: Mapping[str, Any],
    modes: Modes | None,
) -> dict[str, pd.DataFrame]:
    cerebro = build(frames, account, strategy, params, modes=modes)
    cerebro.addanalyzer(_Requests, _name="requests")
    finished = cerebro.run()[0]
    result = collect(finished)
    tables = {name: getattr(result, name) for name in ("decisions", "orders", "funding", "equity")}
    return {"decisions": tables["decisions"], "requests": finished.analyzers.requests.table(), **tables}


def _with_attrs(short: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    short.attrs = dict(frame.attrs)
    return short


def _compare(
    full: Mapping[str, pd.DataFrame], part: Mapping[str, pd.DataFrame], cut: pd.Timestamp
) -> tuple[int, Difference | None]:
    values = 0
    for name, whole in full.items():
        compared, difference = _compare_tables(name, whole[whole["time"] <= cut], part[name], cut)
        values += compared
        if difference is not None:
            return values, difference
    return values, None


def _compare_tables(
    name: str, whole: pd.DataFrame, part: pd.DataFrame, cut: pd.Timestamp
) -> tuple[int, Difference | None]:
    rows = min(len(whole), len(part))
    earliest: tuple[int, str] | None = None
    for column in whole.columns:
        left, right = _values(whole[column])[:rows], _values(part[column])[:rows]
        same = (left == right) | (pd.isna(left) & pd.isna(right))
        if not same.all():
            row = int(np.argmin(same))
            if earliest is None or row < earliest[0]:
                earliest = (row, str(column))
    if earliest is None and len(whole) != len(part):
        longer = whole if len(whole) > len(part) else part
        time = str(longer["time"].iloc[rows])
        return rows, Difference(str(cut), name, "rows", time, len(whole), len(part))
    if earliest is None:
        return rows * len(whole.columns), None
    row, column = earliest
    left, right = _values(whole[column])[row], _values(part[column])[row]
    return rows, Difference(str(cut), name, column, str(whole["time"].iloc[row]), left, right)


def _values(column: pd.Series) -> Any:
    """Return a column as an array; an unknown flag is None, because pandas' NA can be compared with nothing."""
    if not isinstance(column.dtype, pd.BooleanDtype):
        return column.to_numpy()
    return np.array([None if flag is pd.NA else bool(flag) for flag in column], dtype=object)
