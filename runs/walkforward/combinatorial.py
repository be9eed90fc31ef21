"""Combinatorial purged cross-validation: not one out-of-sample path but many, and their spread.

The bars are cut into groups. For every choice of test groups a model is trained on the others, without the bars near a
test group, and trades each test group in an account of its own. The results join to paths that cover all bars once. A
model here also learns from bars after those that it trades: the paths say how much a result depends on the choice of
bars, not what a trader would have earned.

References:
    Advances in Financial Machine Learning, ch. 12 (Lopez de Prado, 2018).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from feeds.bars.frame import clock_of_frame
from scorenet import ConfigError, ScoreModel
from scorenet.base.terminal.progress import progress_bar
from scorenet.calendars import Clock
from strategies import ScoreStrategy
from strategies.analyzers.metrics import sharpe_ratio

from ..engine import run
from ..folder.contents import milliseconds
from ..markets import as_market, cut, describe
from ..selection import SelectionError, combinatorial_paths, combinatorial_splits
from ..study import daily_returns
from ..study.model_cache import ModelCache
from .dates import FoldDates, Span
from .models import FoldModels
from .request import WalkRequest, WalkSettings

__all__ = ["Paths", "combinatorial"]


@dataclass(frozen=True, eq=False)
class Paths:
    """The out-of-sample paths.

    Attributes:
        returns: simple daily returns of each path.
        seconds: of the training of all models.
    """

    returns: tuple[NDArray[np.float64], ...]
    seconds: float

    def to_metrics(self, days_per_year: float = 365.0) -> dict[str, Any]:
        """Return the figures for metrics.json: the annual Sharpe ratio of each path, and their spread.

        `days_per_year` is the number of UTC days with a bar in a year.
        """
        found = [sharpe_ratio(returns, days_per_year) for returns in self.returns]
        known = np.array([value for value in found if value is not None])
        spread = np.quantile(known, [0.05, 0.5, 0.95]).tolist() if len(known) else [None] * 3
        return {
            "n_paths": len(self.returns),
            "sharpe_ratios": found,
            "sharpe_ratio_5": spread[0],
            "sharpe_ratio_median": spread[1],
            "sharpe_ratio_95": spread[2],
            "share_of_losses": float(np.mean([np.prod(1.0 + own) < 1.0 for own in self.returns])),
            "training_seconds": self.seconds,
        }


def combinatorial(
    frames: Sequence[pd.DataFrame],
    request: WalkRequest,
    settings: WalkSettings,
    gap: tuple[int, int],
    folder: Path,
) -> Paths:
    """Train and trade every split; `gap` is (purge, embargo) in bars, `folder` keeps the models.

    Raises:
        ConfigError: the numbers of groups are impossible for these bars.
        FoldFailed: a split has no model.
    """
    groups, tested = request.groups
    clock = clock_of_frame(frames[0])
    step = clock.step_ms
    ends = clock.trading_ms([frame["timestamp"].iloc[place] for frame in frames for place in (0, -1)])
    first = int(ends.min())
    bars = (int(ends.max()) - first) // step + 1
    try:
        splits = list(
            combinatorial_splits(bars, groups=groups, test_groups=tested, purge=gap[0], embargo=gap[1])
        )
        paths = combinatorial_paths(groups, tested)
    except SelectionError as error:
        raise ConfigError(f"--combinatorial: {error}") from error
    edges = clock.open_at(np.linspace(0, bars, groups + 1).astype(np.int64) * step + first)
    parts = [_spans(split.train, first, clock) for split in splits]
    named = [FoldDates(k, (spans[0][0], spans[-1][1]), spans[0]) for k, spans in enumerate(parts)]
    caches = tuple(_cache(frames, request, settings, spans, folder) for spans in parts)
    models = FoldModels.trained(
        named, caches, request.new_executor(), warm=False, progress=request.load.progress
    )
    returns: dict[tuple[int, int], NDArray[np.float64]] = {}
    chosen = list(itertools.combinations(range(groups), tested))
    bar = progress_bar(total=len(splits), name="paths", unit="split", shown=request.load.progress)
    for number, (model, own) in enumerate(zip(models.models, chosen, strict=True)):
        for group in own:
            span = (int(edges[group]), int(edges[group + 1]))
            returns[number, group] = _traded(frames, model, settings, span, clock)
        bar.update()
    bar.close()
    joined = [
        np.concatenate([returns[int(split), group] for group, split in enumerate(path)]) for path in paths
    ]
    return Paths(tuple(joined), sum(models.seconds))


def _spans(bars: NDArray[np.int64], first: int, clock: Clock) -> list[Span]:
    """Return the runs of successive bars as spans of opens [since, until), UTC ms; `first` is in trading time."""
    edges = np.flatnonzero(np.diff(bars) > 1)
    begins, ends = np.r_[bars[0], bars[edges + 1]], np.r_[bars[edges], bars[-1]]
    opens = (clock.open_at(first + at * clock.step_ms).tolist() for at in (begins, ends + 1))
    return list(zip(*opens, strict=True))


def _cache(
    frames: Sequence[pd.DataFrame],
    request: WalkRequest,
    settings: WalkSettings,
    spans: Sequence[Span],
    folder: Path,
) -> ModelCache:
    markets, described = [], []
    for frame, source in zip(frames, request.bars, strict=True):
        parts = [part for span in spans if len(part := cut(frame, *span))]
        if parts:
            joined = pd.concat(parts, ignore_index=True)
            joined.attrs = dict(frame.attrs)
            markets.append(as_market(joined))
            described.append(describe(joined, source))
    return ModelCache(
        folder,
        settings.model,
        tuple(markets),
        tuple(described),
        device=request.device,
        threads=request.threads,
    )


def _traded(
    frames: Sequence[pd.DataFrame], model: ScoreModel, settings: WalkSettings, span: Span, clock: Clock
) -> NDArray[np.float64]:
    """Return the daily returns of one test group, in an account of its own; earlier bars warm up."""
    back = int(clock.open_at(clock.trading_ms(span[0]) - (model.lookback + 1) * clock.step_ms))
    parts = [part for frame in frames if len(part := cut(frame, back, span[1]))]
    start = span[0] + clock.step_ms
    params = {**settings.params, "model": model, "trade_from": start}
    equity = run(parts, settings.account, ScoreStrategy, params, since=start).equity
    return daily_returns(milliseconds(equity["time"]), equity["equity"])
