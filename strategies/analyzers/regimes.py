"""Profit by market regime: share of time, profit, Sharpe ratio and length of each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorenet import ScoreModel
from scorenet.features import Bars
from scorenet.regimes.filter import WINDOW
from scorenet.regimes.labels import required

from ..datas import periods_per_year
from .metrics import sharpe_ratio

__all__ = ["profit_by_regime", "regime_warmup"]

Floats = NDArray[np.float64]
Times = NDArray[np.int64]


def regime_warmup(model: ScoreModel) -> int:
    """Return the bars before its first decision that a model reads to know the regime; 0 if there is only one."""
    return WINDOW if model.regime_map is not None and len(model.regime_map) > 1 else 0


def profit_by_regime(
    model: ScoreModel, bars: Bars, step_ms: int, closes: Times, equity: Floats, profit: Floats
) -> list[dict[str, Any]]:
    """Return a row for each regime of one symbol.

    The keys: regime (number), name, bars, share, pnl, account_pnl, sharpe_ratio, mean_run, next. A bar counts for the
    regime that was known when it began, so a decision could know it. `pnl` is the symbol's own profit after costs
    (settlement coin), `sharpe_ratio` that of its profit over the account's equity, `account_pnl` the profit of the
    whole account meanwhile. There is a row for the bars before a regime was known (`regime` None): so the `pnl` of all
    rows of all symbols add up to the account's profit.

    Args:
        bars: columns [T] of the symbol, "timestamp" in UTC ms at the bar's open.
        closes: [N] closes at which the account was valued, UTC ms.
        equity: [N] the account's equity there.
        profit: [N] the symbol's profit after costs since the close before; the first counts for nothing.

    Raises:
        ConfigError: the model has no regimes.
    """
    found = required(model.regime_map)
    labels = _known_before(model, bars, step_ms, closes)[1:]
    own = profit[1:]
    account = np.diff(equity)
    solvent = equity[:-1] > 0.0
    change = np.where(solvent, own / np.where(solvent, equity[:-1], 1.0), 0.0)
    described = [(row["regime"], row["name"], row["next"]) for row in found.summary()]
    if (labels < 0).any():
        described.append((None, "not known yet", None))
    rows = []
    for number, name, following in described:
        inside = labels == (-1 if number is None else number)
        count, runs = int(inside.sum()), int(np.count_nonzero(inside & ~np.append(False, inside[:-1])))
        rows.append(
            {
                "regime": number,
                "name": name,
                "bars": count,
                "share": count / len(labels) if len(labels) else None,
                "pnl": float(own[inside].sum()),
                "account_pnl": float(account[inside].sum()),
                "sharpe_ratio": sharpe_ratio(change[inside], periods_per_year(step_ms, model.clock)),
                "mean_run": count / runs if runs else None,
                "next": following,
            }
        )
    return rows


def _known_before(model: ScoreModel, bars: Bars, step_ms: int, closes: Times) -> Times:
    """Return the regime [N] that was known at the close before each of these closes; -1 for none."""
    opens = np.asarray(bars["timestamp"], dtype=np.int64)
    labels = model.regimes(model.features.compute(bars, step_ms, model.clock), opens)
    labels[: model.lookback + max(regime_warmup(model) - 1, 0)] = -1
    # The last bar of the symbol that closed before the bar in question did.
    clock = model.clock
    last = np.searchsorted(clock.trading_ms(opens) + step_ms, clock.trading_ms(closes), side="left") - 1
    return np.where(last >= 0, labels[np.maximum(last, 0)], -1)
