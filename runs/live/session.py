"""`scorenet live`: trade on live bars with a model, on paper by default, and record everything in a journal."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from feeds.bars.timeframes import to_ms
from feeds.exchange.order_types import Interrupted
from feeds.live.replay import Replay, ReplayedData, Step
from scorenet import ConfigError, ScoreModel
from scorenet.base.times import wall_ms
from scorenet.base.waits import Heard
from strategies import Conditions, LiveScoreStrategy
from strategies.analyzers.regimes import regime_warmup

from ..engine import Modes, assemble
from ..folder.manifest import versions
from ..settings import Account
from ..watch.observer import Observer
from .halt import KillSwitch, StopRequest, saying_why
from .header import (
    announce,
    delivered,
    listed_symbols,
    model_timeframe,
    read_or_write_header,
    refit_note,
    report_unlisted,
    settings_of,
)
from .journal import Journal, open_journal
from .market import LiveMarket, until_answered
from .place import RealOrders, check_paper
from .publish import Setup, publish
from .record import Recorder
from .status import LiveStatus

__all__ = ["LiveOutcome", "LiveRequest", "RealOrders", "live"]


@dataclass(frozen=True, kw_only=True)
class LiveRequest:
    """Options of a session. timeframe: None is the model's. paper: asked for. place: of real orders. asked: SIGUSR1."""

    symbols: tuple[str, ...]
    out: str
    timeframe: str | None = None
    since: str | None = None
    max_bars: int | None = None
    max_loss: float = 0.0
    kill_flatten: bool = False
    command: str | Sequence[str] = "scorenet live"
    paper: bool = False
    place: str = ""
    observer: Observer = field(default_factory=Observer)
    asked: Heard = field(default_factory=lambda: Heard("SIGUSR1"))


@dataclass(frozen=True)
class LiveOutcome:
    """End of a live run: metrics.json's content (None before a live bar), number of new bars, stopping signal."""

    metrics: dict[str, Any] | None
    bars: int
    signal: int | None


def live(
    model_dir: str | Path,
    request: LiveRequest,
    account: Account,
    params: Mapping[str, Any],
    market: LiveMarket,
    status: LiveStatus,
    *,
    real_orders: Callable[[Journal, KillSwitch, LiveStatus], RealOrders] | None = None,
    model: ScoreModel | None = None,
) -> LiveOutcome:
    """Trade until stopped. A journal in the folder is replayed first, and its run continues.

    `model` is the model of `model_dir`, if the caller has loaded it already.

    Raises:
        ConfigError: the folder holds a run with other settings, or the warm-up is too short.
        FeedError, ScorenetError, RunDirError: an error of the market, the model or the folder.
    """
    model = ScoreModel.load(model_dir) if model is None else model
    timeframe = model_timeframe(model, request.timeframe)
    symbols = tuple(market.resolve(symbol) for symbol in request.symbols)
    if len(set(symbols)) < len(symbols):
        raise ConfigError(f"--symbol: expected each symbol once, found {', '.join(symbols)}")
    folder = Path(request.out).resolve()
    with ExitStack() as stack:
        journal = stack.enter_context(open_journal(folder, private=real_orders is not None))
        stop = StopRequest()
        kill = KillSwitch(
            folder,
            cash=account.cash,
            max_loss=request.max_loss,
            flatten=request.kill_flatten,
            stop=stop,
            asked=request.asked,
        )
        stack.enter_context(kill.remembered(journal, status.say))
        stack.enter_context(request.observer.over(journal))
        listed = listed_symbols(journal, symbols, market.unlisted)
        settings = settings_of(model, symbols, timeframe, market.columns(), account, params)
        header = read_or_write_header(
            journal,
            settings,
            lookback=model.lookback + (regime_warmup(model) if params.get("regimes") else 0),
            since=request.since,
            now=market.now(),
            at=wall_ms(),
            command=request.command,
        )
        mode = "paper" if real_orders is None else "real orders"
        if real_orders is None:
            check_paper(journal, request.paper, status.say)
        journal.append(
            "session", at=wall_ms(), mode=mode, place=request.place, versions=versions(), torn=journal.torn
        )
        stack.enter_context(stop.listening())
        stack.enter_context(status.showing_warnings("feeds"))
        stack.callback(status.close)
        announce(status, request.out, journal, header, kill, mode)
        report_unlisted(journal, symbols, market.unlisted, status.say)
        if note := refit_note(model, market.now()):
            status.say(note)
        run = _LiveRun(journal, header, market, status, kill, stop, request.observer)
        if real_orders is not None:
            run.reconcile(real_orders(journal, kill, status), listed)
        strategy = run.play(account, {**params, "model": model}, request)
        journal.append("stop", at=wall_ms(), signal=stop.signal, bars=run.recorder.added)
        if run.real_orders is not None:
            run.real_orders.report_positions()
        setup = Setup(model=model, model_dir=model_dir, account=account, params=params)
        metrics = publish(journal, header, setup, strategy, request.command, market.exchange)
    return LiveOutcome(metrics, run.recorder.added, stop.signal)


