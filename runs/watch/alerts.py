"""Which events of a live run are worth an alert, and the JSON of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from scorenet.base.printable import printable
from scorenet.base.times import wall_ms

from .facts import Facts, trouble_of
from .ledger import is_refusal

__all__ = ["EVENTS", "Alerts"]

EVENTS = {
    "start": "a session begins",
    "end": "the session ends, by a signal, by `--max-bars`, or with an error",
    "halt": "the kill switch turns on",
    "disconnected": "a feed has been DISCONNECTED for `--notify-after` minutes",
    "order_trouble": "real orders have not worked for `--notify-after` minutes, or a halt cannot be carried out",
    "recovered": "after such an outage, trouble or a contradiction, it works again",
    "order_refused": "a real order was refused or ended unfilled; the same reason once until another outcome",
    "order_unknown": "the outcome of a real order is not known; once an order",
    "contradiction": "the exchange's data contradict each other; the run does not trade until they agree",
    "drawdown_stop": "the drawdown stop closes a symbol's position",
    "ruined": "the equity of the paper account is gone",
}
"""The events, and when each occurs."""

_LONGEST = 500  # characters of a text
_NOTICES = {"doubt": "contradiction", "trust": "recovered"}
_REASONS = ("drawdown_stop", "ruined")


class Alerts:
    """Turn the records of a journal into alerts, and pass each on to `post`.

    `facts` are those of the run; they contain a record before it is added here. A feed that is DISCONNECTED for less
    than `patience` seconds gives no alert, and so do real orders that do not work for less.
    """

    def __init__(
        self,
        facts: Facts,
        folder: str,
        post: Callable[[dict[str, Any]], None],
        *,
        patience: float = 300.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._facts, self._folder, self._post = facts, folder, post
        self._patience, self._monotonic = patience, monotonic
        self._lost: dict[str, float] = {}
        self._reported: set[str] = set()
        self._troubled: dict[str, float] = {}
        self._complained: set[str] = set()
        self._told: dict[str, str] = {}
        self._unknown: set[str] = set()
        self._stopped: dict[str, str] = {}

    def add(self, record: Mapping[str, Any]) -> None:
        """Receive a new record of the journal."""
        match record.get("kind"):
            case "session":
                halt = "" if self._facts.halt is None else f"; halted before: {self._facts.halt.reason}"
                bars = f"{', '.join(self._facts.symbols)}, bars of {self._facts.timeframe}"
                self.send("start", f"{bars}{halt}")
            case "halt":
                self._troubled.clear()
                self.send("halt", str(record["reason"]))
            case "status":
                self._add_status(str(record["symbol"]), str(record["state"]))
            case "outcome":
                self._add_outcome(record)
            case "notice" if record.get("what") in _NOTICES:
                event = _NOTICES[record["what"]]
                self.send(event, str(record.get("text", "")), str(record["symbol"]))
            case "notice" if record.get("what") == "real_orders":
                self._add_trouble(str(record["symbol"]), trouble_of(record))
            case "bar":
                self._add_decisions(record)

    def end(self, error: str) -> None:
        """Report the end of the session; `error` is "" for a regular one."""
        stop = self._facts.stop
        regular = "all bars done" if stop is None or stop.signal is None else f"signal {stop.signal}"
        self.send("end", f"failed: {error}" if error else regular)

    def check(self) -> None:
        """Report the outages and the troubles with real orders that last too long now."""
        now = self._monotonic()
        for symbol, since in list(self._lost.items()):
            if symbol not in self._reported and now - since >= self._patience:
                self._reported.add(symbol)
                feed = self._facts.feeds.get(symbol)
                reason = "" if feed is None else f": {feed.reason}"
                self.send("disconnected", f"for {(now - since) / 60:.0f} min{reason}", symbol)

        for what, since in list(self._troubled.items()):
            # Once the run is halted, a position or an order that stays is not waited for.
            halted = self._facts.halt is not None
            if what not in self._complained and (halted or now - since >= self._patience):
                self._complained.add(what)
                found = self._facts.troubles.get(what)
                text = "" if found is None else f": {found.text}"
                self.send("order_trouble", f"for {(now - since) / 60:.0f} min{text}", what)

    def _add_trouble(self, what: str, text: str) -> None:
        if text:
            self._troubled.setdefault(what, self._monotonic())
            return
        since = self._troubled.pop(what, None)
        if what in self._complained:
            self._complained.discard(what)
            age = "" if since is None else f" after {(self._monotonic() - since) / 60:.0f} min"
            self.send("recovered", f"real orders work again{age}", what)

    def _add_status(self, symbol: str, state: str) -> None:
        if state == "DISCONNECTED":
            self._lost.setdefault(symbol, self._monotonic())
            return
        since = self._lost.pop(symbol, None)
        if since is not None and symbol in self._reported:
            self._reported.discard(symbol)
            self.send("recovered", f"{state} after {(self._monotonic() - since) / 60:.0f} min", symbol)

    def _add_outcome(self, record: Mapping[str, Any]) -> None:
        symbol, status, link = str(record["symbol"]), str(record["status"]), str(record["link_id"])
        reason = str(record.get("reason") or status)
        if is_refusal(record):
            if self._told.get(symbol) != reason:
                self._told[symbol] = reason
                self.send("order_refused", reason, symbol)
            return
        self._told.pop(symbol, None)
        if status == "unknown" and link not in self._unknown:
            self._unknown.add(link)
            self.send("order_unknown", reason, symbol)

    def _add_decisions(self, record: Mapping[str, Any]) -> None:
        for decision in record["decisions"]:
            symbol, reason = str(decision["symbol"]), str(decision["reason"])
            if reason in _REASONS and self._stopped.get(symbol) != reason:
                self.send(reason, EVENTS[reason], symbol)
            self._stopped[symbol] = reason

    def send(self, event: str, reason: str, symbol: str | None = None) -> None:
        """Pass on one alert."""
        facts, reason = self._facts, _clean(reason)
        name = event.replace("_", " ")
        mode = f"{facts.mode}, " if facts.mode else ""
        about = f" {symbol}" if symbol else ""
        self._post(
            {
                "text": _clean(
                    f"scorenet {self._folder} ({mode}run {facts.run or 'new'}): {name}{about}: {reason}"
                ),
                "event": event,
                "run": facts.run,
                "folder": self._folder,
                "time": wall_ms(),
                "mode": facts.mode,
                "symbol": symbol,
                "reason": reason,
                "equity": facts.equity,
            }
        )


def _clean(text: str) -> str:
    """Return text of an exchange as one short line without control characters."""
    return printable(" ".join(text.split()))[:_LONGEST]
