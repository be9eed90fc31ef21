"""Baseline: the chapter's trader, formula by formula, with its flaws; run alone, it prints the time per bar.

A bar takes ten features by pandas on a window of 20 rows, 1 forward pass for the signal, 100 for the density by
path integral, and 20 for denoising. Other benchmarks import it for comparison. Its flaws:

- 20 rows give 19 returns: return_20, volatility and volatility_ratio are NaN, no state is in distribution, and it
  never trades.
- Features are not scaled, although the noise levels assume unit variance.
- Confidence is |score| divided by the largest |score| of the batch: 1 for a single bar, so its threshold has no
  effect.
- The score of the *realised* return points against that return: it bets on reversal.
- The density is a left Riemann sum from the origin at the smallest noise level. The path crosses regions without
  data, the constant is unknown, and the errors are several nats. A threshold of -5 rejects about half of perfect
  Gaussian data in ten dimensions.
- Denoising steps of 0.01 sigma^2 = 1e-6 have no effect.
- A window ends one bar before the traded bar; profits are added without costs.

python benchmarks/chapter.py [--quick]
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pandas as pd
import torch
from _timing import alternate, heading, milliseconds
from torch import Tensor

from feeds import simulate
from scorenet.baselines.chapter import MultiScaleScoreNetwork

LOOKBACK = 20
WARMUP = 100


def compute_market_state(df: pd.DataFrame, lookback: int = LOOKBACK) -> np.ndarray:
    """Return the ten features of the last row of a window, [10]."""
    returns = df["close"].pct_change()
    features = {f"return_{n}": returns.rolling(n).sum().iloc[-1] for n in (1, 5, 10, 20)}
    features["volatility"] = returns.rolling(lookback).std().iloc[-1]
    features["volatility_ratio"] = returns.rolling(5).std().iloc[-1] / returns.rolling(20).std().iloc[-1]
    features["momentum"] = df["close"].iloc[-1] / df["close"].iloc[-lookback] - 1
    features["volume_ratio"] = df["volume"].iloc[-1] / df["volume"].rolling(lookback).mean().iloc[-1]
    high, low = df["high"].rolling(lookback).max().iloc[-1], df["low"].rolling(lookback).min().iloc[-1]
    features["price_position"] = (df["close"].iloc[-1] - low) / (high - low + 1e-8)
    gains = returns.clip(lower=0).rolling(14).mean().iloc[-1]
    losses = (-returns.clip(upper=0)).rolling(14).mean().iloc[-1]
    features["rsi"] = gains / (gains + losses + 1e-8)
    return np.array(list(features.values()))


class LangevinDynamics:
    """Langevin steps along the score, and a signal from the score."""

    def __init__(self, score_network: MultiScaleScoreNetwork, step_size: float = 0.01) -> None:
        self.score_network, self.step_size = score_network, step_size

    @torch.no_grad()
    def denoise(self, x: Tensor, n_steps: int = 50) -> Tensor:
        level = self.score_network.lowest(len(x))
        alpha = self.step_size * self.score_network.sigmas[level][0] ** 2
        for _ in range(n_steps):
            x = x + alpha * self.score_network(x, level)
        return x

    @torch.no_grad()
    def get_trading_signal(self, x: Tensor, return_idx: int = 0) -> tuple[Tensor, Tensor]:
        score = self.score_network(x, self.score_network.lowest(len(x)))[:, return_idx]
        confidence = score.abs()
        return score.sign(), confidence / (confidence.max() + 1e-8)


class ScoreBasedDensityEstimator:
    """Integrate the score along the straight line from the origin."""

    def __init__(self, score_network: MultiScaleScoreNetwork) -> None:
        self.score_network = score_network

    def log_density_up_to_const(self, x: Tensor, n_integration_steps: int = 100) -> Tensor:
        origin = torch.zeros(1, self.score_network.input_dim)
        total, level = torch.zeros(len(x)), self.score_network.lowest(len(x))
        for i in range(n_integration_steps):
            score = self.score_network(origin + i / n_integration_steps * (x - origin), level)
            total = total + (score * (x - origin) / n_integration_steps).sum(dim=-1)
        return total

    def is_in_distribution(self, x: Tensor, threshold: float = -5.0) -> Tensor:
        return self.log_density_up_to_const(x) > threshold


class ScoreMatchingTrader:
    """Compute signal, confidence and the in-distribution flag of a market state."""

    def __init__(
        self,
        score_network: MultiScaleScoreNetwork,
        confidence_threshold: float = 0.3,
        density_threshold: float = -5.0,
    ) -> None:
        self.score_network = score_network.eval()
        self.confidence_threshold, self.density_threshold = confidence_threshold, density_threshold
        self.langevin = LangevinDynamics(score_network)
        self.density_estimator = ScoreBasedDensityEstimator(score_network)

    @torch.no_grad()
    def generate_signal(self, market_state: Tensor) -> dict[str, Any]:
        x = market_state.unsqueeze(0)
        signal, confidence = (value.item() for value in self.langevin.get_trading_signal(x))
        inside = self.density_estimator.is_in_distribution(x, self.density_threshold).item()
        denoised = self.langevin.denoise(x, n_steps=20).squeeze().numpy()
        traded = signal * confidence if inside and confidence >= self.confidence_threshold else 0.0
        return {
            "signal": traded,
            "confidence": confidence if inside else 0.0,
            "in_distribution": inside,
            "raw_signal": signal,
            "denoised_state": denoised,
        }


def default_trader(seed: int = 0) -> ScoreMatchingTrader:
    """Return an untrained trader of the chapter's sizes; training would not change its running time."""
    torch.manual_seed(seed)
    return ScoreMatchingTrader(MultiScaleScoreNetwork(10))


