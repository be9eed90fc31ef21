"""Which datas of a Cerebro a strategy trades, and how many bars the user's own datas and indicators need."""

from __future__ import annotations

from typing import Any

import backtrader as bt

from scorenet import FeatureMismatch
from scorenet.base.did_you_mean import did_you_mean

from ..datas import bar_milliseconds, bar_name, symbol_of
from ..schedule import ModelSchedule

__all__ = ["check_commission", "check_traded", "traded_datas", "user_periods"]


def traded_datas(strategy: Any, wanted: Any) -> list[Any]:
    """Return the datas that `wanted` names: data objects, names or numbers, one of them or a list; None is all.

    Raises:
        ValueError: one is unknown or named twice, or there is none; the message lists the datas of the Cerebro. Or two
            have one name, or another strategy of the Cerebro trades one of them.
    """
    found = _wanted(list(strategy.datas), wanted)
    names = [symbol_of(data) for data in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(
            f"datas: two of the datas to trade are called {twice!r}, so their profit could not be told apart; give "
            "each a name of its own: cerebro.adddata(data, name=...)"
        )
    _check_alone(strategy, found)
    return found


def _wanted(datas: list[Any], wanted: Any) -> list[Any]:
    if wanted is None:
        return datas
    items = list(wanted) if isinstance(wanted, list | tuple) else [wanted]
    found = [_find(datas, item) for item in items]
    if not found or len({id(data) for data in found}) < len(found):
        raise ValueError(
            f"datas: expected datas to trade, each once, found {wanted!r}; Cerebro has {_listed(datas)}"
        )
    return found


def _check_alone(strategy: Any, datas: list[Any]) -> None:
    """A position belongs to the account: of two strategies on one data, each would trade away the other's."""
    for other in getattr(strategy.cerebro, "runningstrats", ()):  # those that were built before this one
        shared = [data for data in getattr(other, "traded", ()) if any(data is own for own in datas)]
        if shared:
            raise ValueError(
                f"another {type(other).__name__} of this Cerebro trades {symbol_of(shared[0])} in the same account, "
                "and each would trade away the position of the other; run each in a Cerebro of its own, or name "
                "what each trades: "
                f"cerebro.addstrategy({type(strategy).__name__}, model=..., datas=[...])"
            )


def check_traded(strategy: Any, models: ModelSchedule) -> None:
    """Check that all datas have the model's bar size, where the user did not say which of them to trade.

    Raises:
        FeatureMismatch: some have, and some have not; the message has the line of code that names the first.
    """
    trained = models.models[0].info.get("bar_ms")
    if trained is None or strategy.p.datas is not None:
        return
    sizes = {data: bar_milliseconds(data) for data in strategy.datas}
    fitting = [symbol_of(data) for data, size in sizes.items() if size == trained]
    others = [f"{symbol_of(data)} of {bar_name(size)}" for data, size in sizes.items() if size != trained]
    if fitting and others:
        raise FeatureMismatch(
            f"expected datas with bars of {bar_name(int(trained))}, the model's size, found {', '.join(others)} too; "
            "if that is a data of your own, such as a filter, name the datas to trade: "
            f"cerebro.addstrategy({type(strategy).__name__}, model=..., datas={fitting!r})"
        )


def check_commission(commission: Any, data: Any) -> None:
    """Check that the account values a position as its commission scheme says.

    Raises:
        ValueError: the scheme has a multiplier, which Backtrader's stock account counts only when a position is closed.
    """
    plain = not hasattr(commission, "order_size")  # `PerpetualCommission` values positions itself
    if plain and commission.stocklike and commission.p.mult != 1.0:
        raise ValueError(
            f"{symbol_of(data)}: Backtrader values a stock position without its mult ({commission.p.mult:g}), so "
            "equity would be wrong; make it a future with margin=..., or use "
            f"cerebro.broker.addcommissioninfo(PerpetualCommission(mult={commission.p.mult:g}))"
        )


def user_periods(strategy: Any, own: list[Any]) -> list[int]:
    """Return the number of bars that the indicators need on each data, without the strategy's `own` indicators.

    Backtrader calls `next` first when all of them have that many bars, and so long a user's filter cannot be read.
    """
    kinds, mine = strategy._lineiterators, {id(indicator) for indicator in own}
    every, kept = kinds[bt.LineIterator.IndType], (strategy._minperiods, strategy._minperiod)
    kinds[bt.LineIterator.IndType] = [indicator for indicator in every if id(indicator) not in mine]
    try:
        bt.Strategy._periodset(strategy)
        found: list[int] = strategy._minperiods
    finally:
        kinds[bt.LineIterator.IndType] = every
        strategy._minperiods, strategy._minperiod = kept
    return found


def _find(datas: list[Any], item: Any) -> Any:
    if isinstance(item, str):
        names = {symbol_of(data): data for data in datas}
        if item in names:
            return names[item]
        raise ValueError(
            f"datas: no data is called {item!r}{did_you_mean(item, names)}; Cerebro has {_listed(datas)}; "
            f"give a data its name with cerebro.adddata(data, name={item!r})"
        )
    if isinstance(item, int) and not isinstance(item, bool) and -len(datas) <= item < len(datas):
        return datas[item]
    if any(item is data for data in datas):
        return item
    raise ValueError(
        f"datas: expected a data of this Cerebro, its name or its number, found {item!r}; it has {_listed(datas)}"
    )


def _listed(datas: list[Any]) -> str:
    return ", ".join(f"{number}: {symbol_of(data)!r}" for number, data in enumerate(datas))
