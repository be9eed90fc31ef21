"""One symbol of `ScoreStrategy`: its lines, its state between bars, and its observation at a close."""

from __future__ import annotations

import math
from typing import Any

from scorenet.base.times import whole_ms
from scorenet.conformal.adaptive import AdaptiveThreshold
from scorenet.conformal.drift import RejectionAlarm
from scorenet.model import Evaluation

from .account.contracts import contract_value
from .buffers import Rows
from .cerebro.traded import check_commission
from .datas import bar_milliseconds, periods_per_year, symbol_of, trading_days
from .decision import (
    POSITION_RULES,
    AccountState,
    Conditions,
    Forecast,
    HeldForecasts,
    Observation,
    Rules,
    agreement,
    exposure_of,
    forecast_of,
    needs_tails,
)
from .decision.rules_schedule import RulesSchedule
from .indicators import MarketScore
from .regime_indicator import MarketRegime
from .schedule import ModelSchedule
from .trading_cost import trading_cost

__all__ = ["TradedSymbol"]


class TradedSymbol:
    """The state of one symbol between bars.

    Attributes:
        number: position of its data among the traded ones.
        needs: number of its bars from which it is decided; infinity while the strategy waits for other datas.
        clock, close: lines of its data, looked up once for speed.
        bars: number of its bars so far.
        last_fill: number of the bar of its last fill.
        order: its open order, or None.
        active: it shares the capital at this bar.
        over: its data has ended.
        symbols: the capital over its part of it, see `Observation.symbols`.
    """

    def __init__(
        self, strategy: Any, number: int, rules: RulesSchedule, schedule: ModelSchedule, trade_from: float
    ) -> None:
        data = strategy.traded[number]
        step = bar_milliseconds(data)
        self.number, self.data, self.name = number, data, symbol_of(data)
        self.clock, self.close = data.lines.datetime, data.lines.close
        self.step_days = step / 86_400_000
        self._commission = strategy.broker.getcommissioninfo(data)
        check_commission(self._commission, data)
        self.order_size = getattr(self._commission, "order_size", _difference)
        self.bars, self.last_fill = 0, -math.inf
        self.order: Any = None
        self.active = self.over = False
        self.symbols = float(len(strategy.traded))
        self._volatility = math.nan
        self._broker = strategy.broker
        self.needs, self._trade_from = schedule.lookback + 1.0, trade_from
        self._trading_days = trading_days(schedule.clock)
        self._root_year = math.sqrt(periods_per_year(step, schedule.clock))
        self._cost = trading_cost(strategy.broker, data)
        score: Any = MarketScore(
            data,  # type: ignore[call-arg]
            model=schedule,
            signal=strategy.p.signal,
            tails=any(needs_tails(own.position_rule) for own in rules.rules),
        )
        self._outputs = Rows(tuple(getattr(score.lines, name) for name in Evaluation._fields))
        self._models = schedule
        if any(own.regimes for own in rules.rules):
            regime: Any = MarketRegime(data, model=schedule)  # type: ignore[call-arg]
            self._regime = regime.lines.regime
        self._signals: list[float] = []
        self._held: HeldForecasts | None = None
        for own in rules.rules:
            self.follow(
                own
            )  # rules that a model cannot follow are an error at the start, not at their first bar
        self.follow(rules.rules[0], anew=True)

    def follow(self, rules: Rules, *, anew: bool = False) -> None:
        """Decide by these rules from now on; what is remembered of earlier bars is kept, unless `anew`.

        Raises:
            ConfigError: the model has no such regimes.
            ValueError: the model does not say when its training ended, and `expire_after` needs it.
        """
        before = None if anew else getattr(self, "_rules", None)
        self._rules, self._position_rule = rules, POSITION_RULES[rules.position_rule]
        level, rate = rules.density_quantile, rules.density_adaptation
        if before is None or (before.density_quantile, before.density_adaptation) != (level, rate):
            self._threshold = AdaptiveThreshold(level, rate) if rate and 0 < level < 1 else None
        alarm = (level, int(rules.drift_window), rules.drift_alarm)
        if before is None or (before.density_quantile, int(before.drift_window), before.drift_alarm) != alarm:
            self._alarm = RejectionAlarm(*alarm) if rules.drift_alarm else None
        self._expiries = self._models.expiries(rules.expire_after) if rules.expire_after else None
        self._allowed = self._models.regime_numbers(rules.regimes) if rules.regimes else None
        window = int(rules.forecast_window or 1)
        kept = None if anew else self._held
        self._held = None if window == 1 else HeldForecasts(window) if kept is None else kept.resized(window)

    def exposure(self, equity: float) -> float:
        """Return the present position, signed fraction of `equity`."""
        return exposure_of(self._broker.getposition(self.data).size, self.unit_value(), equity)

    def unit_value(self) -> float:
        """Return the value of one contract at the close, in the account's settlement coin."""
        return contract_value(self._commission, 1.0, self.close[0])

    def holds(self) -> bool:
        """Return whether there is a position."""
        return bool(self._broker.getposition(self.data).size)

    def volatility(self) -> float:
        """Return the annual volatility of the log-returns by the model, the last known one; NaN before it."""
        now = self._outputs.current()[_VOLATILITY] * self._root_year
        if now == now:
            self._volatility = now
        return self._volatility

    def observe(self, equity: float, account: AccountState, conditions: Conditions) -> Observation:
        """Return the observation at the close of a new bar; called once per bar."""
        if self.bars < self.needs:
            return self.observe_without_outputs(equity, account, conditions, silent=False)
        outputs = self._outputs.current()
        score, signal, confidence, score_std, log_density, rank, volatility = outputs[:7]
        mean, std, lower, upper, strength = outputs[7:]
        drift = expired = outside = False
        if self._alarm is not None and rank == rank:  # NaN if the market state is undefined
            # The plain rank: an adaptive threshold would keep the share of rejected bars at its level.
            drift = self._alarm.update(rank < self._rules.density_quantile)
        if self._expiries is not None:
            close = whole_ms(self.clock[0])
            expired = close > self._expiries[self._models.number_at(close)]
        if self._allowed is not None:
            # NaN while the regime is not known: no number equals it.
            outside = self._regime[0] not in self._allowed[self._models.number_at(whole_ms(self.clock[0]))]
        if self._threshold is not None and rank == rank:
            rank = self._threshold.update(rank)
        window, share = self._rules.consistency_window, 1.0
        if window:
            self._signals.append(signal)
            del self._signals[:-window]
            share = agreement(self._signals, window)
        # Positional arguments, because keyword arguments would take as long as the decision itself.
        return Observation(
            score,
            signal,
            confidence,
            score_std,
            rank,
            volatility * self._root_year,
            share,
            self.exposure(equity),
            self.bars - self.last_fill,
            self.symbols,
            self.clock[0] < self._trade_from,
            False,
            *conditions,
            account.ruined,
            account.stopped,
            log_density,
            mean,
            std,
            lower,
            upper,
            self._cost,
            strength,
            expired,
            drift,
            outside,
        )

    def observe_without_outputs(
        self, equity: float, account: AccountState, conditions: Conditions, *, silent: bool
    ) -> Observation:
        """Return the observation of a symbol without a bar (`silent`), or with too few bars for the model."""
        return _UNKNOWN._replace(
            exposure=self.exposure(equity),
            symbols=self.symbols,
            warming=not silent,
            silent=silent,
            late=conditions.late,
            kill_switch=conditions.halted,
            flatten=conditions.flatten,
            doubtful=conditions.doubtful,
            ruined=account.ruined,
            stopped=account.stopped,
        )

    def forecast(self, seen: Observation) -> Forecast:
        """Return what the forecasts in force ask for; called once per observation."""
        forecast = forecast_of(self._rules, seen, self._position_rule)
        if self._held is None or seen.warming or seen.silent:
            return forecast
        now = self.clock[0]
        return self._held.add(
            forecast, now if self._trading_days is None else self._trading_days(now), self.step_days
        )


_VOLATILITY = Evaluation._fields.index("volatility")

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


def _difference(target: float, position: float, price: float) -> float:
    return target - position
