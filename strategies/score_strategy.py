"""The plug-in strategy: it holds a score model, reads its lines and trades where the market is familiar."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

import backtrader as bt

from scorenet.conformal.adaptive import AdaptiveGate
from scorenet.model import Evaluation

from .buffers import Rows
from .datas import bar_milliseconds, periods_per_year, symbol_of, to_date
from .decision import Rules, agreement, choose
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
    gate: AdaptiveGate | None
    bars: int = 0
    last_fill: float = -math.inf
    order: Any = None
    signals: list[float] = field(default_factory=list)


# The desk, target, reason, exposure held, and the model's values: a tuple, for there is one a bar.
_Plan = tuple[_Desk, float, str, float, tuple[float, ...]]


class ScoreStrategy(bt.Strategy):
    """Trade by the score of the return coordinate, only where the density says the market is familiar.

    Works on one data or on several in one account; several share the capital equally. Decided at a bar's
    close, filled at the next bar's open.

    Params:
      - ``model``: a model folder or a `ScoreModel`.
      - ``signal`` (def: "forward"): "forward" or "state".
      - ``leverage`` (def: 1.0): cap on the sum of |exposure| over all symbols.
      - ``trade_from`` (def: None): UTC ms; earlier bars are warm-up only.
      - and the fields of `strategies.decision.Rules`: ``confidence_threshold``, ``density_quantile``,
        ``density_adaptation``, ``novelty_scaling``, ``consistency_window``, ``consistency_share``,
        ``score_variance_scaling``, ``target_volatility``, ``max_exposure``, ``rebalance_band``, ``cooldown``,
        ``max_drawdown_stop``, ``stale_after``.

    Attributes:
        decisions: a `DecisionRecorder`, a row per bar and symbol.
        rejections: orders the broker refused.
    """

    params = (("model", None), ("signal", "forward"), ("leverage", 1.0), ("trade_from", None), *_RULES)

    def __init__(self) -> None:
        self.rules = Rules(**{name: getattr(self.p, name) for name, _ in _RULES})
        if not self.p.leverage > 0:
            raise ValueError(f"leverage: expected a positive number, found {self.p.leverage!r}")
        self.model = resolve_model(self.p.model)
        self._lookback = self.model.lookback
        symbols = [symbol_of(data) for data in self.datas]
        self.decisions = DecisionRecorder(symbols, self.rules.density_quantile)
        self.rejections = 0
        self._from = None if self.p.trade_from is None else to_date(self.p.trade_from)
        self._peak, self._floor, self._halted = -math.inf, 0.0, False
        self._desks = [self._open_desk(number, data) for number, data in enumerate(self.datas)]
        self._by_data = {id(desk.data): desk for desk in self._desks}
        self._now, self._part = self.lines.datetime, len(self._desks)
        self._may_pass_leverage = self._part > 1 or self.rules.max_exposure > self.p.leverage

    def _open_desk(self, number: int, data: Any) -> _Desk:
        step = bar_milliseconds(data)
        score: Any = MarketScore(data, model=self.model, signal=self.p.signal)  # type: ignore[call-arg]
        order_size = getattr(self.broker.getcommissioninfo(data), "order_size", _difference)
        rows = Rows(tuple(getattr(score.lines, name) for name in Evaluation._fields))
        root_year, step_days = math.sqrt(periods_per_year(step)), step / 86_400_000
        clock, close = data.lines.datetime, data.lines.close
        return _Desk(number, data, clock, close, rows, order_size, root_year, step_days, self._gate())

    def _gate(self) -> AdaptiveGate | None:
        level, rate = self.rules.density_quantile, self.rules.density_adaptation
        return AdaptiveGate(level, rate) if rate and 0 < level < 1 else None

    def prenext(self) -> None:
        self.next()

    def next(self) -> None:
        equity = self.broker.getvalue()
        if not self._floor < equity <= self._peak:
            self._watch_drawdown(equity)
        now = self._now[0]
        plans = []
        for desk in self._desks:
            bars = desk.clock.lencount
            if bars > desk.bars:
                desk.bars = bars
                plans.append(self._consider(desk, equity))
            elif desk.bars and self._silent(desk, now):
                plans.append((desk, 0.0, "stale", self._exposure(desk, equity), _UNKNOWN))
        if self._may_pass_leverage:
            plans = self._within_leverage(plans, equity)
        for desk, target, reason, held, seen in plans:
            if reason not in _KEEPS:
                self._act(desk, target, equity, held)
            score, signal, confidence, _, log_density, rank, _ = seen
            self.decisions.append(
                now,
                desk.number,
                reason,
                desk.close[0],
                score,
                signal,
                confidence,
                log_density,
                rank,
                target,
                held,
            )

    def _consider(self, desk: _Desk, equity: float) -> _Plan:
        held = self._exposure(desk, equity)
        if desk.bars <= self._lookback:
            return desk, 0.0, "warmup", held, _UNKNOWN
        seen = desk.score.current()
        if desk.gate is not None and seen[5] == seen[5]:  # NaN where the state is not defined
            seen = (*seen[:5], desk.gate.update(seen[5]), seen[6])
        score, signal, confidence, score_std, _, rank, volatility = seen
        rules, share, part = self.rules, 1.0, self._part
        if rules.consistency_window:
            desk.signals.append(signal)
            del desk.signals[: -rules.consistency_window]
            share = agreement(desk.signals, rules.consistency_window)
        if self._from is not None and desk.clock[0] < self._from:
            return desk, 0.0, "warmup", held, seen
        if self._halted:
            return desk, 0.0, "halted", held, seen
        target, reason = choose(
            rules,
            score,
            signal,
            confidence,
            score_std,
            rank,
            volatility * desk.root_year,
            share,
            held * part,
            desk.bars - desk.last_fill,
        )
        # What is kept is kept to the last bit: held * part / part need not be held.
        return desk, held if reason in _KEEPS else target / part, reason, held, seen

    def _exposure(self, desk: _Desk, equity: float) -> float:
        size = self.broker.getposition(desk.data).size
        if not size or equity <= 0:
            return 0.0
        return size * desk.close[0] / equity

    def _watch_drawdown(self, equity: float) -> None:
        if equity > self._peak:
            limit, self._peak = self.rules.max_drawdown_stop, equity
            self._floor = max(equity * (1 - limit), 0.0) if limit else 0.0
        if equity <= self._floor:
            self._halted = True

    def _silent(self, desk: _Desk, now: float) -> bool:
        limit = self.rules.stale_after
        return bool(limit) and now - desk.clock[0] > limit * desk.step_days + desk.step_days / 2

    def _within_leverage(self, plans: list[_Plan], equity: float) -> list[_Plan]:
        """Shrink the targets of this bar alike when the account's gross exposure would pass the leverage cap.

        What is held shrinks with the rest, but no step inside the rebalance band is made: drift may pass the
        cap as long as that is not worth an order.
        """
        planned = {id(plan[0]) for plan in plans}
        others = sum(abs(self._exposure(d, equity)) for d in self._desks if d.bars and id(d) not in planned)
        gross = sum(abs(target) for _, target, *_ in plans)
        room = max(self.p.leverage - others, 0.0)
        if gross <= room:
            return plans
        return [plan if plan[1] == 0.0 else self._capped(plan, room / gross) for plan in plans]

    def _capped(self, plan: _Plan, factor: float) -> _Plan:
        desk, target, reason, held, seen = plan
        target *= factor
        if target != 0.0 and abs(target - held) * self._part < self.rules.rebalance_band:
            return desk, held, reason if reason in _KEEPS else "hold", held, seen
        return desk, target, "trade", held, seen

    def _act(self, desk: _Desk, target: float, equity: float, held: float) -> None:
        # Without equity nothing counts as held, and yet there may be a position to close.
        if target == held and equity > 0 and desk.order is None:
            return
        size, price = self.broker.getposition(desk.data).size, desk.close[0]
        if desk.order is not None:
            if target != 0.0 or desk.order.executed.remsize == -size:
                return
            # It has waited through a hole, or for volume; what it was sent for is no longer wanted.
            self.cancel(desk.order)
            desk.order = None
        change = desk.order_size(exposure_to_size(target, equity, price, _any_size), size, price)
        if change > 0:
            desk.order = self.buy(data=desk.data, size=change)
        elif change < 0:
            desk.order = self.sell(data=desk.data, size=-change)

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


_UNKNOWN = (math.nan,) * 7
_KEEPS = frozenset({"warmup", "hold", "cooldown"})


def _any_size(size: float, price: float) -> float:
    return size


def _difference(target: float, position: float, price: float) -> float:
    return target - position
