"""The facts of a live run, folded from the records of its journal: the running process and any reader agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import fields
from .ledger import Ledger

__all__ = ["Facts", "Feed", "Halt", "Stop", "Trouble", "trouble_of"]

_WORST_FIRST = ("DISCONNECTED", "DELAYED", "STARTING")


@dataclass(frozen=True)
class Feed:
    """The state of a symbol's feed since `since` (the machine's UTC ms), and its reason."""

    state: str = "STARTING"
    reason: str = ""
    since: int | None = None


@dataclass(frozen=True)
class Halt:
    """Why and when (the machine's UTC ms) the kill switch turned on, and whether it closes positions."""

    at: int
    reason: str
    flatten: bool


@dataclass(frozen=True)
class Stop:
    """The regular end of a session: when (the machine's UTC ms), and the signal that asked for it."""

    at: int
    signal: int | None


@dataclass(frozen=True)
class Trouble:
    """What keeps real orders from being sent or looked up, since `since` (the machine's UTC ms)."""

    text: str
    since: int


@dataclass
class Facts:
    """Add the records of a journal in their order.

    Attributes:
        mode, place: of the last session.
        session: number `n` of the last session's record, None before the first.
        sessions, bars: how many there were.
        stop: the end of the last session, None while it goes on.
        feeds: by symbol, in the last session.
        disconnections: how often a feed became DISCONNECTED, in all sessions.
        last_bar: close of the last bar, UTC ms.
        equity, cash: of the paper account, quote currency; positions: base units by symbol.
        reasons: by symbol, the reason of its last decision.
        troubles: with real orders, in the last session and not over yet, by symbol or part of the account.
        ledger: real positions and orders; had_real: whether any session reconciled a real account.
    """

    run: str = ""
    symbols: tuple[str, ...] = ()
    timeframe: str = ""
    mode: str = ""
    place: str = ""
    session: int | None = None
    sessions: int = 0
    bars: int = 0
    stop: Stop | None = None
    halt: Halt | None = None
    feeds: dict[str, Feed] = field(default_factory=dict)
    disconnections: int = 0
    last_bar: int | None = None
    equity: float | None = None
    cash: float | None = None
    positions: dict[str, float] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    troubles: dict[str, Trouble] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    had_real: bool = False

    def add(self, record: Mapping[str, Any]) -> None:
        """Add one record; kinds of later versions change nothing.

        Raises:
            Unfit: a field has another type.
        """
        match record.get("kind"):
            case "bar":
                self.bars += 1
                self._add_bar(record)
            case "status":
                self._add_status(record)
            case "start":
                settings = fields.mapping(record, "settings")
                self.run = fields.text(record, "run")
                self.symbols, self.timeframe = (
                    fields.texts(settings, "symbols"),
                    fields.text(settings, "timeframe"),
                )
            case "session":
                self.session, self.sessions = fields.whole(record, "n"), self.sessions + 1
                self.mode, self.place = fields.text(record, "mode"), fields.text(record, "place", "")
                self.stop, self.feeds = None, dict.fromkeys(self.symbols, Feed())
                self.troubles.clear()
            case "stop":
                number = fields.whole(record, "signal", 0)
                self.stop = Stop(fields.instant(record, "at"), number or None)
            case "halt":
                flatten = bool(record.get("flatten"))
                self.halt = Halt(fields.instant(record, "at"), fields.text(record, "reason"), flatten)
                self.troubles.clear()  # nothing is followed any more; what the halt itself cannot do comes after it
            case "reconciled":
                self.had_real = True
            case "notice" if record.get("what") == "real_orders":
                self._add_trouble(record)
            case _:
                self.ledger.add(record)

    def _add_bar(self, record: Mapping[str, Any]) -> None:
        self.last_bar = fields.instant(record, "time")
        self.equity, self.cash = fields.number(record, "equity"), fields.number(record, "cash")
        positions = fields.mapping(record, "positions")
        self.positions = {symbol: fields.number(positions, symbol) or 0.0 for symbol in positions}
        for decision in fields.records(record, "decisions"):
            self.reasons[fields.text(decision, "symbol")] = fields.text(decision, "reason")

    def _add_status(self, record: Mapping[str, Any]) -> None:
        symbol, state = fields.text(record, "symbol"), fields.text(record, "state")
        before = self.feeds.get(symbol, Feed())
        if state == "DISCONNECTED" != before.state:
            self.disconnections += 1
        if state != before.state:
            self.feeds[symbol] = Feed(state, fields.text(record, "reason", ""), fields.instant(record, "at"))

    def _add_trouble(self, record: Mapping[str, Any]) -> None:
        what, text = fields.text(record, "symbol"), trouble_of(record)
        if not text:
            self.troubles.pop(what, None)
            return
        before = self.troubles.get(what)
        self.troubles[what] = Trouble(text, before.since if before else fields.instant(record, "at"))

    @property
    def feed(self) -> Feed:
        """Return the worst feed: DISCONNECTED before DELAYED before STARTING before LIVE."""
        for state in _WORST_FIRST:
            for found in self.feeds.values():
                if found.state == state:
                    return found
        return next(iter(self.feeds.values()), Feed())


def trouble_of(record: Mapping[str, Any]) -> str:
    """Return what a notice about real orders says does not work, "" if it works again. Raises `Unfit`."""
    text = fields.text(record, "text", "")
    # Journals of earlier versions have the text for the terminal only.
    return fields.text(record, "problem", "" if text.endswith(": works again") else text)
