"""Claim: held-out log-likelihood of market states, compared with a Gaussian mixture and a neural spline flow.

BTC and ETH, hourly, extended features, pooled. Training on the states before 2025, whose last 15 % are for
validation; test on each symbol's states of 2025-01 to 2025-06. All methods model the density of the same rows:
states scaled by the training span's scaler plus Gaussian noise of the density sigma (0.2), one fixed draw for the
test. Nats per state; the error of a difference is a block bootstrap with blocks of two weeks.

ours          `scorenet train`'s state density at its default settings; log p_sigma by the heat equation
mixture       scikit-learn, full covariances, 1 to 64 components chosen by validation likelihood
spline flow   zuko's NSF, 3 transforms of 128 x 128, new noise at every step, best validation step, the CPU time of ours

python benchmarks/market_states.py [--quick] [--data FOLDER]
"""

from __future__ import annotations

import argparse
import copy
import itertools
import time
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from _bybit import add_data_option, load_markets, milliseconds
from _comparison import block_standard_error
from _timing import heading
from torch import Tensor

from scorenet import Market, ModelConfig
from scorenet.density.heat import heat_log_density
from scorenet.features import FeatureSet, feature_set
from scorenet.scaling import Scaler
from scorenet.score.divergence import denoiser_field
from scorenet.score.fit import fit_base, fit_denoiser
from scorenet.score.mixture import Mixture

SYMBOLS = ("BTC", "ETH")
TEST = ("2025-01-01", "2025-07-01")
HOUR = 3_600_000
BLOCK = 14 * 24


@dataclass
class Data:
    """Scaled states: training and validation rows of all symbols in time order, noised test rows by symbol."""

    train: Tensor
    validation: Tensor
    noisy_validation: Tensor
    test: dict[str, Tensor]


def load(markets: list[Market], sigma: float, every: int) -> Data:
    features = feature_set("extended")
    begin, end = (milliseconds(day) for day in TEST)
    states = [_states(features, market) for market in markets]
    x, when = (np.concatenate(parts) for parts in zip(*states, strict=True))
    order = np.argsort(when, kind="stable")
    x, when = x[order], when[order]
    before = when < begin
    cut = when[0] + int(0.85 * (begin - when[0]))
    gap = features.lookback * HOUR
    fit, held = before & (when < cut), before & (when >= cut + gap)
    scaler = Scaler.fit(x[fit], features.kinds)
    noise = torch.Generator().manual_seed(0)

    def noisy(rows: np.ndarray) -> Tensor:
        z = torch.from_numpy(scaler.transform(rows))
        return z + sigma * torch.randn(z.shape, generator=noise, dtype=torch.float64)

    test = {}
    for name, (own, stamps) in zip(SYMBOLS, states, strict=False):
        test[name] = noisy(own[(stamps >= begin + gap) & (stamps < end)][::every])
    train, validation = (torch.from_numpy(scaler.transform(x[rows])) for rows in (fit, held))
    return Data(train, validation, noisy(x[held]), test)


def _states(features: FeatureSet, market: Market) -> tuple[np.ndarray, np.ndarray]:
    x = features.compute(market.bars, market.step_ms)
    known = np.isfinite(x).all(axis=1)
    return x[known], np.asarray(market.bars["timestamp"])[known]


def ours(data: Data, config: ModelConfig) -> tuple[dict[str, np.ndarray], float, str]:
    started = time.process_time()
    base = fit_base(data.train.float(), data.validation.float(), config.state, config.noise, seed=config.seed)
    denoiser, log = fit_denoiser(
        data.train.float(),
        data.validation.float(),
        config.state,
        config.noise,
        base=base,
        seed=config.seed,
        device="cpu",
        progress=False,
    )
    seconds = time.process_time() - started
    field = denoiser_field(denoiser.double().requires_grad_(False))
    closing = base or Mixture.gaussian(data.train)
    levels = {
        "sigma": config.density.sigma,
        "sigma_max": config.noise.sigma_max,
        "nodes": config.density.nodes,
    }
    found = {
        name: heat_log_density(field, closing, rows, **levels).numpy()  # type: ignore[arg-type]
        for name, rows in data.test.items()
    }
    return found, seconds, f"{len(closing.weights)} components and a net, kept at step {log.best_step}"


