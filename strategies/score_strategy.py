"""The strategy that trades by a score model, only where the market state is in distribution."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import backtrader as bt

from scorenet.base.times import float_days

from .datas import bar_milliseconds, symbol_of
from .decision import (
    KEEPS,
    AccountState,
    Conditions,
    Rules,
    choose,
    may_order,
    watch_equity,
    with_order,
)
from .recorder import DecisionRecorder
from .rules_schedule import RulesSchedule
from .schedule import ModelSchedule
from .shared_capital import SharedCapital
from .sizing import exposure_to_size
from .traded_symbol import TradedSymbol

__all__ = ["ScoreStrategy"]

_RULES = tuple((item.name, item.default) for item in fields(Rules))


class ScoreStrategy(bt.Strategy):
    """Trade by the score of the return coordinate, only where the density says that the state is in distribution.

    The strategy trades one or several datas in one account; several datas share the capital (``allocation``). It
    decides at a bar's close, and the order is filled at the next bar's open.

    Params:
      - ``model``: a model folder, a `ScoreModel`, or a sequence of (since, model) pairs: from the bar close `since`
        (UTC ms) on that model is used. Nothing is reset at a switch.
      - ``signal`` (def: "forward"): "forward" or "state".
      - ``trade_from`` (def: None): UTC ms; earlier bars are warm-up only.
      - ``rules_from`` (def: None): a sequence of (since, {rule: value}) pairs, `since` in UTC ms: from that bar close
        on, these rules have these values in place of the strategy's own. Nothing is reset at a change.
      - and the fields of `strategies.decision.Rules`: ``confidence_threshold``, ``density_quantile``,
        ``density_adaptation``, ``novelty_scaling``, ``consistency_window``, ``consistency_share``,
        ``score_variance_scaling``, ``target_volatility``, ``max_exposure``, ``leverage``, ``rebalance_band``,
        ``cooldown``, ``max_drawdown_stop``, ``stale_after``, ``expire_after``, ``drift_alarm``, ``drift_window``,
        ``position_rule``, ``kelly_fraction``, ``forecast_window``, ``close_quantile``, ``exposure_step``,
        ``cost_band``, ``allocation``, ``allocation_every``, ``covariance_window``, ``max_symbol_exposure``,
        ``max_net_exposure``, ``portfolio_volatility``, ``regimes``.

    A subclass can override `conditions` (late bars, kill switch) and `order_sent` (called after every order).

    Attributes:
        decisions: a `DecisionRecorder`, one row per bar and symbol.
        rejections: number of orders that the broker rejected.

    Raises:
        ValueError: a rule is outside its range.
        CheckpointError: the model folder has no valid model.
        FeatureMismatch: the model was trained on bars of another size, or needs a column that the data lacks; or the
            models of a schedule have several bar sizes or horizons.
    """

    params = (("model", None), ("signal", "forward"), ("trade_from", None), ("rules_from", None), *_RULES)

    def __init__(self) -> None:
        self.models = models = ModelSchedule(self.p.model)
        schedule = RulesSchedule.of(
            {name: getattr(self.p, name) for name, _ in _RULES}, self.p.rules_from, models.horizon
        )
        self.rules, self._coming = schedule.rules[0], schedule.coming()
        if self.p.signal == "forward" and any(own.position_rule == "proportional" for own in schedule.rules):
            models.check_strength()
        symbols = [symbol_of(data) for data in self.datas]
        self.decisions = DecisionRecorder(symbols, self.rules.density_quantile)
        self.rejections = 0
        begins = max(models.since[0], -math.inf if self.p.trade_from is None else self.p.trade_from)
        trade_from = float_days(begins) if math.isfinite(begins) else begins
        self._account = AccountState()
        self._states = [
            TradedSymbol(self, number, schedule, models, trade_from) for number in range(len(symbols))
        ]
        self._by_data = {id(state.data): state for state in self._states}
        self._now = self.lines.datetime
        self._capital = SharedCapital(schedule, self._states, models.lookback, bar_milliseconds(self.data))

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
        while self._coming and now >= self._coming[0][0]:
            self._follow(self._coming.popleft()[1])
        account = self._account
        if not account.floor < equity <= account.peak:
            self._account = watch_equity(self.rules, account, equity)
        plans = []
        for state, silent in self._capital.turn(now):
            if silent:
                observation = state.observe_without_outputs(equity, self._account, conditions, silent=True)
            else:
                observation = state.observe(equity, self._account, conditions)
            forecast = state.forecast(observation)
            unfiltered = forecast.unfiltered / state.symbols
            plans.append((state, *choose(self.rules, observation, forecast), observation, unfiltered))
        for state, target, code, observation, unfiltered in self._capital.capped(plans, equity):
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

    def _follow(self, rules: Rules) -> None:
        """Decide by these rules from this bar on; positions, windows and orders stay."""
        self.rules = rules
        for state in self._states:
            state.follow(rules)
        self._capital.follow(rules)

    def _send_order(self, state: TradedSymbol, target: float, code: int, equity: float, held: float) -> int:
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
        change = state.order_size(
            exposure_to_size(target, equity, price, value=state.unit_value()), size, price
        )
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