class _LiveRun:
    def __init__(
        self,
        journal: Journal,
        header: Mapping[str, Any],
        market: LiveMarket,
        status: LiveStatus,
        kill: KillSwitch,
        stop: StopRequest,
        observer: Observer,
    ) -> None:
        self.journal, self.header, self.market = journal, header, market
        self.status, self.kill, self.stop = status, kill, stop
        self.real_orders: RealOrders | None = None
        self.observer = observer
        self._caught_up = False
        self.recorder = Recorder(journal, self._live_step, self._on_bar, self._on_status, self._on_report)
        self.step_ms = to_ms(header["settings"]["timeframe"])
        self.replay: Replay
        self.datas: list[ReplayedData] = []

    def reconcile(self, real_orders: RealOrders, symbols: Sequence[str]) -> None:
        """Reconcile the real account, before the first bar.

        A run that goes on may hold a position, so it waits for an account that cannot be reached; a new one does not.
        """
        self._halt_if(self.kill.poll())
        prepare = partial(self._prepare, real_orders, symbols)
        if not any(True for _ in self.journal.records("reconciled")):
            prepare()
        elif not until_answered(prepare, self._heard_stop, self.status.say, self.market.speed):
            raise Interrupted("the wait for the real account ended early, because the run stops")
        self.real_orders = real_orders

    def _prepare(self, real_orders: RealOrders, symbols: Sequence[str]) -> None:
        """Prepare real orders; a reason to halt must not end the waits of that twice."""
        try:
            real_orders.prepare(symbols)
        except Interrupted:
            if self._heard_stop():
                raise
            real_orders.prepare(symbols)

    def _heard_stop(self) -> bool:
        """Return whether the run shall stop; a reason to halt is recorded."""
        self._halt_if(self.kill.poll())
        return self.stop.signal is not None

    def play(self, account: Account, params: Mapping[str, Any], request: LiveRequest) -> Any:
        """Run Cerebro to its end and return the strategy."""
        timeframe = self.header["settings"]["timeframe"]
        self.replay = Replay(
            self.recorder.steps(),
            grace=self.market.grace,
            limit=request.max_bars,
            ask_stop=self._each_round,
            counts=self._is_live,
        )
        pairs = []
        for symbol, bars in delivered(self.journal, self.header).items():
            data = self.market.data(symbol, timeframe, bars.following)
            data.follow(self.replay, symbol, self.step_ms, bars.rates, bars.unread)
            self.datas.append(data)
            pairs.append((data, symbol))
        start = int(self.header["trade_from"])
        cerebro = assemble(
            pairs,
            account,
            LiveScoreStrategy,
            {**params, "trade_from": start, "watch": self.recorder},
            since=start,
            modes=Modes(runonce=False, preload=False, exactbars=1),
        )
        try:
            with saying_why(self.status.say):
                return cerebro.run()[0]
        finally:
            # After an error, Backtrader does not stop its data feeds.
            for data in self.datas:
                data.stop()  # type: ignore[attr-defined]

    def _is_live(self, step: Step) -> bool:
        return max(row.close_time for row in step.rows.values()) >= int(self.header["trade_from"])

    def _live_step(self) -> tuple[Step, Conditions]:
        step = self.replay.step
        kill = self.kill
        return step, Conditions(step.late, kill.on, kill.on and kill.flatten, step.doubtful)

    def _on_bar(self, record: dict[str, Any]) -> None:
        if record["time"] < self.header["trade_from"]:
            return
        if self.real_orders is not None and not (record["late"] or record["doubtful"]):
            self.real_orders.follow(record)
        lag = self._age(record["time"])
        self.status.bar(record, lag)
        self.observer.lag(lag)
        self._halt_if(self.kill.poll(record["equity"]))

    def _on_status(self, symbol: str, state: str, reason: str) -> None:
        self.journal.append("status", at=wall_ms(), symbol=symbol, state=state, reason=reason)
        self.status.state(symbol, state, reason)

    def _on_report(self, symbol: str, text: str, facts: Mapping[str, Any]) -> None:
        # The feed has logged it as a warning, so it is on the terminal already.
        self.journal.append("notice", at=wall_ms(), symbol=symbol, text=text, **facts)

    def _each_round(self) -> bool:
        self._halt_if(self.kill.poll())
        last = self.recorder.last
        if not (self._caught_up or self.replay.replaying):
            self._caught_up = True
            self._catch_up(last)
        if self.real_orders is not None:
            self.real_orders.retry_halt()
        if self.stop.hangup:
            self.stop.hangup = False
            text = (
                f"SIGHUP: the terminal is gone; the run goes on, and SIGTERM to process {os.getpid()} ends it"
            )
            self.journal.append("notice", at=wall_ms(), what="hangup", text=text)
            self.status.say(text)
        age = None if last is None else self._age(last["time"])
        self.status.refresh(age)
        self.observer.turn(age)
        return self.stop.signal is not None

    def _catch_up(self, last: dict[str, Any] | None) -> None:
        """Send the orders of the last recorded bar: the earlier process may have ended before it sent them."""
        if (
            self.real_orders is None
            or last is None
            or last["late"]
            or last.get("doubtful", False)
            or last["time"] < self.header["trade_from"]
        ):
            return
        age = self._age(last["time"])
        if age is None or age * 1000 < self.step_ms:
            self.real_orders.follow(last)

    def _halt_if(self, switched: bool) -> None:
        if not switched:
            return
        self.kill.record(self.journal, self.status.say)
        if self.real_orders is not None:
            self.real_orders.halt(self.kill.flatten)

    def _age(self, close: int) -> float | None:
        clocks = [now for data in self.datas if (now := data.exchange_now()) is not None]
        return (max(clocks) - close) / 1000.0 if clocks else None
