"""`scorenet live`: a model trades what the market brings, on paper unless told otherwise, and writes it all down."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from feeds.stamps import iso, parse_time
from feeds.tape import Step, Tape, Taped
from feeds.timeframes import from_ms, to_ms
from runs.backtest import write_run
from runs.engine import Modes, assemble, collect
from runs.journal import Journal, open_journal
from runs.live_halt import KillSwitch, StopRequest
from runs.live_record import Recorder, journaled_bars, recorded_steps
from runs.live_status import LiveStatus
from runs.manifest import versions
from runs.rundir import RunDir
from runs.settings import Account
from scorenet import ConfigError, FeatureMismatch, ScoreModel
from strategies import Conditions, LiveScoreStrategy

__all__ = ["LiveOutcome", "LiveRequest", "Market", "Shadow", "live"]

_FORMAT = 1


class Market(Protocol):
    """Where bars come from; the first bar of a close waits `grace` seconds for those of other symbols."""

    grace: float

    def now(self) -> int:
        """Return the exchange's time in UTC ms."""
        ...

    def resolve(self, symbol: str) -> str:
        """Return the full name of a symbol."""
        ...

    def columns(self) -> tuple[str, ...]:
        """Return the optional columns that its bars carry."""
        ...

    def data(self, symbol: str, timeframe: str, since: int) -> Taped:
        """Return a data of the closed bars that open at `since` (UTC ms) or later, not started yet."""
        ...


class Shadow(Protocol):
    """What follows the paper account with real orders."""

    def prepare(self, symbols: Sequence[str]) -> None:
        """Make sure that the account is as the journal says, before the first bar."""
        ...

    def follow(self, record: Mapping[str, Any]) -> None:
        """Bring the account to where a new bar's record wants it."""
        ...

    def halt(self, flatten: bool) -> None:
        """Cancel what is open, close positions if `flatten`, and send nothing more."""
        ...


@dataclass(frozen=True, kw_only=True)
class LiveRequest:
    """What the command asks for: symbols, bar size (None: the model's), warm-up from `since`, folder, end and stops."""

    symbols: tuple[str, ...]
    out: str
    timeframe: str | None = None
    since: str | None = None
    max_bars: int | None = None
    max_loss: float = 0.0
    kill_flatten: bool = False


@dataclass(frozen=True)
class LiveOutcome:
    """How a live run ended: metrics.json's content (None before the first live bar), and the signal that ended it."""

    metrics: dict[str, Any] | None
    bars: int
    signal: int | None


def live(
    model_dir: str | Path,
    request: LiveRequest,
    account: Account,
    params: Mapping[str, Any],
    market: Market,
    status: LiveStatus,
    *,
    shadow: Callable[[Journal, KillSwitch, LiveStatus], Shadow] | None = None,
    command: str | Sequence[str] = "scorenet live",
) -> LiveOutcome:
    """Run until stopped; an earlier run in the same folder goes on where it was.

    Raises:
        ConfigError: the folder holds a run with other settings, or the warm-up is too short.
        FeedError, ScorenetError, RunDirError: what went wrong with the market, the model, the folder.
    """
    model = ScoreModel.load(model_dir)
    timeframe = _timeframe(model, request)
    symbols = tuple(market.resolve(symbol) for symbol in request.symbols)
    if len(set(symbols)) < len(symbols):
        raise ConfigError(f"--symbol: expected each symbol once, found {', '.join(symbols)}")
    folder = Path(request.out).resolve()
    with ExitStack() as stack:
        journal = stack.enter_context(open_journal(folder))
        settings = _settings(model, symbols, timeframe, market.columns(), account, params)
        header = _header(journal, settings, model, request, market.now(), command)
        journal.append("session", at=_wall_ms(), versions=versions(), torn=journal.torn)
        stop = StopRequest()
        kill = KillSwitch(folder, cash=account.cash, max_loss=request.max_loss, flatten=request.kill_flatten)
        for record in journal.records("halt"):
            kill.restore(record)
        stack.enter_context(stop.listening())
        stack.enter_context(kill.listening())
        stack.callback(status.close)
        run = _LiveRun(journal, header, market, status, kill, stop)
        if shadow is not None:
            run.shadow = shadow(journal, kill, status)
            run.shadow.prepare(symbols)
        strategy = run.play(account, {**params, "model": model}, request)
        journal.append("stop", at=_wall_ms(), signal=stop.signal, bars=run.recorder.added)
        metrics = _publish(folder, journal, header, model, model_dir, strategy, account, params, command)
    return LiveOutcome(metrics, run.recorder.added, stop.signal)


