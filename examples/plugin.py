"""A plug-in file: a feature set, an objective, a network, a signal, slippage, a position rule, an allocation, a panel.

    scorenet train --plugin examples/plugin.py --features trend --set state.objective=huber --set state.network=small \
        --set 'signals=["fade"]' --bars 'simulated:planted?seed=1&bars=20000' --out models/own
    scorenet backtest --plugin examples/plugin.py --model models/own --signal fade \
        --set slippage_model=size_impact --set position_rule=half --set allocation=calm \
        --bars 'simulated:planted?seed=2&bars=5000' --out out/own
"""

import numpy as np
import torch

from runs.report import esc, panel, register_panel, table
from scorenet import (
    register_allocation,
    register_feature_set,
    register_network,
    register_objective,
    register_position_rule,
    register_signal,
    register_slippage,
)
from scorenet.score import Denoiser


@register_feature_set(
    "trend",
    names=("return_1", "trend_24", "range_24", "volume"),
    kinds=("linear", "linear", "log", "log"),
    lookback=48,
)
def trend(bars):
    """Windows [N, 49] per column, the row's own bar last -> features [N, 4]."""
    move = np.diff(np.log(bars["close"]), axis=1)
    scale = move.std(axis=1) + 1e-6
    return np.stack(
        [
            move[:, -1] / scale,
            move[:, -24:].sum(axis=1) / (scale * np.sqrt(24)),
            (bars["high"][:, -24:].max(axis=1) / bars["low"][:, -24:].min(axis=1) - 1) / scale + 1e-3,
            bars["volume"][:, -1] / (bars["volume"].mean(axis=1) + 1e-9) + 1e-3,
        ],
        axis=1,
    )


@register_objective("huber")
def huber(model, batch):
    """Denoising score matching with a loss that is robust to outliers, on pairs of opposite noise."""
    both = batch.mirrored()
    residual = both.sigma * model.score(both.noisy, both.sigma) + both.noise
    return (
        (1 + both.sigma**2) * torch.nn.functional.huber_loss(residual, 0 * residual, reduction="none")
    ).mean()


class Tanh(torch.nn.Module):
    """Two layers whose inputs are the scaled row and ln(sigma) / 4."""

    def __init__(self, dim, hidden):
        super().__init__()
        self.enter, self.leave = torch.nn.Linear(dim + 1, hidden), torch.nn.Linear(hidden, dim)
        torch.nn.init.zeros_(self.leave.weight)  # the correction is zero before training
        torch.nn.init.zeros_(self.leave.bias)

    def forward(self, x, c_noise, base_output=None):
        return self.leave(torch.tanh(self.enter(torch.cat((x, c_noise), dim=1))))


@register_network("small")
def small(dim, state, noise, base):
    """A user's network inside the package's preconditioning."""
    return Denoiser(Tanh(dim, state.hidden), base)


@register_signal("fade")
def fade(model, x, z):
    """Bet against the trend: the score of the second feature, which points back to usual values; no spread."""
    score = model.denoiser.score(z, 0.5)[:, 1].numpy()
    return score, np.zeros_like(score)


@register_slippage("size_impact")
def size_impact(costs, fill):
    """A fixed part, and a part that grows with the square root of the order's share of the bar's volume."""
    share = min(abs(fill.size) / fill.volume, 1.0) if fill.volume > 0 else 1.0
    return costs.slippage + 0.01 * share**0.5


@register_position_rule("half")
def half(rules, seen):
    """Half of the largest exposure, in the direction of the signal."""
    return float(np.sign(seen.signal)) * rules.max_exposure / 2


@register_allocation("calm")
def calm(rules, active):
    """More capital for calm symbols: weights by the inverse variance."""
    return active.volatility**-2.0


@register_panel("hours")
def hours(run):
    """The mean exposure by hour of the day."""
    mean = run.equity.groupby(run.equity["time"].dt.hour)["exposure"].mean()
    rows = [[esc(f"{hour:02d}:00"), esc(f"{value:+.3f}")] for hour, value in mean.items()]
    return panel("Exposure by hour", table(["Hour, UTC", "Mean exposure"], rows), name="hours")
