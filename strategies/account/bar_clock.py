"""Times of orders and datas: when an order was decided, when a data has ended, which bars nobody traded in."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from scorenet.base.times import whole_ms

from ..datas import bar_milliseconds

__all__ = ["date_decision", "has_ended", "is_invented", "latest"]


def date_decision(order: Any) -> float:
    """Set `order.created.dt` to the time of the strategy that sent the order, and return it (Backtrader date).

    Backtrader writes the time of the order's data instead. If that data has longer bars than the one that made the
    strategy act, that time lies before the decision, and the next bar of the data began before it.
    """
    created = order.created
    clock = getattr(getattr(order.owner, "lines", None), "datetime", None)
    own = created.dt
    if clock is not None and len(clock) and clock[0] > own:
        created.dt = clock[0]
        if isinstance(order.p.valid, timedelta) and order.p.valid and order.valid:
            order.valid += created.dt - own  # a time span counts from the decision
    return float(created.dt)


def latest(datas: Any) -> float:
    """Return the close of the newest bar of any data (Backtrader date), 0.0 before the first."""
    return max((data.datetime[0] for data in datas if len(data)), default=0.0)


def has_ended(data: Any) -> bool:
    """Return whether a data has said that it has no more bars, and all of them have been delivered.

    A feed of this project says so itself (`ended`). Any other data is known to have ended only if Cerebro preloaded it.
    A live feed that is merely silent has not ended.
    """
    ended = getattr(data, "ended", None)
    if ended is not None:
        return bool(ended())
    preloaded = getattr(data._env, "_dopreload", False)
    return bool(preloaded and not data.islive() and len(data) >= data.buflen())


def is_invented(data: Any) -> bool:
    """Return whether the present bar was added where bars are missing (`gaps=ffill`): nobody traded in it.

    A bar that Backtrader built from shorter ones counts as invented if its first or its last part is: its open, or its
    close, is then no price of the market.
    """
    source: Any = data if hasattr(data, "filled_closes") else getattr(data, "data", None)
    filled = getattr(source, "filled_closes", None)
    if not filled:
        return False
    close = whole_ms(data.datetime[0])
    if close in filled:
        return True
    parts = bar_milliseconds(data) - source.source_ms
    return bool(parts > 0 and not data.replaying and close - parts in filled)
