"""The plug-in strategy: it holds a score model, reads its lines and trades where the market is familiar."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

import backtrader as bt

from scorenet.base.times import float_days
from scorenet.conformal.adaptive import AdaptiveThreshold
from scorenet.model import Evaluation

from .buffers import Rows
from .datas import bar_milliseconds, periods_per_year, symbol_of
from .decision import (
    KEEPS,
    POSITION_RULES,
    AccountState,
    Conditions,
    Observation,
    Rules,
    agreement,
    cap_factor,
    capped,
    choose,
    exposure_of,
    is_silent,
    may_order,
    watch_equity,
    with_order,
)
from .indicators import MarketScore
from .models import resolve_model
from .recorder import DecisionRecorder
from .sizing import exposure_to_size

__all__ = ["ScoreStrategy"]

_RULES = tuple((item.name, item.default) for item in fields(Rules))


@dataclass(slots=True)
class _Desk:
    """What the strategy keeps for one symbol between bars; `clock`, `close` and `score` are lines, looked up once."""

    number: int
    data: Any
    clock: Any
    close: Any
    score: Rows
    order_size: Any
    root_year: float
    step_days: float
    gate: AdaptiveThreshold | None
    bars: int = 0
    last_fill: float = -math.inf
    order: Any = None
    signals: list[float] = field(default_factory=list)


# The desk, target exposure, code of the reason, and what was known: a tuple, for there is one a bar.
_Plan = tuple[_Desk, float, int, Observation]


class ScoreStrategy(bt.Strategy):
    """Trade by the score of the return coordinate, only where the density says the market is familiar.

    Works on one data or on several in one account; several share the capital equally. Decided at a bar's
    close, filled at the next bar's open.

    Params:
      - ``model``: a model folder or a `ScoreModel`.
      - ``signal`` (def: "forward"): "forward" or "state".
      - ``trade_from`` (def: None): UTC ms; earlier bars are warm-up only.
      - and the fields of `strategies.decision.Rules`: ``confidence_threshold``, ``density_quantile``,
        ``density_adaptation``, ``novelty_scaling``, ``consistency_window``, ``consistency_share``,
        ``score_variance_scaling``, ``target_volatility``, ``max_exposure``, ``leverage``, ``rebalance_band``,
        ``cooldown``, ``max_drawdown_stop``, ``stale_after``, ``position_rule``.

    A subclass says what holds besides the bars in `conditions`, and hears of every order sent in `order_sent`.

    Attributes:
        decisions: a `DecisionRecorder`, a row per bar and symbol.
        rejections: orders the broker refused.
    """

    params = (("model", None), ("signal", "forward"), ("trade_from", None), *_RULES)

    def __init__(self) -> None:
        self.rules = Rules(**{name: getattr(self.p, name) for name, _ in _RULES})
        self._position_rule = POSITION_RULES[self.rules.position_rule]
        self.model = resolve_model(self.p.model)
        self._lookback = self.model.lookback
        symbols = [symbol_of(data) for data in self.datas]
        self.decisions = DecisionRecorder(symbols, self.rules.density_quantile)
        self.rejections = 0
        self._from = None if self.p.trade_from is None else float_days(self.p.trade_from)
        self._account = AccountState()
        self._desks = [self._open_desk(number, data) for number, data in enumerate(self.datas)]
        self._by_data = {id(desk.data): desk for desk in self._desks}
        self._now, self._part = self.lines.datetime, len(self._desks)
        self._may_pass_leverage = self._part > 1 or self.rules.max_exposure > self.rules.leverage

    def _open_desk(self, number: int, data: Any) -> _Desk:
        step = bar_milliseconds(data)
        score: Any = MarketScore(data, model=self.model, signal=self.p.signal)  # type: ignore[call-arg]
        order_size = getattr(self.broker.getcommissioninfo(data), "order_size", _difference)
        rows = Rows(tuple(getattr(score.lines, name) for name in Evaluation._fields))
        root_year, step_days = math.sqrt(periods_per_year(step)), step / 86_400_000
        clock, close = data.lines.datetime, data.lines.close
        return _Desk(number, data, clock, close, rows, order_size, root_year, step_days, self._gate())

    def _gate(self) -> AdaptiveThreshold | None:
        level, rate = self.rules.density_quantile, self.rules.density_adaptation
        return AdaptiveThreshold(level, rate) if rate and 0 < level < 1 else None

    def prenext(self) -> None:
        self.next()

    def conditions(self) -> Conditions:
        """Return what holds for all symbols besides the bars; asked once before each bar is decided."""
        return _ORDINARY

    def order_sent(self, order: Any) -> None:
        """Hear of an order that was just sent."""

    def waiting(self, data: Any) -> float:
        """Return the size (signed base units) that the order in the book for `data` still has to fill."""
        order = self._by_data[id(data)].order
        return 0.0 if order is None else float(order.executed.remsize)

    def next(self) -> None:
        now, equity, conditions = self._now[0], self.broker.getvalue(), self.conditions()
        account = self._account
        if not account.floor < equity <= account.peak:
            self._account = watch_equity(self.rules, account, equity)
        plans = []
        for desk in self._desks:
            bars = desk.clock.lencount
            if bars > desk.bars:
                desk.bars = bars
                seen = self._observe(desk, equity, conditions)
            elif desk.bars and is_silent(self.rules, now - desk.clock[0], desk.step_days):
                seen = self._without_values(desk, equity, conditions, silent=True)
            else:
                continue
            plans.append((desk, *choose(self.rules, seen, self._position_rule), seen))
        if self._may_pass_leverage:
            plans = self._within_leverage(plans, equity)
        for desk, target, code, seen in plans:
            if code not in KEEPS and may_order(seen, code):
                code = self._act(desk, target, code, equity, seen.exposure)
            self.decisions.append(
                now,
                desk.number,
                code,
                desk.close[0],
                seen.score,
                seen.signal,
                seen.confidence,
                seen.log_density,
                seen.density_rank,
                target,
                seen.exposure,
            )

    def _observe(self, desk: _Desk, equity: float, conditions: Conditions) -> Observation:
        if desk.bars <= self._lookback:
            return self._without_values(desk, equity, conditions, silent=False)
        score, signal, confidence, score_std, log_density, rank, volatility = desk.score.current()
        if desk.gate is not None and rank == rank:  # NaN where the state is not defined
            rank = desk.gate.update(rank)
        window, share = self.rules.consistency_window, 1.0
        if window:
            desk.signals.append(signal)
            del desk.signals[:-window]
            share = agreement(desk.signals, window)
        account = self._account
        # By position, in the order of the fields: names cost as much as the decision itself.
        return Observation(
            score,
            signal,
            confidence,
            score_std,
            rank,
            volatility * desk.root_year,
            share,
            exposure_of(self.broker.getposition(desk.data).size, desk.close[0], equity),
            desk.bars - desk.last_fill,
            self._part,
            self._from is not None and desk.clock[0] < self._from,
            False,
            *conditions,
            account.ruined,
            account.stopped,
            log_density,
        )

    def _without_values(
        self, desk: _Desk, equity: float, conditions: Conditions, *, silent: bool
    ) -> Observation:
        """Observe a symbol without a bar, or with too few bars for the model."""
        return _UNKNOWN._replace(
            exposure=exposure_of(self.broker.getposition(desk.data).size, desk.close[0], equity),
            symbols=self._part,
            warming=not silent,
            silent=silent,
            late=conditions.late,
            kill_switch=conditions.halted,
            flatten=conditions.flatten,
            ruined=self._account.ruined,
            stopped=self._account.stopped,
        )

    def _within_leverage(self, plans: list[_Plan], equity: float) -> list[_Plan]:
        planned = {id(desk) for desk, *_ in plans}
        others = sum(
            abs(exposure_of(self.broker.getposition(desk.data).size, desk.close[0], equity))
            for desk in self._desks
            if desk.bars and id(desk) not in planned
        )
        factor = cap_factor(self.rules, [target for _, target, *_ in plans], others)
        if factor == 1.0:
            return plans
        return [
            (desk, *capped(self.rules, target, code, seen.exposure, seen.symbols, factor), seen)
            for desk, target, code, seen in plans
        ]

    def _act(self, desk: _Desk, target: float, code: int, equity: float, held: float) -> int:
        """Send the order that takes a symbol to its target; return the code of the reason, which the lot may change."""
        # Without equity nothing counts as held, and yet there may be a position to close.
        if target == held and equity > 0 and desk.order is None:
            return code
        size, price = self.broker.getposition(desk.data).size, desk.close[0]
        if desk.order is not None:
            if target != 0.0 or desk.order.executed.remsize == -size:
                return code
            # It has waited through a hole, or for volume; what it was sent for is no longer wanted.
            self.cancel(desk.order)
            desk.order = None
        change = desk.order_size(exposure_to_size(target, equity, price, _any_size), size, price)
        if change > 0:
            desk.order = self.buy(data=desk.data, size=change)
        elif change < 0:
            desk.order = self.sell(data=desk.data, size=-change)
        if desk.order is not None:
            self.order_sent(desk.order)
        return with_order(code, target, change)

    def notify_order(self, order: Any) -> None:
        if order.alive():
            return
        desk = self._by_data.get(id(order.data))
        if desk is None:
            return
        if order.executed.size:
            desk.last_fill = len(desk.clock)
        if order.status in (order.Margin, order.Rejected):
            # The decision is a level, not an event: the next bar asks again for whatever is still missing.
            self.rejections += 1
        if desk.order is not None and order.ref == desk.order.ref:
            desk.order = None


_ORDINARY = Conditions()
_UNKNOWN = Observation(
    score=math.nan,
    signal=math.nan,
    confidence=math.nan,
    score_std=math.nan,
    density_rank=math.nan,
    annual_volatility=math.nan,
    agreement=1.0,
    exposure=0.0,
    bars_since_fill=math.inf,
)


def _any_size(size: float, price: float) -> float:
    return size


def _difference(target: float, position: float, price: float) -> float:
    return target - position
