"""The strategy that trades by a score model, only where the market state is in distribution."""

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
    HeldForecasts,
    Observation,
    Rules,
    agreement,
    cap_factor,
    capped,
    choose,
    exposure_of,
    forecast_of,
    is_silent,
    may_order,
    needs_tails,
    watch_equity,
    with_order,
)
from .indicators import MarketScore
from .models import resolve_model
from .recorder import DecisionRecorder
from .sizing import exposure_to_size
from .trading_cost import trading_cost

__all__ = ["ScoreStrategy"]

_RULES = tuple((item.name, item.default) for item in fields(Rules))


@dataclass(slots=True)
class _SymbolState:
    """The state of one symbol between bars; `clock`, `close` and `score` are lines, looked up once for speed."""

    number: int
    data: Any
    clock: Any
    close: Any
    score: Rows
    order_size: Any
    root_year: float
    step_days: float
    threshold: AdaptiveThreshold | None
    held: HeldForecasts | None
    cost: float
    bars: int = 0
    last_fill: float = -math.inf
    order: Any = None
    signals: list[float] = field(default_factory=list)


# State of the symbol, target exposure, reason code, observation, unfiltered exposure. A tuple, because it is created at
# every bar.
_Plan = tuple[_SymbolState, float, int, Observation, float]


