"""A summary of a run in plain words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..metric_rows import FEWEST_DAYS, is_annualised, show

__all__ = ["verdict"]

_REASONS = {
    "warmup": "waiting for enough bars",
    "hold": "a change of the target inside its rebalance_band or cost_band",
    "out_of_distribution": "a market state outside the training distribution",
    "low_confidence": "a signal that was too weak",
    "inconsistent": "a signal that kept changing its sign",
    "cooldown": "a cooldown",
    "stale": "data that was too old",
    "below_minimum": "a size below the exchange's smallest order",
    "drawdown_stop": "its drawdown stop",
    "kill_switch": "its kill switch",
    "ruined": "an account without equity",
    "expired": "a model trained too long ago (expire_after)",
    "drift": "its drift alarm",
    "reduced": "a position reduced by a filter",
    "regime": "a regime in which it does not trade (regimes)",
    "doubtful": "stamps of the exchange that contradict each other",
    "direction": "a forecast of the side that it does not trade (direction)",
    "refused": "a refusal by the user's own code",
    "halted": "a halted account",  # earlier versions did not record what halted the run
}


def verdict(
    metrics: Mapping[str, Any],
    reasons: Mapping[str, int],
    account: Mapping[str, Any] | None = None,
    price: float = math.nan,
    currency: str = "",
) -> list[str]:
    """Return one to four sentences on a run from metrics.json and the number of decisions by reason.

    `account` has the account's settings and `price` a price of the traded symbol; both explain orders that are too
    small. `currency` is the coin that money is in.
    """
    total = metrics.get("total_return")
    if total is None:
        return ["The run has no total return."]
    if total <= -1.0:
        return [_ruin(metrics), *_novelty(metrics)]
    if not metrics.get("n_orders"):
        return [_idle(metrics, reasons, account or {}, price), *_novelty(metrics)]
    sentences = [
        _comparison(metrics, total),
        _costs(metrics, currency),
        _significance(metrics),
        *_novelty(metrics),
    ]
    return [sentence for sentence in sentences if sentence]


def _ruin(metrics: Mapping[str, Any]) -> str:
    benchmark = _benchmark(metrics, "total_return")
    beside = "" if benchmark is None else f" Buy-and-hold returned {show('percent', benchmark)}."
    return f"The account was ruined: its equity is zero or less.{beside}"


def _idle(
    metrics: Mapping[str, Any], reasons: Mapping[str, int], account: Mapping[str, Any], price: float
) -> str:
    benchmark = _benchmark(metrics, "total_return")
    beside = "" if benchmark is None else f"; buy-and-hold returned {show('percent', benchmark)}"
    idle = {reason: count for reason, count in reasons.items() if count and reason in _REASONS}
    if not idle:
        return f"The strategy never traded{beside}."
    main = max(idle, key=lambda reason: idle[reason])
    if "below_minimum" in idle:
        # On these bars only the size kept an order from being sent; on all others there was none to send.
        main = "below_minimum"
    share = idle[main] / sum(reasons.values())
    rank = "most frequent cause" if idle[main] == max(idle.values()) else "cause"
    numbers = _smallest_order(account, price) if main == "below_minimum" else ""
    cause = f"The {rank}, on {share:.0%} of the bars, was {_REASONS[main]}{numbers}."
    return f"The strategy never traded{beside}. {cause}"


def _smallest_order(account: Mapping[str, Any], price: float) -> str:
    """Return the account's cash and its smallest order in numbers, if they are known."""
    names = ("cash", "min_notional", "lot_step", "min_size")
    if not all(isinstance(account.get(name), int | float) for name in names) or not math.isfinite(price):
        return ""
    cash, notional, *steps = (float(account[name]) for name in names)
    least, size = max(notional, max(steps) * price), max(steps)
    return (
        f": the account began with {cash:,.2f}, an order needs at least {least:,.2f} "
        f"(min_notional {notional:g}; {size:g} units at {price:,.2f})"
    )


def _comparison(metrics: Mapping[str, Any], total: float) -> str:
    text = f"The strategy returned {show('percent', total)}"
    benchmark = _benchmark(metrics, "total_return")
    if benchmark is not None:
        text += f" where buy-and-hold returned {show('percent', benchmark)}"
    deepest, other = metrics.get("max_drawdown"), _benchmark(metrics, "max_drawdown")
    if deepest is not None and other is not None:
        text += f"; its deepest drawdown was {show('percent', deepest)} against {show('percent', other)}"
    return text + "."


def _costs(metrics: Mapping[str, Any], currency: str) -> str:
    paid = [metrics.get(key) for key in ("fees", "funding", "slippage")]
    if any(cost is None for cost in paid):
        return ""
    orders = metrics["n_orders"]
    total = " ".join(filter(None, (show("money", sum(filter(None, paid))), currency)))
    return f"{orders:,} order{'s' * (orders != 1)} cost {total} in fees, funding and slippage."


def _significance(metrics: Mapping[str, Any]) -> str:
    """Return how far the Sharpe ratio is from zero, by the standard error for independent returns."""
    if not is_annualised(metrics):
        return f"The run covers less than {FEWEST_DAYS} days: too short for any figure a year."
    sharpe, periods, bars = (metrics.get(key) for key in ("sharpe_ratio", "periods_per_year", "bars"))
    if sharpe is None or not periods or not bars or bars < 3:
        return ""
    error = math.sqrt((periods + sharpe * sharpe / 2) / (bars - 1))
    apart = abs(sharpe) / error
    distance = (
        "not significantly different from zero" if apart < 2 else f"{apart:.1f} standard errors from zero"
    )
    ratio = f"{show('ratio', sharpe)} ± {show('ratio', error)}"
    return f"The Sharpe ratio of bars, {ratio} (one standard error), is {distance}."


def _novelty(metrics: Mapping[str, Any]) -> list[str]:
    share = metrics.get("in_distribution_ratio")
    if share is None:
        return []
    unknown = metrics.get("bars_without_state") or 0
    missing = f"; no state was known on {unknown:,} bar{'s' * (unknown != 1)}" if unknown else ""
    return [
        f"The market state was in distribution on {show('share', share)} of the bars with a known state{missing}."
    ]


def _benchmark(metrics: Mapping[str, Any], key: str) -> float | None:
    block = metrics.get("benchmark")
    return block.get(key) if isinstance(block, Mapping) else None
