"""`scorenet backtest`: trade bars with a model, write a run folder and its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pandas as pd

from feeds.bars.timeframes import from_ms, to_ms
from scorenet import ConfigError, FeatureMismatch, ScoreModel, TooFewBars
from scorenet.signals import SIGNALS
from strategies import Rules, ScoreStrategy
from strategies.analyzers.regimes import regime_warmup
from strategies.cerebro.columns import check_calendar

from .engine import Result, run
from .folder.run_warnings import before_run, say
from .folder.rundir import RunDir
from .folder.write import RunInputs, write_run
from .markets import LoadOptions, load_markets
from .settings import Account

__all__ = [
    "backtest",
    "check_frames",
    "check_params",
    "check_signal",
    "prepare",
    "strategy_defaults",
    "trade",
    "trading_start",
]


def strategy_defaults() -> dict[str, Any]:
    """Return the user-settable parameters of `ScoreStrategy` with their defaults."""
    fixed = ("model", "datas", "trade_from", "rules_from")
    values = dict(cast(Any, ScoreStrategy).params._getitems())
    return {name: value for name, value in values.items() if name not in fixed}


def check_params(params: Mapping[str, Any]) -> None:
    """Validate strategy parameters before anything is loaded.

    Raises:
        ConfigError: the message names the parameter, its allowed values and the value found.
    """
    try:
        Rules(**{name: value for name, value in params.items() if name != "signal"})
    except ValueError as error:
        raise ConfigError(str(error)) from error
    SIGNALS[params["signal"]]


def backtest(
    model_dir: str | Path,
    sources: Sequence[str],
    out: str | Path,
    account: Account,
    params: Mapping[str, Any],
    options: LoadOptions,
    *,
    command: str | Sequence[str] = "scorenet backtest",
    keep_earlier: bool = False,
) -> dict[str, Any]:
    """Backtest a trained model, write the run folder and its report, return metrics.json's content.

    Bars before `since` warm up the features; trading and all metrics start at `since`. Warnings go to stderr, those
    that are known before the run first. With `keep_earlier`, a run that the folder holds is moved aside, not replaced.

    Raises:
        FeedError, ScorenetError, RunDirError: an error of the bars, the model or the folder.
    """
    inputs = prepare(model_dir, sources, account, params, options, command=command)
    known = before_run(inputs.model, inputs.frames, inputs.start)
    say(known)
    with RunDir.create(out, keep_earlier=keep_earlier) as folder:
        metrics = write_run(folder, inputs, trade(inputs))
    say(folder.read_manifest()["warnings"][len(known) :])
    return metrics


def prepare(
    model_dir: str | Path,
    sources: Sequence[str],
    account: Account,
    params: Mapping[str, Any],
    options: LoadOptions,
    *,
    command: str | Sequence[str] = "scorenet backtest",
) -> RunInputs:
    """Load model and bars of a backtest, and check that they fit.

    Raises:
        FeedError, ScorenetError: an error of the bars or the model.
    """
    model = ScoreModel.load(model_dir)
    frames = load_markets(sources, options, warmup_bars=model.lookback + 1 + regime_warmup(model))
    check_frames(model, frames)
    check_signal(model, params["signal"])
    start = trading_start(model, frames, options.since)
    config = {
        "command": "backtest",
        "model": str(model_dir),
        "bars": list(sources),
        "since": options.since,
        "until": options.until,
        "gaps": options.gaps,
        "calendar": options.calendar,
        "data_dir": options.data_dir,
        "account": account.to_dict(),
        "strategy": params,
    }
    return RunInputs(
        command=command,
        config=config,
        model=model,
        frames=frames,
        sources=sources,
        account=account,
        start=start,
    )


def trade(inputs: RunInputs) -> Result:
    """Run the strategy of `inputs` over their bars."""
    params = {**inputs.config["strategy"], "model": inputs.model, "trade_from": inputs.start}
    return run(inputs.frames, inputs.account, ScoreStrategy, params, since=inputs.start)


def check_frames(model: ScoreModel, frames: Sequence[pd.DataFrame]) -> None:
    """Check that the model can read the bars, before anything is run.

    Raises:
        FeatureMismatch: the bar size or the calendar differs from the model's, or a column is missing.
        TooFewBars: there are too few bars for one decision.
    """
    for frame in frames:
        step, trained = to_ms(frame.attrs["timeframe"]), int(model.info["bar_ms"])
        if step != trained:
            raise FeatureMismatch(
                f"the model was trained on {from_ms(trained)} bars, {frame.attrs['symbol']} has "
                f"{frame.attrs['timeframe']}; train a model on this bar size, or load bars of the model's"
            )
        check_calendar(model.info.get("calendar"), frame.attrs.get("calendar"), str(frame.attrs["symbol"]))
        missing = [name for name in model.features.inputs if name not in frame]
        if missing:
            raise FeatureMismatch(
                f"the model needs the column(s) {', '.join(missing)}, which {frame.attrs['symbol']} lacks; "
                "fetch them (--funding --open-interest) or train on bars without them"
            )
        if len(frame) < model.lookback + 2:
            raise TooFewBars(model.lookback + 2, len(frame), f"trade {frame.attrs['symbol']} with this model")


def check_signal(model: ScoreModel, signal: str) -> None:
    """Check that the model is calibrated for a signal, before anything is run.

    Raises:
        ConfigError: it is not; the message says how to train a model for the signal.
    """
    if signal not in model.calibration.magnitude:
        raise ConfigError(
            f"signal: this model has {', '.join(model.calibration.magnitude)}, found {signal!r}; "
            f"train one with --set 'signals=[\"{signal}\"]'"
        )


def trading_start(model: ScoreModel, frames: Sequence[pd.DataFrame], since: str | None) -> int:
    """Return the close (UTC ms) of the first decided bar: the first in the range with enough bars before it."""
    from feeds.bars.times import parse_time

    step = to_ms(frames[0].attrs["timeframe"])
    warmed = min(int(frame["timestamp"].iloc[model.lookback]) for frame in frames)
    first = warmed if since is None else max(warmed, parse_time(since))
    later = [frame["timestamp"][frame["timestamp"] >= first] for frame in frames]
    opens = [int(times.iloc[0]) for times in later if len(times)]
    if not opens:
        raise TooFewBars(model.lookback + 2, max(len(f) for f in frames), "reach the start of trading")
    return min(opens) + step
