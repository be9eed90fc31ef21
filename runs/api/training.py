"""Train a model from frames of bars in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypedDict, Unpack

import pandas as pd

from feeds import as_bars
from scorenet import ConfigError, ModelConfig, ScoreModel
from scorenet.bindings import check_names

from ..train import check_writable, train_frames

__all__ = ["Frames", "train"]

Frames: TypeAlias = pd.DataFrame | Mapping[str, pd.DataFrame] | Sequence[pd.DataFrame]


class _Fit(TypedDict, total=False):
    device: str
    threads: int | None
    progress: bool


def train(
    frames: Frames,
    config: ModelConfig | Mapping[str, Any] | None = None,
    *,
    out: str | Path | None = None,
    timeframe: str | None = None,
    gaps: str | None = None,
    calendar: str | None = None,
    **fit: Unpack[_Fit],
) -> ScoreModel:
    """Train a model on frames of bars, and write its folder if `out` is given; the same as `scorenet train`.

    Args:
        frames: bars of one symbol, or of several as {"BTC/USDT:USDT": frame, ...}; a frame from `load_bars` or
            `read_bars` knows its symbol and bar size, so a list of them will do. Columns and times as in
            `feeds.as_bars`: `timestamp` is the bar's open.
        config: settings, as a `ModelConfig` or a mapping such as {"features": "chapter", "forward": {"horizon": 12}}.
        out: the model folder to write.
        timeframe: bar size, "1h"; None takes that of the frame, or the commonest spacing of its times.
        gaps: what to do about missing bars, see `feeds.as_bars`; None keeps those of a frame of ours, and otherwise
            raises an error.
        calendar: trading calendar of a market that closes, such as "XNYS"; None takes that of the frame, if any.
        fit: `device`, `threads` and `progress`, as in `scorenet.learn`.

    Raises:
        FeedError: a frame is no frame of bars.
        ConfigError: a setting is unknown or impossible, or a frame has no symbol.
        ScorenetError: the bars cannot be used for training; nothing is written then.
        CheckpointError: the folder cannot be written.
    """
    settings = config if isinstance(config, ModelConfig) else ModelConfig.from_dict(dict(config or {}))
    check_names(settings)
    if out is not None:
        check_writable(Path(out))
    bars = [_bars(name, frame, timeframe, gaps, calendar) for name, frame in _named(frames)]
    model = train_frames(bars, ["frame"] * len(bars), settings, **fit)
    if out is not None:
        model.save(out)
    return model


def _named(frames: Frames) -> list[tuple[str | None, pd.DataFrame]]:
    if isinstance(frames, Mapping):
        return [(str(symbol), frame) for symbol, frame in frames.items()]
    return [(None, frame) for frame in ([frames] if isinstance(frames, pd.DataFrame) else frames)]


def _bars(
    symbol: str | None, frame: pd.DataFrame, timeframe: str | None, gaps: str | None, calendar: str | None
) -> pd.DataFrame:
    ours = isinstance(frame, pd.DataFrame) and bool(frame.attrs.get("timeframe"))
    policy: Any = gaps or ("keep" if ours else "raise")
    bars = as_bars(frame, symbol=symbol, timeframe=timeframe, gaps=policy, calendar=calendar)
    if not bars.attrs["symbol"]:
        raise ConfigError(
            'the frame does not say which symbol it is; name it: scorenet.train({"BTC/USDT:USDT": frame})'
        )
    return bars
