"""The capital that the symbols of `ScoreStrategy` share: who is active, the parts, and the caps over all positions."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from scorenet.calendars import Clock

from .account.bar_clock import has_ended
from .datas import HALF_SECOND, periods_per_year, trading_days
from .decision import (
    ALLOCATIONS,
    ActiveSymbols,
    Observation,
    Rules,
    TrailingReturns,
    cap_factors,
    capped,
    divisors,
    fixed_exposure,
    has_caps,
    is_silent,
    needs_covariance,
    shrunk_covariance,
    volatility_factor,
)
from .decision.rules_schedule import RulesSchedule
from .traded_symbol import TradedSymbol

__all__ = ["Plan", "SharedCapital", "full_exposure"]

# State of the symbol, target exposure, reason code, observation, unfiltered exposure. A tuple, because it is created at
# every bar.
Plan = tuple[TradedSymbol, float, int, Observation, float]


class SharedCapital:
    """Divide the capital between the active symbols, and keep the caps over all of them.

    A symbol is active from the bar at which it has enough bars for the model until its data ends; it is not while it is
    silent (`Rules.stale_after`). The parts are computed when a symbol becomes active and every `allocation_every` bars;
    those that need no covariance also when a symbol ceases to be active.
    """

    def __init__(
        self,
        schedule: RulesSchedule,
        states: list[TradedSymbol],
        step_ms: int,
        clock: Clock,
        *,
        own_targets: bool,
    ) -> None:
        rules = schedule.rules[0]
        self._rules, self._states, self._own_targets = rules, states, own_targets
        self._allocation = ALLOCATIONS[rules.allocation]
        self._by_covariance = needs_covariance(rules.allocation)
        self._year = periods_per_year(step_ms, clock)
        self._days = trading_days(clock)
        # Equal parts follow from the number of symbols alone.
        volatility = any(own.portfolio_volatility for own in schedule.rules)
        timed = rules.allocation != "equal" or volatility
        self._period = rules.allocation_every * step_ms / 86_400_000 if timed else math.inf
        self._slot = -1
        self._trailing = (
            TrailingReturns(len(states), int(rules.covariance_window))
            if self._by_covariance or volatility
            else None
        )
        # A user's own targets may exceed the caps that the rules keep by themselves.
        self._has_caps = own_targets or has_caps(rules, len(states))
        self._covered: list[TradedSymbol] = []
        self._covariance = np.zeros((0, 0))

    def follow(self, rules: Rules) -> None:
        """Keep the caps of these rules from now on."""
        self._rules, self._has_caps = rules, self._own_targets or has_caps(rules, len(self._states))

    def turn(self, now: float) -> list[tuple[TradedSymbol, bool]]:
        """Move to the bar that closed at `now` (Backtrader date); return the symbols to decide on.

        The second value of each pair says that the symbol is silent; otherwise it has a new bar.
        """
        rules, seen, days = self._rules, [], self._days
        time = now if days is None else days(now)
        gained = lost = False
        for state in self._states:
            bars = state.clock.lencount
            if bars > state.bars:
                state.bars = bars
                seen.append((state, False))
                if not state.active and bars >= state.needs:
                    state.active = gained = True
            elif state.bars and not state.over:
                if has_ended(state.data) and now + HALF_SECOND >= state.clock[0] + state.step_days:
                    state.over, silent = True, False
                else:
                    last = state.clock[0] if days is None else days(state.clock[0])
                    silent = is_silent(rules, time - last, state.step_days)
                    if silent:
                        seen.append((state, True))
                if state.active and (silent or state.over):
                    state.active, lost = False, True
        if self._trailing is not None:
            closes = [(state.number, state.close[0]) for state, silent in seen if not silent]
            self._trailing.add(now, closes)
        due = int((time + HALF_SECOND) / self._period) != self._slot
        if due or gained or (lost and not self._by_covariance):
            self._allocate(time)
        return seen

    def capped(self, plans: list[Plan], equity: float) -> list[Plan]:
        """Return the plans of a bar with targets that keep all caps; `equity` in quote currency."""
        if not self._has_caps:
            return plans
        fixed, scalable = self._fixed(plans, equity)
        targets = [target for _, target, *_ in scalable]
        factors = cap_factors(
            self._rules, targets, sum(abs(value) for value in fixed.values()), sum(fixed.values())
        )
        if self._rules.portfolio_volatility:
            factors = self._within_volatility(scalable, factors, fixed)
        scale = {
            plan[0].number: factor for plan, factor in zip(scalable, factors, strict=True) if factor != 1.0
        }
        return [
            self._scaled(plan, scale[plan[0].number]) if plan[0].number in scale else plan for plan in plans
        ]

    def _fixed(self, plans: list[Plan], equity: float) -> tuple[dict[int, float], list[Plan]]:
        """Return the exposures that stay as they are, by number of the symbol, and the plans that can be scaled."""
        fixed, scalable = {}, []
        for plan in plans:
            state, target, code, observation, _ = plan
            stays = fixed_exposure(target, code, observation.exposure, observation.silent)
            if stays is None:
                scalable.append(plan)
            else:
                fixed[state.number] = stays
        if len(plans) < len(self._states):
            planned = {plan[0].number for plan in plans}
            for state in self._states:
                if state.bars and state.number not in planned:
                    fixed[state.number] = state.exposure(equity)
        return fixed, scalable

    def _scaled(self, plan: Plan, factor: float) -> Plan:
        state, target, code, observation, unfiltered = plan
        target, code = capped(self._rules, target, code, observation.exposure, observation.symbols, factor)
        return state, target, code, observation, unfiltered

    def _within_volatility(
        self, scalable: list[Plan], factors: list[float], fixed: dict[int, float]
    ) -> list[float]:
        wanted = {plan[0].number: plan[1] * factor for plan, factor in zip(scalable, factors, strict=True)}
        targets, stays = (
            np.array([values.get(state.number, 0.0) for state in self._covered]) for values in (wanted, fixed)
        )
        factor = volatility_factor(self._rules.portfolio_volatility, self._covariance, targets, stays)
        return [own * factor for own in factors]

    def _allocate(self, time: float) -> None:
        self._slot = int((time + HALF_SECOND) / self._period)
        active = [state for state in self._states if state.active]
        if not active:
            return
        if self._trailing is not None:
            # A silent symbol is not active, but may have a position, which is part of the account's risk.
            self._covered = [
                state for state in self._states if state.active or (state.bars and state.holds())
            ]
            returns = self._trailing.of([state.number for state in self._covered])
            self._covariance = shrunk_covariance(returns) * self._year
        facts = self._facts(active)
        for state, divisor in zip(
            active,
            divisors(self._rules.allocation, self._allocation(self._rules, facts), len(active)),
            strict=True,
        ):
            state.symbols = divisor

    def _facts(self, active: list[TradedSymbol]) -> ActiveSymbols:
        names = tuple(state.name for state in active)
        volatility = np.array([state.volatility() for state in active])
        covariance = None
        if self._by_covariance:
            rows = [number for number, state in enumerate(self._covered) if state.active]
            covariance = self._covariance[np.ix_(rows, rows)]
        return ActiveSymbols(names, volatility, full_exposure(self._rules, volatility), covariance)


def full_exposure(rules: Rules, volatility: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `ActiveSymbols.full_exposure` for annual volatilities [N]."""
    full = np.where(volatility > 0.0, rules.max_exposure, np.nan)
    if rules.target_volatility:
        full = np.minimum(full, rules.target_volatility / np.where(volatility > 0.0, volatility, np.nan))
    return full
