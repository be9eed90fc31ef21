"""Claim: a volatility shock in real bars cuts the exposure within 3 bars; the same bars without it do not.

A light model is fitted to BTC bars before --since. At each splice the returns and ranges of the next 3 bars are
multiplied, so that the root mean square of the 3 returns is --factors times the standard deviation of the 168 returns
before; the bars before stay as they are, later prices move along. Each splice runs with and without the shock from the
same start, and begins where the position is at least --least of equity. Printed are means over the splices of
|exposure| at the close before and 1, 2 and 3 bars later. A shocked bar is known at its close, the order fills at the
next open: so the first close that can show less exposure is that of bar 2.

python benchmarks/shock.py [--data DIR] [--since DAY] [--until DAY] [--splices 24] [--factors 4 8 16]
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
from _bybit import add_data_option, milliseconds
from _timing import heading, verdict

from feeds import as_bars, load_bars
from runs.backtest import strategy_defaults
from runs.engine import run
from runs.markets import as_market
from runs.settings import Account, run_settings
from scorenet import ModelConfig, ScoreModel, learn
from scorenet.score.training import threads
from strategies import ScoreStrategy

PRICES = ["open", "high", "low", "close"]
LIGHT = {"state": {"steps": 200}, "density": {"points": 10_000, "steps": 600}, "forward": {"steps": 500}}
BEFORE = 200  # bars of trading before a splice: held forecasts have grown in by then
BARS, WEEK = 3, 168


def shocked(bars: pd.DataFrame, at: int, factor: float) -> pd.DataFrame:
    """Return the bars with a shock of `factor` standard deviations in the bars `at` to `at` + 2."""
    logs = np.log(bars[PRICES].to_numpy())
    before = np.concatenate(([logs[0, 0]], logs[:-1, 3]))[:, None]
    moves = logs - before  # of each price from the close before
    size = np.sqrt(np.mean(moves[at : at + BARS, 3] ** 2))
    moves[at : at + BARS] *= factor * moves[at - WEEK : at, 3].std() / size
    closes = np.cumsum(moves[:, 3])
    again = before[0] + np.concatenate(([0.0], closes[:-1]))[:, None] + moves
    changed = bars.assign(**dict(zip(PRICES, np.exp(again).T, strict=True)))
    # Rounding may put a price outside its bar's range.
    changed["high"], changed["low"] = changed[PRICES].max(axis=1), changed[PRICES].min(axis=1)
    return as_bars(changed)


def exposures(model: ScoreModel, bars: pd.DataFrame, trade_from: int) -> pd.DataFrame:
    _, params = run_settings(None, [], strategy_defaults())
    result = run([bars], Account(), ScoreStrategy, {**params, "model": model, "trade_from": trade_from})
    return result.decisions.set_index("time")


def splices(model: ScoreModel, bars: pd.DataFrame, since: int, count: int, least: float) -> list[int]:
    """Return rows of `bars`, spread over the span, before which the position is at least `least` of equity."""
    held = exposures(model, bars, since)["position"].abs()
    rows = np.flatnonzero(held.reindex(_closes(bars)).to_numpy() >= least) + 1
    rows = rows[(rows > model.lookback + BEFORE) & (rows < len(bars) - BARS)]
    return [int(rows[k]) for k in np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)]


def _closes(bars: pd.DataFrame) -> pd.DatetimeIndex:
    return pd.to_datetime(bars["timestamp"] + 3_600_000, unit="ms", utc=True)


def one_splice(model: ScoreModel, bars: pd.DataFrame, at: int, factor: float) -> tuple[np.ndarray, list[str]]:
    """Return exposures [4] at the closes from the one before the shock, and the reasons of the shocked bars."""
    first = at - BEFORE - model.lookback - 1
    part = bars.iloc[first : at + BARS + 1].reset_index(drop=True)
    part.attrs = dict(bars.attrs)
    begin = int(part["timestamp"].iloc[model.lookback + 1])
    changed = part if factor == 0.0 else shocked(part, at - first, factor)
    found = exposures(model, changed, begin).iloc[-BARS - 2 : -1]
    return found["position"].to_numpy(), found["reason"].tolist()[1:]


def report(model: ScoreModel, bars: pd.DataFrame, rows: Sequence[int], factors: Sequence[float]) -> None:
    print(f"  {'shock':>8}  before     +1     +2     +3   cut by half at +3   reasons of the 3 bars")
    cut = {}
    for factor in (0.0, *factors):
        found = [one_splice(model, bars, at, factor) for at in rows]
        held = np.abs(np.array([exposure for exposure, _ in found]))
        held = held[held[:, 0] > 0.0]
        cut[factor] = float((held[:, 3] <= 0.5 * held[:, 0]).mean())
        reasons = Counter(reason for _, words in found for reason in words).most_common(4)
        print(
            f"  {'none' if factor == 0.0 else f'{factor:g} sd':>8}  "
            + "  ".join(f"{value:5.3f}" for value in held.mean(axis=0))
            + f"  {100 * cut[factor]:15.0f} %   "
            + ", ".join(f"{name} {count}" for name, count in reasons),
            flush=True,
        )
    verdict(
        f"share of splices cut by half in 3 bars, {factors[-1]:g} sd", cut[factors[-1]], 0.9, at_least=True
    )
    verdict("the same without a shock", cut[0.0], 0.1, at_least=False)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_data_option(parser)
    parser.add_argument("--from", dest="first", default="2023-01-01", help="first bar of the training span")
    parser.add_argument("--since", default="2024-07-01")
    parser.add_argument("--until", default="2025-01-01")
    parser.add_argument("--splices", type=int, default=24)
    parser.add_argument("--least", type=float, default=0.1)
    parser.add_argument("--factors", type=float, nargs="+", default=[4.0, 8.0, 16.0])
    args = parser.parse_args()
    path = args.data / "BTCUSDT_1h.parquet"
    history = load_bars(path, since=args.first, until=args.since)
    with threads(1):
        model = learn([as_market(history)], ModelConfig.from_dict(LIGHT), progress=False)
        warm = model.lookback + BEFORE + 2
        bars = load_bars(path, since=args.since, until=args.until, warmup_bars=warm)
        rows = splices(model, bars, milliseconds(args.since), args.splices, args.least)
        heading(
            "a volatility shock of 3 bars spliced into BTC",
            f"model {args.first} to {args.since}, {len(rows)} splices to {args.until}",
        )
        report(model, bars, rows, args.factors)


if __name__ == "__main__":
    main()
