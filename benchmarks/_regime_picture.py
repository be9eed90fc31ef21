"""The regimes of real bars: what is found by default, and a picture of BTC at a level that was set by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from _bybit import load_markets, milliseconds
from _timing import heading

from scorenet import Market
from scorenet.config import RegimeConfig
from scorenet.features import feature_set
from scorenet.regimes import RegimeMap, fit_regimes
from scorenet.regimes.coordinates import coordinates

__all__ = ["draw"]

HOUR = 3_600_000
SHOWN = ("2023-07-01", "2025-07-01")
BY_HAND = RegimeConfig(uses=("volatility", "trend"), sigma=0.25)
COLOURS = ("#2a6f97", "#3a8f5c", "#e9a23b", "#c8553d", "#7b2d26", "#61a5c2", "#8d6b94")


def draw(folder: Path, target: Path) -> None:
    """Print what is found on BTC and ETH, and write the picture of BTC."""
    heading("regimes of real bars", f"extended features, fitted to the bars before {SHOWN[0]}")
    markets = load_markets(folder, ("BTC", "ETH"))
    for market in markets:
        for settings in (RegimeConfig(), BY_HAND):
            found, *_ = _fit(market, settings)
            level = "chosen" if not settings.sigma else "by hand"
            tried = ", ".join(f"{t['sigma']:g}: {t['regimes']} ({t['stability']:.2f})" for t in found.tried)
            print(
                f"{market.symbol}  {' and '.join(found.uses)}, level {level}; sigma: regimes (stability) {tried}"
            )
            for row in found.summary():
                print(
                    f"    {row['name']:<22}{row['share']:6.1%} of the time, mean run {row['mean_run']:5.0f} bars"
                )
    _picture(markets[0], target)


def _fit(market: Market, settings: RegimeConfig) -> tuple[RegimeMap, np.ndarray, np.ndarray, np.ndarray]:
    features = feature_set("extended")
    x = features.compute(market.bars, market.step_ms)
    known = np.isfinite(x).all(axis=1)
    x, time = x[known], np.asarray(market.bars["timestamp"])[known]
    position = coordinates(features.names, x, features.lookback)
    train = time < milliseconds(SHOWN[0])
    found = fit_regimes(x[train], position[train], time[train], HOUR, settings)
    return found, position, time, np.asarray(market.bars["close"])[known]


def _picture(market: Market, target: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    found, position, time, close = _fit(market, BY_HAND)
    labels = found.by_filter(position)
    shown = (time >= milliseconds(SHOWN[0])) & (time < milliseconds(SHOWN[1]))
    when = pd.to_datetime(time[shown], unit="ms", utc=True)
    price, regime = close[shown], labels[shown]
    step = pd.Series(np.log(close)).diff().to_numpy()[shown]
    figure, axes = plt.subplots(figsize=(11, 4.6), dpi=130)
    axes.plot(when, price, color="#d5d5d5", linewidth=0.8, zorder=1)
    for number, name in enumerate(found.names):
        inside = regime == number
        volatility = float(np.std(step[inside])) * np.sqrt(24 * 365) if inside.sum() > 1 else float("nan")
        label = f"{name}: {inside.mean():.0%} of the time, volatility {volatility:.0%} a year"
        axes.scatter(
            when[inside], price[inside], s=1.6, color=COLOURS[number], label=label, zorder=2, linewidths=0
        )
        print(f"    shown: {label}")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_minor_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_ylabel("USDT, log scale")
    axes.set_title(
        "BTC perpetual, hourly, by regime; known at each bar's close, fitted to the bars before July 2023",
        fontsize=10,
        loc="left",
    )
    axes.margins(x=0.01)
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    legend = axes.legend(frameon=False, loc="upper left", fontsize=9)
    for handle in legend.legend_handles:
        handle.set_sizes([28])
    figure.tight_layout()
    figure.savefig(target)
    print(f"wrote {target}")