class ScoreStrategy(bt.Strategy):
    """Trade by the score of the return coordinate, only where the density says that the state is in distribution.

    The strategy trades one or several datas in one account; several datas share the capital equally. It decides at a
    bar's close, and the order is filled at the next bar's open.

    Params:
      - ``model``: a model folder or a `ScoreModel`.
      - ``signal`` (def: "forward"): "forward" or "state".
      - ``trade_from`` (def: None): UTC ms; earlier bars are warm-up only.
      - and the fields of `strategies.decision.Rules`: ``confidence_threshold``, ``density_quantile``,
        ``density_adaptation``, ``novelty_scaling``, ``consistency_window``, ``consistency_share``,
        ``score_variance_scaling``, ``target_volatility``, ``max_exposure``, ``leverage``, ``rebalance_band``,
        ``cooldown``, ``max_drawdown_stop``, ``stale_after``, ``position_rule``, ``kelly_fraction``,
        ``forecast_window``, ``close_quantile``, ``exposure_step``, ``cost_band``.

    A subclass can override `conditions` (late bars, kill switch) and `order_sent` (called after every order).

    Attributes:
        decisions: a `DecisionRecorder`, one row per bar and symbol.
        rejections: number of orders that the broker rejected.

    Raises:
        ValueError: a rule is outside its range.
        CheckpointError: the model folder has no valid model.
        FeatureMismatch: the model was trained on bars of another size, or needs a column that the data lacks.
    """

    params = (("model", None), ("signal", "forward"), ("trade_from", None), *_RULES)

    def __init__(self) -> None:
        self.model = resolve_model(self.p.model)
        rules = Rules(**{name: getattr(self.p, name) for name, _ in _RULES})
        self.rules = rules.for_horizon(self.model.horizon)
        self._position_rule = POSITION_RULES[self.rules.position_rule]
        self._lookback = self.model.lookback
        symbols = [symbol_of(data) for data in self.datas]
        self.decisions = DecisionRecorder(symbols, self.rules.density_quantile)
        self.rejections = 0
        self._trade_from = None if self.p.trade_from is None else float_days(self.p.trade_from)
        self._account = AccountState()
        self._states = [self._make_state(number, data) for number, data in enumerate(self.datas)]
        self._by_data = {id(state.data): state for state in self._states}
        self._now, self._n_symbols = self.lines.datetime, len(self._states)
        self._may_exceed_leverage = self._n_symbols > 1 or self.rules.max_exposure > self.rules.leverage

    def _make_state(self, number: int, data: Any) -> _SymbolState:
        step = bar_milliseconds(data)
        tails = needs_tails(self.rules.position_rule)
        score: Any = MarketScore(data, model=self.model, signal=self.p.signal, tails=tails)  # type: ignore[call-arg]
        order_size = getattr(self.broker.getcommissioninfo(data), "order_size", _difference)
        rows = Rows(tuple(getattr(score.lines, name) for name in Evaluation._fields))
        root_year, step_days = math.sqrt(periods_per_year(step)), step / 86_400_000
        clock, close = data.lines.datetime, data.lines.close
        window = int(self.rules.forecast_window or 1)
        return _SymbolState(
            number,
            data,
            clock,
            close,
            rows,
            order_size,
            root_year,
            step_days,
            self._threshold(),
            HeldForecasts(window) if window > 1 else None,
            trading_cost(self.broker, data),
        )

    def _threshold(self) -> AdaptiveThreshold | None:
        level, rate = self.rules.density_quantile, self.rules.density_adaptation
        return AdaptiveThreshold(level, rate) if rate and 0 < level < 1 else None

    def prenext(self) -> None:
        self.next()

    def conditions(self) -> Conditions:
        """Return the conditions that apply to all symbols; called once before each bar is decided."""
        return _NORMAL

    def order_sent(self, order: Any) -> None:
        """Do nothing; a subclass can override this method, which is called after every sent order."""

    def waiting(self, data: Any) -> float:
        """Return the unfilled size (signed base units) of the open order for `data`, 0.0 without one."""
        order = self._by_data[id(data)].order
        return 0.0 if order is None else float(order.executed.remsize)

    def next(self) -> None:
        now, equity, conditions = self._now[0], self.broker.getvalue(), self.conditions()
        account = self._account
        if not account.floor < equity <= account.peak:
            self._account = watch_equity(self.rules, account, equity)
        plans = []
        for state in self._states:
            bars = state.clock.lencount
            if bars > state.bars:
                state.bars = bars
                observation = self._observe(state, equity, conditions)
            elif state.bars and is_silent(self.rules, now - state.clock[0], state.step_days):
                observation = self._observe_without_outputs(state, equity, conditions, silent=True)
            else:
                continue
            forecast = forecast_of(self.rules, observation, self._position_rule)
            if state.held is not None and not observation.warming and not observation.silent:
                forecast = state.held.add(forecast, state.clock[0], state.step_days)
            unfiltered = forecast.unfiltered / self._n_symbols
            plans.append((state, *choose(self.rules, observation, forecast), observation, unfiltered))
        if self._may_exceed_leverage:
            plans = self._within_leverage(plans, equity)
        for state, target, code, observation, unfiltered in plans:
            if code not in KEEPS and may_order(observation, code):
                code = self._send_order(state, target, code, equity, observation.exposure)
            self.decisions.append(
                now,
                state.number,
                code,
                state.close[0],
                observation.score,
                observation.signal,
                observation.confidence,
                observation.log_density,
                observation.density_rank,
                observation.expected_return,
                unfiltered,
                target,
                observation.exposure,
            )

    def _observe(self, state: _SymbolState, equity: float, conditions: Conditions) -> Observation:
        if state.bars <= self._lookback:
            return self._observe_without_outputs(state, equity, conditions, silent=False)
        outputs = state.score.current()
        score, signal, confidence, score_std, log_density, rank, volatility = outputs[:7]
        mean, std, lower, upper, strength = outputs[7:]
        if state.threshold is not None and rank == rank:  # NaN if the market state is undefined
            rank = state.threshold.update(rank)
        window, share = self.rules.consistency_window, 1.0
        if window:
            state.signals.append(signal)
            del state.signals[:-window]
            share = agreement(state.signals, window)
        account = self._account
        # Positional arguments, because keyword arguments would take as long as the decision itself.
        return Observation(
            score,
            signal,
            confidence,
            score_std,
            rank,
            volatility * state.root_year,
            share,
            exposure_of(self.broker.getposition(state.data).size, state.close[0], equity),
            state.bars - state.last_fill,
            self._n_symbols,
            self._trade_from is not None and state.clock[0] < self._trade_from,
            False,
            *conditions,
            account.ruined,
            account.stopped,
            log_density,
            mean,
            std,
            lower,
            upper,
            state.cost,
            strength,
        )

    def _observe_without_outputs(
        self, state: _SymbolState, equity: float, conditions: Conditions, *, silent: bool
    ) -> Observation:
        """Return the observation of a symbol without a bar, or with too few bars for the model."""
        return _UNKNOWN._replace(
            exposure=exposure_of(self.broker.getposition(state.data).size, state.close[0], equity),
            symbols=self._n_symbols,
            warming=not silent,
            silent=silent,
            late=conditions.late,
            kill_switch=conditions.halted,
            flatten=conditions.flatten,
            ruined=self._account.ruined,
            stopped=self._account.stopped,
        )

    def _within_leverage(self, plans: list[_Plan], equity: float) -> list[_Plan]:
        planned = {id(state) for state, *_ in plans}
        others = sum(
            abs(exposure_of(self.broker.getposition(state.data).size, state.close[0], equity))
            for state in self._states
            if state.bars and id(state) not in planned
        )
        factor = cap_factor(self.rules, [target for _, target, *_ in plans], others)
        if factor == 1.0:
            return plans
        return [
            (
                state,
                *capped(self.rules, target, code, observation.exposure, observation.symbols, factor),
                observation,
                unfiltered,
            )
            for state, target, code, observation, unfiltered in plans
        ]

    def _send_order(self, state: _SymbolState, target: float, code: int, equity: float, held: float) -> int:
        """Send the order for a symbol's target; return the reason code, which changes if the size rounds to zero."""
        # Without equity `held` is 0, although there may still be a position to close.
        if target == held and equity > 0 and state.order is None:
            return code
        size, price = self.broker.getposition(state.data).size, state.close[0]
        if state.order is not None:
            if target != 0.0 or state.order.executed.remsize == -size:
                return code
            # The order is still open after a gap, or for lack of volume, but its target is outdated.
            self.cancel(state.order)
            state.order = None
        change = state.order_size(exposure_to_size(target, equity, price, _any_size), size, price)
        if change > 0:
            state.order = self.buy(data=state.data, size=change)
        elif change < 0:
            state.order = self.sell(data=state.data, size=-change)
        if state.order is not None:
            self.order_sent(state.order)
        return with_order(code, target, change)

    def notify_order(self, order: Any) -> None:
        if order.alive():
            return
        state = self._by_data.get(id(order.data))
        if state is None:
            return
        if order.executed.size:
            state.last_fill = len(state.clock)
        if order.status in (order.Margin, order.Rejected):
            # Nothing more to do: the next bar computes the target again and sends the missing size.
            self.rejections += 1
        if state.order is not None and order.ref == state.order.ref:
            state.order = None


_NORMAL = Conditions()
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
