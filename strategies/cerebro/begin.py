"""When a strategy begins to trade: a date, a bar close, or after all that its model has seen."""

from __future__ import annotations

import datetime as dt
import logging
import math
import numbers
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

from scorenet.base.times import float_days, iso

from ..datas import HALF_SECOND, bar_milliseconds, symbol_of, to_milliseconds

if TYPE_CHECKING:
    from ..schedule import ModelSchedule

__all__ = ["TradeFrom", "begin_date", "first_close", "first_date", "is_close", "warn_at_end"]

TradeFrom: TypeAlias = str | float | dt.date | None
"""A date (text, date or datetime; UTC without a zone), a bar close in UTC ms, or None for no limit."""

_LOG = logging.getLogger("scorenet")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_FIRST_SECOND, _LAST_SECOND = 10**8, 10**11  # 1973 to 5138 as seconds; as UTC ms, days of 1970 to 1973
_warned: set[str] = set()


def first_close(moment: TradeFrom, step_ms: int) -> float:
    """Return the first bar close (UTC ms) that counts from `moment` on, minus infinity without one.

    A date counts as `--since` of the commands does: the first bar is the one that opens at it or later. A number is a
    bar's close itself.

    Raises:
        ValueError: `moment` is none of these.
    """
    if moment is None:
        return -math.inf
    if is_close(moment):
        if _FIRST_SECOND <= moment < _LAST_SECOND:
            raise ValueError(
                f"trade_from: expected UTC ms, found {moment}, which looks like seconds; multiply it by 1000"
            )
        return float(moment)
    return _instant(moment) + step_ms


def is_close(moment: Any) -> TypeGuard[float]:
    """Return whether `moment` is a number: a bar close in UTC ms."""
    return isinstance(moment, numbers.Real) and not isinstance(moment, bool)


def first_date(moment: TradeFrom, data: Any) -> float:
    """Return a Backtrader date half a second before the first bar close of `data` that counts; 0.0 without a limit."""
    if moment is None:
        return 0.0
    return float(float_days(first_close(moment, bar_milliseconds(data)))) - HALF_SECOND


def begin_date(trade_from: TradeFrom, models: ModelSchedule, step_ms: int) -> float:
    """Return the first bar close at which a strategy may trade, as a Backtrader date; minus infinity without a limit.

    "auto" is the first bar that no part of the first model has seen: in training, calibration or measurement.

    Raises:
        ValueError: `trade_from` is not a date; or it is "auto", and a model does not say what it has seen, or a later
            model of the schedule is used on bars that it has seen.
    """
    found = _after_seen(models, step_ms) if trade_from == "auto" else first_close(trade_from, step_ms)
    begins = max(models.since[0], found)
    return float(float_days(begins)) if math.isfinite(begins) else begins


def warn_at_end(strategy: Any, needs: Sequence[float]) -> None:
    """Log, once, that a run has decided on no bar, or on bars that its model has seen.

    `needs` is the number of bars that each traded data needs. With a bar close as `trade_from` nothing is said: it
    comes from a command, which has said it, or from a live run.
    """
    if is_close(strategy.p.trade_from):
        return
    model, first = strategy.models.models[0], strategy.decisions.first_decision()
    seen = model.seen_until
    if first is None:
        text = f"the strategy traded no bar: {_why_no_bar(strategy, needs)}"
        _say_once(f"{model.fingerprint} {text}", text)
    elif seen is not None and first <= seen:
        _say_once(
            model.fingerprint,
            f"the strategy traded from {iso(first)} on, but its model has seen the bars until {iso(seen)}: the result "
            "is not out of sample; pass trade_from='auto' or a later date",
        )


def _why_no_bar(strategy: Any, needs: Sequence[float]) -> str:
    if not len(strategy):
        return "its datas have no bar"
    step, moment, models = bar_milliseconds(strategy.traded[0]), strategy.p.trade_from, strategy.models
    found = _after_seen(models, step) if moment == "auto" else first_close(moment, step)
    begins = max(models.since[0], found)
    last = int(to_milliseconds(strategy.lines.datetime[0]))
    ends = f"the last of the {max(map(len, strategy.traded)):,} bars of this run closes at {iso(last)}"
    if last >= begins:
        few = "; ".join(
            f"{symbol_of(data)} has {len(data)} bars, and its first decision needs {needed:.0f}"
            for data, needed in zip(strategy.traded, needs, strict=True)
            if len(data) < needed
        )
        return few or "the other datas have fewer bars than the strategy's indicators need"
    if found < begins:
        return f"its first model is used from {iso(int(begins))} on, and {ends}"
    if moment == "auto":
        return (
            f"trade_from='auto' begins at {iso(int(begins))}, after the bars that the model has seen in training or "
            f"measurement, and {ends}. Add later bars, or train the model on earlier ones (scorenet train --until); "
            "trade_from=None trades also the bars that it has seen, and its result is not out of sample"
        )
    return f"trade_from={moment!r} begins at {iso(int(begins))}, and {ends}; add later bars, or set an earlier date"


def _say_once(key: str, text: str) -> None:
    if key not in _warned:
        _warned.add(key)
        _LOG.warning("scorenet: %s", text)


def _after_seen(models: ModelSchedule, step_ms: int) -> float:
    for number, (since, model) in enumerate(zip(models.since, models.models, strict=True)):
        seen = model.seen_until
        if seen is None:
            raise ValueError(
                "trade_from='auto': the model does not say which bars it has seen; train it again, or give a date"
            )
        if number and since <= seen:
            raise ValueError(
                f"trade_from='auto': model {number} is used from {iso(int(since))} on, but has seen the bars until "
                f"{iso(seen)}; use it later, or train it on earlier bars"
            )
    # `seen_until` is the open of the last bar that was seen; the next one closes two bars later.
    return float(models.models[0].seen_until or 0) + 2 * step_ms


def _instant(moment: Any) -> int:
    value = moment
    if isinstance(value, str):
        try:
            value = dt.datetime.fromisoformat(value.strip())
        except ValueError as error:
            raise ValueError(_expected(moment)) from error
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        value = dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    if not isinstance(value, dt.datetime):
        raise ValueError(_expected(moment))
    instant = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
    return (instant - _EPOCH) // dt.timedelta(milliseconds=1)


def _expected(moment: Any) -> str:
    return (
        f"trade_from: expected a date such as '2024-07-01', a datetime, a bar close in UTC ms, or (for "
        f"ScoreStrategy) 'auto', found {moment!r}"
    )