class _LiveRun:
    def __init__(
        self,
        journal: Journal,
        header: Mapping[str, Any],
        market: Market,
        status: LiveStatus,
        kill: KillSwitch,
        stop: StopRequest,
    ) -> None:
        self.journal, self.header, self.market = journal, header, market
        self.status, self.kill, self.stop = status, kill, stop
        self.shadow: Shadow | None = None
        self._caught_up = False
        self.recorder = Recorder(journal, self._world, self._on_bar, self._on_status)
        self.step_ms = to_ms(header["settings"]["timeframe"])
        self.tape: Tape
        self.datas: list[Taped] = []

    def play(self, account: Account, params: Mapping[str, Any], request: LiveRequest) -> Any:
        """Run Cerebro to its end and return the strategy."""
        timeframe = self.header["settings"]["timeframe"]
        self.tape = Tape(
            self.recorder.steps(),
            grace=self.market.grace,
            limit=request.max_bars,
            ask_stop=self._each_round,
            counts=self._is_live,
        )
        following = _following(self.journal, self.header)
        pairs = []
        for symbol, since in following.items():
            data = self.market.data(symbol, timeframe, since)
            data.put_on(self.tape, symbol, self.step_ms)
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
            return cerebro.run()[0]
        finally:
            # Backtrader stops its datas only when nothing went wrong.
            for data in self.datas:
                data.stop()  # type: ignore[attr-defined]

    def _is_live(self, step: Step) -> bool:
        return max(row.close_time for row in step.rows.values()) >= int(self.header["trade_from"])

    def _world(self) -> tuple[Step, Conditions]:
        step = self.tape.step
        return step, Conditions(step.late, self.kill.on, self.kill.on and self.kill.flatten)

    def _on_bar(self, record: dict[str, Any]) -> None:
        if record["time"] < self.header["trade_from"]:
            return
        if self.shadow is not None and not record["late"]:
            self.shadow.follow(record)
        lag = self._age(record["time"])
        self.status.bar(record, lag)
        self._halt_if(self.kill.poll(record["equity"]))

    def _on_status(self, symbol: str, state: str) -> None:
        self.journal.append("status", at=_wall_ms(), symbol=symbol, state=state)
        self.status.state(symbol, state)

    def _each_round(self) -> bool:
        self._halt_if(self.kill.poll())
        last = self.recorder.last
        if not (self._caught_up or self.tape.replaying):
            self._caught_up = True
            self._catch_up(last)
        self.status.refresh(None if last is None else self._age(last["time"]))
        return self.stop.signal is not None

    def _catch_up(self, last: dict[str, Any] | None) -> None:
        """Let real orders follow the last bar of an earlier process that may have died before them."""
        if self.shadow is None or last is None or last["late"] or last["time"] < self.header["trade_from"]:
            return
        age = self._age(last["time"])
        if age is None or age * 1000 < self.step_ms:
            self.shadow.follow(last)

    def _halt_if(self, switched: bool) -> None:
        if not switched:
            return
        self.journal.append("halt", at=_wall_ms(), reason=self.kill.reason, flatten=self.kill.flatten)
        self.status.say(f"halted: {self.kill.reason}; nothing more is traded in this run folder")
        if self.shadow is not None:
            self.shadow.halt(self.kill.flatten)

    def _age(self, close: int) -> float | None:
        clocks = [now for data in self.datas if (now := data.exchange_now()) is not None]
        return (max(clocks) - close) / 1000.0 if clocks else None