def mixture(data: Data, sigma: float, quick: bool) -> tuple[dict[str, np.ndarray], float, str]:
    from sklearn.mixture import GaussianMixture

    started = time.process_time()
    rng = np.random.default_rng(1)
    rows = data.train.numpy() + sigma * rng.standard_normal(data.train.shape)
    best, value = None, -np.inf
    for k in (1, 2, 4) if quick else (1, 2, 4, 8, 16, 24, 32, 48, 64):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = GaussianMixture(k, reg_covar=1e-5, max_iter=100, random_state=0).fit(rows)
        score = model.score(data.noisy_validation.numpy())
        if score > value:
            best, value = model, score
    assert best is not None
    found = {name: best.score_samples(test.numpy()) for name, test in data.test.items()}
    return found, time.process_time() - started, f"{best.n_components} components"


def spline_flow(data: Data, sigma: float, seconds: float) -> tuple[dict[str, np.ndarray], float, str]:
    import zuko

    started = time.process_time()
    torch.manual_seed(0)
    rows, check = data.train.float(), data.noisy_validation.float()[::4]
    flow = zuko.flows.NSF(rows.shape[1], transforms=3, hidden_features=(128, 128))
    optimiser = torch.optim.AdamW(flow.parameters(), lr=1e-3, weight_decay=1e-4)
    best, value, kept = copy.deepcopy(flow.state_dict()), np.inf, 0
    for step in itertools.count(1):
        done = (time.process_time() - started) / seconds
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * 0.5 * (1 + np.cos(np.pi * min(done, 1.0)))
        pick = rows[torch.randint(len(rows), (512,))]
        loss = -flow().log_prob(pick + sigma * torch.randn_like(pick)).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(flow.parameters(), 1.0)
        optimiser.step()
        if step % 50 == 0 or done >= 1:
            with torch.no_grad():
                held = -float(flow().log_prob(check).mean())
            if held < value:
                best, value, kept = copy.deepcopy(flow.state_dict()), held, step
        if done >= 1:
            break
    flow.load_state_dict(best)
    with torch.no_grad():
        found = {name: flow().log_prob(test.float()).double().numpy() for name, test in data.test.items()}
    return found, time.process_time() - started, f"kept step {kept} of {step}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="hardly any training, every 20th test row")
    add_data_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = ModelConfig()
    if options.quick:
        config = config.with_values(**{"state.steps": 60, "state.max_components": 4})
    sigma, every = config.density.sigma, 20 if options.quick else 2
    heading("log-likelihood of market states, 2025-01 to 2025-06", f"nats per state at sigma {sigma:g}")
    data = load(load_markets(options.data, SYMBOLS), sigma, every)
    counts = ", ".join(f"{len(rows):,} {name}" for name, rows in data.test.items())
    print(
        f"  {len(data.train):,} training, {len(data.validation):,} validation, test {counts} rows", flush=True
    )
    mine, seconds, settings = ours(data, config)
    print(f"{'ours':<14}{seconds:6.0f} CPU s   {settings}", flush=True)
    others = {
        "mixture": mixture(data, sigma, options.quick),
        "spline flow": spline_flow(data, sigma, seconds),
    }
    for name, (_, taken, about) in others.items():
        print(f"{name:<14}{taken:6.0f} CPU s   {about}")
    for symbol in data.test:
        print(f"{symbol}: ours {mine[symbol].mean():.3f}")
        for name, (found, _, _) in others.items():
            gain = mine[symbol] - found[symbol]
            error = block_standard_error(gain, max(BLOCK // every, 2))
            print(
                f"  {name:<12}{found[symbol].mean():9.3f}   ours better by {gain.mean():+.3f} ± {error:.3f} nat   "
                f"{'met' if gain.mean() > 0 else 'MISSED'}"
            )


if __name__ == "__main__":
    main()
