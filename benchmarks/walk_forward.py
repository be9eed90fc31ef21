"""Claim: the default rule keeps the edge of the model's forecast after fees, slippage and funding.

BTC, ETH, SOL and BNB in one account of PerpetualBroker, from 2023-07 to 2025-06. Every half-year one pooled model is
fitted to all bars before; the last target ends before the half-year. The schedule of models runs in one Cerebro,
so positions and windows carry over. All rows pay the same fees, slippage and funding.

default          the settings of the package
score at 0       the same, sized by the score of the forward return at 0 in place of mean over standard deviation
confidence       the chapter's rule (sign times confidence), one decision a day and a band of 0.25
boosted tree     HistGradientBoostingRegressor on the same features, folds and targets, by the default rule
momentum         sign of the return of the last 20 days, at the same target volatility
hold             the four assets in equal parts

A Sharpe ratio over two years has a standard error of 0.7: the rows share that noise, but no row can be chosen by it.

python benchmarks/walk_forward.py [--models DIR] [--data DIR] [--since DAY] [--until DAY] [--set key=value]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _bybit import add_data_option, milliseconds
from _trees import boosted_tree as new_tree
from sklearn.ensemble import HistGradientBoostingRegressor

from feeds import load_bars
from runs.backtest import strategy_defaults
from runs.engine import Result, benchmark, run
from runs.markets import as_market
from runs.settings import Account, model_config, read_toml, run_settings
from runs.statistics import compute_metrics
from scorenet import ModelConfig, ScoreModel, learn
from scorenet.conformal.calibration import Calibration
from scorenet.forward.distribution import forward_target
from scorenet.signals import forward, register_signal
from strategies import ScoreStrategy, SignalStrategy

NAMES = ("BTC", "ETH", "SOL", "BNB")
HOUR = 3_600_000
SHOWN = ("sharpe_ratio", "annual_return", "volatility", "max_drawdown", "turnover", "exposure")
MOMENTUM_BARS = 480
CHAPTER = read_toml(Path(__file__).resolve().parents[1] / "examples/chapter.toml")["strategy"]
_trees: dict[str, HistGradientBoostingRegressor] = {}


@register_signal("score_at_zero")
def score_at_zero(model: ScoreModel, x: np.ndarray, z: Any) -> tuple[np.ndarray, np.ndarray]:
    return forward(model, x, z)


@register_signal("boosted_tree")
def boosted_tree(model: ScoreModel, x: np.ndarray, z: Any) -> tuple[np.ndarray, np.ndarray]:
    found = _trees[model.fingerprint].predict(x)
    return found, np.zeros(len(x))


def half_years(since: str, until: str) -> list[pd.Timestamp]:
    return list(pd.date_range(since, until, freq="6MS", inclusive="left"))


def before(frame: pd.DataFrame, end: int) -> pd.DataFrame:
    kept = frame[frame["timestamp"] < end].reset_index(drop=True)
    kept.attrs = dict(frame.attrs)
    return kept


def schedule(
    frames: Sequence[pd.DataFrame], starts: Sequence[pd.Timestamp], config: ModelConfig, folder: Path
) -> list[tuple[int, ScoreModel]]:
    """Return one pooled model per half-year; trained models are kept in `folder`."""
    models = []
    for start in starts:
        begin = int(start.tz_localize("UTC").timestamp() * 1000)
        path = folder / f"{start:%Y-%m}"
        if not (path / "model.json").is_file():
            markets = [as_market(before(frame, begin)) for frame in frames]
            learn([m for m in markets if len(m.bars["close"]) > 8_760], config).save(path)
        models.append((begin, ScoreModel.load(path)))
    return models


def with_tree(model: ScoreModel, frames: Sequence[pd.DataFrame], begin: int) -> ScoreModel:
    """Return the model with a boosted tree, fitted to the same rows, as a further signal."""
    parts = [rows(model, before(frame, begin)) for frame in frames]
    x, y = (np.concatenate(column) for column in zip(*parts, strict=True))
    # Shallow trees, many rows a leaf: the usual settings for a signal this weak.
    tree = new_tree().fit(x, y)
    own = Calibration.fit(np.array([0.0]), {"boosted_tree": tree.predict(x)}).magnitude
    found = with_signal(model, "boosted_tree", own["boosted_tree"])
    _trees[found.fingerprint] = tree
    return found


def with_signal(model: ScoreModel, name: str, magnitude: np.ndarray) -> ScoreModel:
    """Return the model calibrated for a further signal; `magnitude` is its sorted absolute score."""
    known = model.calibration.magnitude | {name: magnitude}
    return replace(model, calibration=replace(model.calibration, magnitude=known))


def rows(model: ScoreModel, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    market = as_market(frame)
    x = model.features.compute(market.bars, market.step_ms)
    volatility = model.features.volatility(market.bars)
    y = forward_target(np.asarray(market.bars["close"], dtype=np.float64), volatility, model.horizon)
    known = np.isfinite(x).all(axis=1) & np.isfinite(y)
    return x[known], y[known]


def momentum(frames: Sequence[pd.DataFrame], target_volatility: float) -> dict[str, np.ndarray]:
    signals = {}
    for frame in frames:
        close = np.log(frame["close"].to_numpy())
        past = np.full(len(close), np.nan)
        past[MOMENTUM_BARS:] = close[MOMENTUM_BARS:] - close[:-MOMENTUM_BARS]
        square = pd.Series(np.diff(close, prepend=close[0]) ** 2)
        volatility = np.sqrt(square.rolling(168).mean() * 8_760).to_numpy()
        size = np.minimum(target_volatility / volatility, 1.0) / len(frames)
        signals[str(frame.attrs["symbol"])] = np.nan_to_num(np.sign(past) * size)
    return signals


def figures(
    result: Result, account: Account, since: int, frames: Sequence[pd.DataFrame]
) -> Mapping[str, Any]:
    equity = result.equity.assign(benchmark=result.equity["equity"])
    found = compute_metrics(equity, result.orders, result.trades, result.decisions, result.funding, HOUR)
    years = len(equity) / 8_760
    cost = (found["fees"] + found["slippage"]) / equity["equity"].mean() / years
    return found | {"cost": cost}


def show(name: str, found: Mapping[str, Any]) -> None:
    cells = [
        f"{found[key]:>9.2f}" if key in ("sharpe_ratio", "turnover", "exposure") else f"{found[key]:>9.1%}"
        for key in SHOWN
    ]
    print(f"{name:<34}{''.join(cells)}{found['cost']:>9.1%}", flush=True)


def runs_of(
    options: argparse.Namespace, frames: Sequence[pd.DataFrame]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    since, until = milliseconds(options.since), milliseconds(options.until)
    starts = half_years(options.since, options.until)
    account, params = run_settings(None, options.set, strategy_defaults())
    config = model_config(None, options.train_set)
    frames = [before(frame, until) for frame in frames]
    models = schedule(frames, starts, config, options.models)
    common = {"trade_from": since + HOUR}

    def backtest(values: Mapping[str, Any]) -> Mapping[str, Any]:
        result = run(frames, account, ScoreStrategy, values | common, since=since + HOUR)
        return figures(result, account, since, frames)

    yield "default", backtest(params | {"model": models})
    at_zero = [
        (begin, with_signal(model, "score_at_zero", model.calibration.magnitude["forward"]))
        for begin, model in models
    ]
    yield "score at 0, default rule", backtest(params | {"model": at_zero, "signal": "score_at_zero"})
    yield "confidence (the chapter's)", backtest(params | CHAPTER | {"model": models})
    trees = [(begin, with_tree(model, frames, begin)) for begin, model in models]
    yield "boosted tree, default rule", backtest(params | {"model": trees, "signal": "boosted_tree"})
    band = {"signals": momentum(frames, params["target_volatility"]), "rebalance_band": 0.1 / len(frames)}
    yield (
        "momentum, 20 days",
        figures(
            run(frames, account, SignalStrategy, band | common, since=since + HOUR), account, since, frames
        ),
    )
    yield "hold", figures(benchmark(frames, account, since + HOUR), account, since, frames)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_data_option(parser)
    parser.add_argument(
        "--models", type=Path, default=Path("models/walk_forward"), help="folder that keeps the models"
    )
    parser.add_argument("--since", default="2023-07-01")
    parser.add_argument("--until", default="2025-07-01")
    parser.add_argument(
        "--set", action="append", default=[], help="a setting of the account or of the strategy"
    )
    parser.add_argument("--train-set", action="append", default=[], help="a setting of the training")
    options = parser.parse_args()
    frames = [load_bars(str(options.data / f"{name}USDT_1h.parquet")) for name in NAMES]
    print(
        f"{'':<34}{'Sharpe':>9}{'a year':>9}{'vol':>9}{'drawdown':>9}{'turnover':>9}{'gross':>9}{'costs':>9}"
    )
    for name, found in runs_of(options, frames):
        show(name, found)


if __name__ == "__main__":
    main()