def _timeframe(model: ScoreModel, request: LiveRequest) -> str:
    trained = from_ms(int(model.info["bar_ms"]))
    asked = request.timeframe or trained
    if to_ms(asked) != to_ms(trained):
        raise FeatureMismatch(
            f"the model was trained on {trained} bars, --timeframe asks for {asked}; leave --timeframe out, "
            "or train a model on that bar size"
        )
    return trained


def _settings(
    model: ScoreModel,
    symbols: Sequence[str],
    timeframe: str,
    columns: Sequence[str],
    account: Account,
    params: Mapping[str, Any],
) -> dict[str, Any]:
    missing = [name for name in model.features.inputs if name in _OPTIONAL and name not in columns]
    if missing:
        raise FeatureMismatch(f"the model needs {', '.join(missing)}, which this market does not bring")
    return {
        "model": model.fingerprint,
        "symbols": list(symbols),
        "timeframe": timeframe,
        "columns": list(columns),
        "account": account.to_dict(),
        "strategy": dict(params),
    }


_OPTIONAL = ("funding_rate", "open_interest")


def _header(
    journal: Journal,
    settings: dict[str, Any],
    model: ScoreModel,
    request: LiveRequest,
    now: int,
    command: str | Sequence[str],
) -> Mapping[str, Any]:
    """Return the journal's first record, written now if the journal is new."""
    for header in journal.records("start"):
        _check_settings(journal, header, settings)
        return header
    step = to_ms(settings["timeframe"])
    trade_from = (now // step + 1) * step
    first = trade_from - (model.lookback + 2) * step
    if request.since is not None:
        asked = -(-parse_time(request.since) // step) * step
        if asked > first:
            raise ConfigError(
                f"--since: the model needs {model.lookback + 1} bars of warm-up, that is {iso(first)} or "
                f"earlier; found {request.since}"
            )
        first = asked
    return journal.append(
        "start",
        format=_FORMAT,
        run=secrets.token_hex(4),
        at=_wall_ms(),
        command=command if isinstance(command, str) else " ".join(command),
        first=first,
        trade_from=trade_from,
        settings=settings,
    )


def _check_settings(journal: Journal, header: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    if header.get("format") != _FORMAT:
        raise ConfigError(
            f"{journal.path} has format {header.get('format')}, this version writes {_FORMAT}; "
            "start anew in another --out"
        )
    before, now = _flat(header["settings"]), _flat(settings)
    changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    if changed:
        told = "; ".join(f"{name} was {before.get(name)!r}, is {now.get(name)!r}" for name in changed[:4])
        raise ConfigError(
            f"{journal.path.parent} holds a run with other settings ({told}): its account cannot go on under "
            "these; use the old settings, or another --out"
        )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _following(journal: Journal, header: Mapping[str, Any]) -> dict[str, int]:
    """Return the open (UTC ms) of the first bar that each symbol's feed has to bring."""
    following = {symbol: int(header["first"]) for symbol in header["settings"]["symbols"]}
    for recorded in recorded_steps(journal):
        for symbol, row in recorded.rows.items():
            following[symbol] = row.close_time
    return following


def _publish(
    folder: Path,
    journal: Journal,
    header: Mapping[str, Any],
    model: ScoreModel,
    model_dir: str | Path,
    strategy: Any,
    account: Account,
    params: Mapping[str, Any],
    command: str | Sequence[str],
) -> dict[str, Any] | None:
    """Write the run folder's tables and report; None when no bar has been traded yet."""
    start, settings = int(header["trade_from"]), header["settings"]
    result = collect(strategy, start)
    if not len(result.equity):
        return None
    frames = [
        journaled_bars(journal, symbol, settings["timeframe"], tuple(settings["columns"]))
        for symbol in settings["symbols"]
    ]
    config = {
        "command": "live",
        "model": str(model_dir),
        "symbols": settings["symbols"],
        "since": iso(int(header["first"])),
        "account": account.to_dict(),
        "strategy": dict(params),
    }
    sources = [f"bybit:{symbol}@{settings['timeframe']}" for symbol in settings["symbols"]]
    return write_run(RunDir(folder), command, config, model, frames, sources, result, account, start)


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
