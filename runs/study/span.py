"""The span that a search sees, and the last part of it that it never sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from feeds.bars.timeframes import to_ms
from feeds.bars.times import parse_time
from scorenet import ConfigError, TooFewBars
from scorenet.base.times import iso

from ..markets import cut as cut_frame

__all__ = ["Spans", "split"]

_FEWEST = 48  # bars of a part that can be measured at all


@dataclass(frozen=True)
class Spans:
    """The two parts of the bars.

    Attributes:
        seen: frames that end where the held-out part begins; the search has no others.
        start: first bar close that the search trades, UTC ms.
        held_out: first bar close of the held-out part, UTC ms; None: there is none.
        closes: bar closes [N] of the search, UTC ms, over all symbols.
    """

    seen: tuple[pd.DataFrame, ...]
    start: int
    held_out: int | None
    closes: NDArray[np.int64]


def split(frames: Sequence[pd.DataFrame], start: int, holdout: str) -> Spans:
    """Split the bars from the bar close `start` on; `holdout` is a share of the span, or the date where it begins.

    Raises:
        ConfigError: `holdout` is neither.
        TooFewBars: a part has fewer than 48 bars, or a symbol has no bar in the first.
    """
    step = to_ms(frames[0].attrs["timeframe"])
    closes = np.unique(np.concatenate([frame["timestamp"].to_numpy(np.int64) for frame in frames])) + step
    closes = closes[closes >= start]
    cut = _cut(closes, holdout, step)
    if cut is None:
        return Spans(tuple(frames), start, None, closes)
    before, after = int(np.sum(closes < cut)), int(np.sum(closes >= cut))
    if min(before, after) < _FEWEST:
        part = "search" if before < after else "held-out part"
        raise TooFewBars(_FEWEST, min(before, after), f"measure the {part}; choose another --holdout")
    seen = []
    for frame in frames:
        part_of = cut_frame(frame, None, cut - step)
        if not len(part_of):
            raise TooFewBars(
                1, 0, f"search {frame.attrs['symbol']}, which is listed in the held-out part only"
            )
        seen.append(part_of)
    return Spans(tuple(seen), start, cut, closes[closes < cut])


def _cut(closes: NDArray[np.int64], holdout: str, step: int) -> int | None:
    """Return the first bar close of the held-out part."""
    try:
        share = float(holdout)
    except ValueError:
        first = parse_time(holdout) + step
        if not closes[0] < first <= closes[-1]:
            raise ConfigError(
                f"holdout: expected a date from {iso(int(closes[0]))} to {iso(int(closes[-1]))}, found {holdout}"
            ) from None
        return int(closes[np.searchsorted(closes, first)])
    if not 0.0 <= share < 1.0:
        raise ConfigError(f"holdout: expected a share from 0 to below 1, or a date, found {holdout}")
    return None if share == 0.0 else int(closes[min(len(closes) - 1, round(len(closes) * (1.0 - share)))])
