"""The strategy that trades by a score model, only where the market state is in distribution."""

from __future__ import annotations

import logging
import math
from dataclasses import fields
from typing import Any, NoReturn

import backtrader as bt

from .cerebro.begin import begin_date, warn_at_end
from .cerebro.hooks import SymbolFacts, is_overridden, own_choice
from .cerebro.traded import check_traded, traded_datas, user_periods
from .datas import bar_milliseconds, symbol_of
from .decision import (
    KEEPS,
    REASONS,
    AccountState,
    Conditions,
    Decision,
    Rules,
    choose,
    exposure_of,
    may_order,
    watch_equity,
    with_order,
)
from .decision.reasons import REFUSED
from .decision.rules_schedule import RulesSchedule
from .recorder import DecisionRecorder
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
      - ``datas`` (def: None): the datas to trade, by name, number or data object, one or a list; None trades all. The
        others are the user's, e.g. a filter of another bar size.
      - ``trade_from`` (def: None): earlier bars are warm-up only. A date ("2024-07-01" or a datetime, UTC) is the open
        of the first decided bar, as `--since` of the commands; a number is its close, UTC ms; "auto" is the first bar
        that the model has not seen.
      - ``rules_from`` (def: None): a sequence of (since, {rule: value}) pairs, `since` in UTC ms: from that bar close
        on, these rules have these values in place of the strategy's own. Nothing is reset at a change.
      - and the fields of `strategies.decision.Rules`: ``confidence_threshold``, ``density_quantile``,
        ``density_adaptation``, ``novelty_scaling``, ``consistency_window``, ``consistency_share``,
        ``score_variance_scaling``, ``target_volatility``, ``max_exposure``, ``leverage``, ``rebalance_band``,
        ``cooldown``, ``max_drawdown_stop``, ``stale_after``, ``expire_after``, ``drift_alarm``, ``drift_window``,
        ``position_rule``, ``kelly_fraction``, ``forecast_window``, ``close_quantile``, ``exposure_step``,
        ``cost_band``, ``allocation``, ``allocation_every``, ``covariance_window``, ``max_symbol_exposure``,
        ``max_net_exposure``, ``portfolio_volatility``, ``direction``, ``regimes``.

    A subclass can override `decide` (what to trade, and how much), `allow` (whether), `conditions` (late bars, kill
    switch) and `order_sent` (called after every order). It can also override `buy` and `sell`: the decisions record
    what was ordered. Its own indicators and the datas that are not traded are waited for, as Backtrader does.

    Attributes:
        traded: the datas that are traded, in the order of their numbers in `decisions`.
        decisions: a `DecisionRecorder`, one row per bar and symbol.
        rejections: number of orders that the broker rejected.
        trading_clock: the clock of the models' trading calendar.

    Raises:
        ValueError: a rule is outside its range; in `optstrategy`, such a set is left out with a warning in the log.
        CheckpointError: the model folder has no valid model.
        FeatureMismatch: the model was trained on bars of another size, or needs a column that the data lacks; or the
            models of a schedule have several bar sizes or horizons.
    """

    params = (
        ("model", None),
        ("signal", "forward"),
        ("datas", None),
        ("trade_from", None),
        ("rules_from", None),
        *_RULES,
    )

    def __init__(self) -> None:
        self.models = models = ModelSchedule(self.p.model)
        self.trading_clock = models.clock
        schedule = self._read_rules(models.horizon)
        self.rules, self._coming = schedule.rules[0], schedule.coming()
        if self.p.signal == "forward" and any(own.position_rule == "proportional" for own in schedule.rules):
            models.check_strength()
        self.traded = traded_datas(self, self.p.datas)
        check_traded(self, models)
        symbols = [symbol_of(data) for data in self.traded]
        self.decisions = DecisionRecorder(symbols, self.rules.density_quantile)
        self.rejections = 0
        step = bar_milliseconds(self.traded[0])
        trade_from = begin_date(self.p.trade_from, models, step)
        self._account = AccountState()
        self._own = is_overridden(self, ScoreStrategy, "decide", "allow")
        before = len(self._lineiterators[self.IndType])
        self._states = [
            TradedSymbol(self, number, schedule, models, trade_from) for number in range(len(symbols))
        ]
        self._indicators = self._lineiterators[self.IndType][before:]
        self._by_data = {id(state.data): state for state in self._states}
        self._now = self.lines.datetime
        self._capital = SharedCapital(schedule, self._states, step, models.clock, own_targets=self._own)

    def _read_rules(self, horizon: int) -> RulesSchedule:
        try:
            values = {name: getattr(self.p, name) for name, _ in _RULES}
            return RulesSchedule.of(values, self.p.rules_from, horizon)
        except ValueError as error:
            if not self.cerebro._dooptimize:
                raise
            # Any other error would end the whole optimisation, and the results of the other sets with it.
            _LOG.warning("scorenet: a set of parameters is left out: %s", error)
            raise bt.errors.StrategySkipError(str(error)) from error

    # Public hooks -------------------------------------------------------------------------------------------

    def decide(self, facts: SymbolFacts) -> Decision:
        """Return the target exposure of a symbol (signed fraction of equity) and its reason; override it to trade else.

        It is called at each bar at which the symbol can be ordered. The caps over all symbols, the smallest order and
        `allow` come after it. `facts.seen.exposure` as the target keeps the position.
        """
        target, code = choose(facts.rules, facts.seen, facts.forecast)
        return Decision(target, REASONS[code])

    def allow(self, symbol: str, target: float) -> bool:
        """Return whether a symbol may have this exposure; if not, it is closed, with the reason "refused".

        It is called at each bar at which the target is not 0, also where it is that of the bar before.
        """
        return True

    def conditions(self) -> Conditions:
        """Return the conditions that apply to all symbols; called once before each bar is decided."""
        return _NORMAL

    def order_sent(self, order: Any) -> None:
        """Do nothing; a subclass can override this method, which is called after every sent order."""

    def waiting(self, data: Any) -> float:
        """Return the unfilled size (signed base units) of the open order for `data`, 0.0 without one."""
        order = self._by_data[id(data)].order
        return 0.0 if order is None else float(order.executed.remsize)

    # A bar --------------------------------------------------------------------------------------------------

    def prenext(self) -> None:
        self.next()

    def next(self) -> None:
        if self._unready:
            self._check_ready()
        now, equity, conditions = self._now[0], self.broker.getvalue(), self.conditions()
        while self._coming and now >= self._coming[0][0]:
            self._follow(self._coming.popleft()[1])
        account, own = self._account, self._own
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
            if own:
                target, code = own_choice(self, state, observation, forecast)
            else:
                target, code = choose(self.rules, observation, forecast)
            plans.append((state, target, code, observation, unfiltered))
        for state, target, code, observation, unfiltered in self._capital.capped(plans, equity):
            if code not in KEEPS and may_order(observation, code):
                target, code = self._send_order(state, target, code, equity, observation.exposure)
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

    def _send_order(
        self, state: TradedSymbol, target: float, code: int, equity: float, held: float
    ) -> tuple[float, int]:
        """Send the order for a symbol's target; return target and reason code as the broker has been asked."""
        if state.order is not None and not state.order.alive():
            state.order = None
        # Without equity `held` is 0, although there may still be a position to close.
        if target == held and equity > 0 and state.order is None:
            return target, code
        size, price = self.broker.getposition(state.data).size, state.close[0]
        if state.order is not None:
            if target != 0.0 or state.order.executed.remsize == -size:
                return target, code
            # The order is still open after a gap, or for lack of volume, but its target is outdated.
            self.cancel(state.order)
            state.order = None
        change = state.order_size(
            exposure_to_size(target, equity, price, value=state.unit_value()), size, price
        )
        if change == 0:
            return target, with_order(code, target, change)
        order = (
            self.buy(data=state.data, size=change) if change > 0 else self.sell(data=state.data, size=-change)
        )
        if order is None:  # a subclass's `buy` or `sell` has not ordered
            return held, REFUSED
        state.order = order
        self.order_sent(order)
        asked = order.created.size
        return (target if asked == change else exposure_of(size + asked, state.unit_value(), equity)), code

    # Calls of Backtrader that no subclass overrides, so that none has to call `super` ------------------------

    def _addsizer(self, sizer: Any, *args: Any, **kwargs: Any) -> None:
        if sizer is not None:
            self._refuse_sizer(sizer)

    def _refuse_sizer(self, sizer: Any) -> NoReturn:
        name = type(self).__name__
        raise ValueError(
            f"{name} computes its own sizes from target exposures, and would not ask the sizer "
            f"{getattr(sizer, '__name__', sizer)}; remove cerebro.addsizer(...) and set max_exposure or "
            f"target_volatility, or override {name}.decide; for another strategy of this Cerebro use "
            "cerebro.addsizer_byidx(number, ...)"
        )

    def _periodset(self) -> None:
        name = type(self).__name__
        if "_capital" not in vars(self):
            raise TypeError(f"{name}.__init__ must call super().__init__() first, which reads the model")
        super()._periodset()
        periods = dict(zip(map(id, self.datas), user_periods(self, self._indicators), strict=True))
        self._ready_needs = [max(state.needs, periods.pop(id(state.data))) for state in self._states]
        self._unready = [(data, periods[id(data)]) for data in self.datas if id(data) in periods]
        for state, needs in zip(self._states, self._ready_needs, strict=True):
            state.needs = math.inf if self._unready else needs

    def _check_ready(self) -> None:
        """Wait until all datas that are not traded have the bars that the user's indicators need."""
        self._unready = [(data, needs) for data, needs in self._unready if len(data) < needs]
        if not self._unready:
            for state, needs in zip(self._states, self._ready_needs, strict=True):
                state.needs = needs

    def _addnotification(self, order: Any, quicknotify: bool = False) -> None:
        state = self._by_data.get(id(order.data))
        if state is not None and not order.alive():
            if order.executed.size:
                state.last_fill = len(state.clock)
            if order.status in (order.Margin, order.Rejected):
                # Nothing more to do: the next bar computes the target again and sends the missing size.
                self.rejections += 1
            if state.order is not None and order.ref == state.order.ref:
                state.order = None
        super()._addnotification(order, quicknotify=quicknotify)

    def _stop(self) -> None:
        warn_at_end(self, self._ready_needs)
        super()._stop()


_LOG = logging.getLogger("scorenet")
_NORMAL = Conditions()
