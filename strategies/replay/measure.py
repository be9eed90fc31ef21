"""From the numbers of compiled code to the figures of metrics.json."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..analyzers.metrics import years_between
from ..decision import REASONS
from .compiled.kernel import OUT
from .compiled.layout import (
    FEES,
    FUNDING_PAID,
    INSURANCE,
    LIQUIDATIONS,
    LOST,
    ORDERS,
    REFUSALS,
    SETTLEMENTS,
    SLIPPAGE,
    TRADED,
    TRADES,
    WAITED,
    WINS,
    WON,
)
from .market import ReplayMarket
from .result import ReplayResult

__all__ = ["Raw", "result_of"]


class Raw(NamedTuple):
    """What compiled code writes for S sets; an array that was not asked for is empty.

    `orders` are the rows of each set, cut to their number.
    """

    figures: Any
    money: Any
    counts: Any
    reasons: Any
    equity: Any
    codes: Any
    rows: Any
    orders: Any


def result_of(market: ReplayMarket, raw: Raw, before: int) -> ReplayResult:
    """Return the figures of the sets; `before` is the number of the first.

    Raises:
        ValueError: a position rule gave no finite number; the message says where.
    """
    out = dict(zip(OUT, raw.figures.T, strict=True))
    _check(market, out.pop("failed_at"), before)
    mean, years = out.pop("mean_equity"), years_between(market.times)
    known, inside, sure, confident = (out.pop(name) for name in ("known", "inside", "sure", "confidence_sum"))
    trades, wins = raw.counts[:, TRADES], raw.counts[:, WINS]
    won, lost = raw.money[:, WON], raw.money[:, LOST]
    with np.errstate(divide="ignore", invalid="ignore"):
        out["turnover"] = np.where((mean > 0.0) & (years > 0.0), raw.money[:, TRADED] / mean / years, np.nan)
        out["in_distribution_ratio"] = np.where(known > 0.0, inside / known, np.nan)
        out["avg_confidence"] = np.where(sure > 0.0, confident / sure, np.nan)
        out["win_rate"] = np.where(trades > 0, wins / trades, np.nan)
        out["profit_factor"] = np.where(lost > 0.0, won / lost, np.nan)
    out["exposure"] = out.pop("exposure_sum") / len(market.times)
    for name, place in (
        ("fees", FEES),
        ("funding", FUNDING_PAID),
        ("slippage", SLIPPAGE),
        ("insurance", INSURANCE),
    ):
        out[name] = raw.money[:, place].copy()
    whole = {
        "n_orders": ORDERS,
        "n_trades": TRADES,
        "liquidations": LIQUIDATIONS,
        "settlements": SETTLEMENTS,
        "orders_in_filled_bars": WAITED,
    }
    figures = {
        **out,
        **{name: raw.counts[:, place].copy() for name, place in whole.items()},
        "bars_in_market": out.pop("busy").astype(np.int64),
    }
    return ReplayResult(
        market=market,
        figures=figures,
        refused={reason: raw.counts[:, place].copy() for reason, place in REFUSALS.items()},
        reasons={reason: raw.reasons[:, code].copy() for code, reason in enumerate(REASONS)},
        equity=raw.equity if len(raw.equity) else None,
        codes=raw.codes if raw.codes.shape[2] else None,
        rows=raw.orders,
    )


def _check(market: ReplayMarket, failed_at: Any, before: int) -> None:
    for number in np.flatnonzero(failed_at >= 0.0)[:1]:
        symbol, close = divmod(int(failed_at[number]), market.values.shape[2])
        raise ValueError(
            f"set {before + number}: expected a finite exposure from the position rule, found none for "
            f"{market.facts.symbols[symbol]} at the bar that closes at {market.clock[close]} ms"
        )