def decide_bar(trader: ScoreMatchingTrader, prices: pd.DataFrame, i: int) -> dict[str, Any]:
    """Return the decision of the chapter's loop at bar i, from the window before it."""
    state = compute_market_state(prices.iloc[i - LOOKBACK : i])
    return trader.generate_signal(torch.tensor(state, dtype=torch.float32))


def run(trader: ScoreMatchingTrader, prices: pd.DataFrame, bars: int, warmup: int = WARMUP) -> pd.DataFrame:
    """Run the chapter's backtest loop over `bars` bars after the warm-up."""
    rows, position, total = [], 0.0, 0.0
    for i in range(warmup, warmup + bars):
        found = decide_bar(trader, prices, i)
        if i > warmup:
            total += position * (prices["close"].iloc[i] / prices["close"].iloc[i - 1] - 1)
        position = found["signal"]
        rows.append((prices.index[i], prices["close"].iloc[i], position, found["in_distribution"], total))
    return pd.DataFrame(rows, columns=["timestamp", "price", "signal", "in_distribution", "cumulative_pnl"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a smoke run")
    repeats = 3 if parser.parse_args().quick else 50
    torch.set_num_threads(1)  # the faster setting for it: one row cannot be split between threads
    frame, trader = simulate("planted", seed=7, bars=WARMUP + 1), default_trader()
    window = frame.iloc[WARMUP - LOOKBACK : WARMUP]
    x = torch.randn(1, 10)
    heading("the chapter's trader, one bar on one thread", f"median of {repeats} alternating repeats")
    taken = alternate(
        {
            "features (pandas)": lambda: compute_market_state(window),
            "signal (1 forward pass)": lambda: trader.langevin.get_trading_signal(x),
            "density (100)": lambda: trader.density_estimator.is_in_distribution(x),
            "denoise (20)": lambda: trader.langevin.denoise(x, n_steps=20),
            "whole bar": lambda: decide_bar(trader, frame, WARMUP),
        },
        repeats,
    )
    for name, seconds in taken.items():
        print(f"{name:<26}{milliseconds(seconds)}")


if __name__ == "__main__":
    main()
