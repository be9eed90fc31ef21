"""Study: how forecasts of BTC, ETH, SOL and BNB should become positions, half-years from 2022-07 to 2025-06.

Every half-year the forecasters are fitted to all bars before it whose targets end before it begins. Positions are
computed on arrays: equal parts of the capital, filled at the next open, net of 5.5 bp fees, 2 bp slippage and funding,
without the density filter and the account. The default rule was chosen with this table (docs/method.md). A Sharpe ratio
over three years has a standard error of 0.6, and all rows share the market: it cannot rank them.

python benchmarks/position_rules.py [--data FOLDER]
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from _bybit import add_data_option, load_markets, milliseconds
from _timing import heading
from _trees import boosted_tree
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from scorenet import Market, ModelConfig
from scorenet.features import feature_set
from scorenet.forward.distribution import ForwardReturn, forward_target
from scorenet.forward.training import fit_forward_net
from scorenet.scaling import Scaler
from scorenet.windows import chronological_split

Array = NDArray[np.float64]

SYMBOLS = ("BTC", "ETH", "SOL", "BNB")
FOLDS = ("2022-07-01", "2023-01-01", "2023-07-01", "2024-01-01", "2024-07-01", "2025-01-01", "2025-07-01")
HOUR, YEAR = 3_600_000, 8_760
COST = 7.5e-4
SET = feature_set("extended")
RETURNS = [i for i, name in enumerate(SET.names) if name.startswith("return")] + [
    SET.names.index("volatility"),
    SET.names.index("volatility_ratio"),
]


class Panel(NamedTuple):
    """Bars of the four symbols on one grid of hours: [T, 4] each, NaN before a listing; `x` is [T, 4, F]."""

    time: NDArray[np.int64]
    x: Array
    volatility: Array
    close: Array
    opened: Array
    funding: Array

    def target(self, horizon: int) -> Array:
        columns = [
            forward_target(self.close[:, i], self.volatility[:, i], horizon) for i in range(len(SYMBOLS))
        ]
        return np.stack(columns, axis=1)


def panel(markets: Sequence[Market]) -> Panel:
    time = np.unique(np.concatenate([market.bars["timestamp"] for market in markets]))
    shape = (len(time), len(markets))
    x = np.full((*shape, len(SET.names)), np.nan)
    volatility, close, opened, funding = (np.full(shape, np.nan) for _ in range(4))
    for i, market in enumerate(markets):
        rows = np.searchsorted(time, market.bars["timestamp"])
        x[rows, i], volatility[rows, i] = SET.compute_with_volatility(market.bars, market.step_ms)
        close[rows, i], opened[rows, i] = market.bars["close"], market.bars["open"]
        funding[rows, i] = market.bars["funding_rate"]
    return Panel(time, x, volatility, close, opened, funding)


# Forecasts ------------------------------------------------------------------------------------------------------

Forecaster = Callable[[Array, Array, NDArray[np.int64], int], Callable[[Array], Array]]


def net(x: Array, y: Array, time: NDArray[np.int64], horizon: int) -> Callable[[Array], Array]:
    """Fit the forward net as `scorenet train` does; the forecast is mean over standard deviation."""
    split = chronological_split(time, horizon=horizon, embargo=SET.lookback, step_ms=HOUR, minimum=64)
    scaler = Scaler.fit(x[split.train], SET.kinds)
    z, target = torch.from_numpy(scaler.transform(x)).float(), torch.from_numpy(y).float()
    config = ModelConfig().with_values(**{"forward.horizon": horizon}).forward
    fitted, _ = fit_forward_net(
        z[split.train],
        target[split.train],
        z[split.validation],
        target[split.validation],
        config,
        seed=23,
        overlap=horizon * len(SYMBOLS),
        scale_columns=torch.tensor([float(kind == "log") for kind in SET.kinds]),
        progress=False,
    )
    double = fitted.double().eval().requires_grad_(False)

    def predict(rows: Array) -> Array:
        found = ForwardReturn.from_net(double, torch.from_numpy(scaler.transform(rows)), config.signal_sigma)
        return found.mean / found.std

    return predict


def ridge(x: Array, y: Array, time: NDArray[np.int64], horizon: int) -> Callable[[Array], Array]:
    scaler = Scaler.fit(x, SET.kinds)
    model = Ridge(alpha=0.05 * len(x)).fit(scaler.transform(x), y)
    return lambda rows: model.predict(scaler.transform(rows))


def tree(columns: Sequence[int]) -> Forecaster:
    def fit(x: Array, y: Array, time: NDArray[np.int64], horizon: int) -> Callable[[Array], Array]:
        model = boosted_tree().fit(x[:, columns], y)
        return lambda rows: model.predict(rows[:, columns])

    return fit


def forecasts(bars: Panel, fit: Forecaster, horizon: int) -> tuple[Array, float]:
    """Return forecasts [T, 4] in units of their root mean square on the training rows, and the mean of the ICs."""
    y, out, ics = bars.target(horizon), np.full(bars.close.shape, np.nan), []
    known = np.isfinite(bars.x).all(axis=2)
    times = np.repeat(bars.time[:, None], len(SYMBOLS), axis=1)
    for since, until in itertools.pairwise(FOLDS):
        begin, end = milliseconds(since), milliseconds(until)
        past = known & np.isfinite(y) & (times < begin - horizon * HOUR)
        predict = fit(bars.x[past], y[past], times[past], horizon)
        typical = math.sqrt(float(np.mean(predict(bars.x[past][-20_000:]) ** 2)))
        now = known & (times >= begin) & (times < end)
        out[now] = predict(bars.x[now]) / typical
        for i in range(len(SYMBOLS)):
            rows = now[:, i] & np.isfinite(y[:, i])
            ics.append(float(np.corrcoef(out[rows, i], y[rows, i])[0, 1]))
    return out, float(np.mean(ics))


# Rules ----------------------------------------------------------------------------------------------------------


def exposures(
    strength: Array,
    bars: Panel,
    window: int,
    *,
    volatility: float = 0.2,
    step: float = 0.0,
    band: float = 0.0,
) -> Array:
    """Return exposures [T, 4], fractions of equity, decided at each close: mean of the last `window`, step, band."""
    wanted = np.nan_to_num(strength * volatility / (bars.volatility * math.sqrt(YEAR)))
    total = np.cumsum(np.vstack([np.zeros(len(SYMBOLS)), np.clip(wanted, -1.0, 1.0)]), axis=0)
    at = np.arange(1, len(wanted) + 1)
    target = (total[at] - total[np.maximum(at - window, 0)]) / window
    if step:
        target = np.round(target / step) * step
    held = np.zeros(len(SYMBOLS))
    for row, goal in enumerate(target):
        held = np.where(np.abs(goal - held) >= band, goal, held)
        target[row] = held
    return target / len(SYMBOLS)


def show(name: str, exposure: Array, bars: Panel) -> None:
    """Print the figures of exposures that are filled at the next open and earn from open to open."""
    move = np.zeros_like(exposure)
    move[:-1] = bars.opened[1:] / bars.opened[:-1] - 1.0
    held = np.vstack([np.zeros(len(SYMBOLS)), exposure[:-1]])
    traded = np.abs(np.diff(held, axis=0, prepend=0.0))
    before = np.vstack([np.zeros(len(SYMBOLS)), held[:-1]])
    profit = np.nan_to_num(held * move - traded * COST - before * bars.funding).sum(axis=1)
    inside = (bars.time >= milliseconds(FOLDS[0])) & (bars.time < milliseconds(FOLDS[-1]))
    gains, turnover = profit[inside], traded[inside].sum() / inside.sum() * YEAR
    equity = np.cumprod(1.0 + gains)
    drawdown = float((equity / np.maximum.accumulate(equity) - 1.0).min())
    sharpe = float(gains.mean() / gains.std() * math.sqrt(YEAR))
    print(f"{name:<58}{sharpe:>7.2f}{drawdown:>9.1%}{turnover:>9.1f}{turnover * COST:>8.1%}", flush=True)


def study(bars: Panel) -> None:
    found = {}
    everything = list(range(len(SET.names)))
    learners = {"ridge": ridge, "tree": tree(everything), "tree, returns only": tree(RETURNS), "net": net}
    for (name, fit), horizon in itertools.product(learners.items(), (24, 72)):
        found[name, horizon], ic = forecasts(bars, fit, horizon)
        label = f"{name}, {horizon} h, window {horizon} (mean IC {ic:+.3f})"
        show(label, exposures(found[name, horizon], bars, horizon, band=0.1), bars)
    day, three = found["net", 24], found["net", 72]
    show("net, 24 h, no window", exposures(day, bars, 1, band=0.1), bars)
    show("net, 24 h, window 72", exposures(day, bars, 72, band=0.1), bars)
    show("net, 72 h, window 24", exposures(three, bars, 24, band=0.1), bars)
    show("net, 72 h, sign only", exposures(np.sign(three), bars, 72, band=0.1), bars)
    for band in (0.0, 0.05, 0.15):
        show(f"net, 72 h, band {band}", exposures(three, bars, 72, band=band), bars)
    show("net, 72 h, step 0.1, no band", exposures(three, bars, 72, step=0.1), bars)
    for volatility in (0.25, 0.3):
        show(
            f"net, 72 h, target volatility {volatility}",
            exposures(three, bars, 72, volatility=volatility, band=0.1),
            bars,
        )
    mean = np.nanmean(three, axis=1, keepdims=True)
    show(
        "net, 72 h, the mean of all symbols",
        exposures(np.broadcast_to(mean, three.shape), bars, 72, band=0.1),
        bars,
    )
    show("net, 72 h, each symbol against the mean", exposures(three - mean, bars, 72, band=0.1), bars)
    both = exposures(day, bars, 24, band=0.1) + exposures(three, bars, 72, band=0.1)
    show("net, 24 h and 72 h, half each", both / 2, bars)
    past = np.full_like(bars.close, np.nan)
    past[480:] = np.log(bars.close[480:] / bars.close[:-480]) / (bars.volatility[480:] * math.sqrt(480))
    show("return of 20 days, proportional", exposures(past, bars, 24, band=0.1), bars)
    show("return of 20 days, sign", exposures(np.sign(past), bars, 1, band=0.1), bars)
    show("hold", np.where(np.isfinite(bars.close), 1.0 / len(SYMBOLS), 0.0), bars)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_data_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    heading(
        "from forecasts to positions", "half-years 2022-07 to 2025-06; proportional, volatility 0.2, band 0.1"
    )
    print(f"{'':<58}{'Sharpe':>7}{'drawdown':>9}{'turnover':>9}{'costs':>8}")
    with np.errstate(invalid="ignore"):
        study(panel(load_markets(options.data, SYMBOLS)))


if __name__ == "__main__":
    main()
