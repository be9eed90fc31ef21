"""The status of a live run in words."""

from __future__ import annotations

from scorenet.base.printable import printable
from scorenet.base.times import iso

from .status import RunStatus

__all__ = ["format_status"]


def format_status(status: RunStatus) -> str:
    """Return a status as a few lines of text."""
    facts = status.facts
    rows = {
        "state": status.state + (f": {status.reason}" if status.reason else ""),
        "run": _listed(
            facts.run,
            _mode(status),
            ", ".join(facts.symbols),
            facts.timeframe and f"bars of {facts.timeframe}",
        ),
        "last bar": _last_bar(status),
        "equity": "unknown" if facts.equity is None else f"{facts.equity:,.2f} on paper",
        "position": _positions(status),
    }
    if facts.halt is not None and status.state != "halted":
        rows["halt"] = f"{facts.halt.reason}, {iso(facts.halt.at)}"
    for link, order in facts.ledger.unknown.items():
        rows[f"order {link}"] = (
            f"{order.side} {order.quantity} {order.symbol}, sent {iso(order.sent)}, outcome unknown"
        )
    for number, (what, trouble) in enumerate(facts.troubles.items()):
        rows[f"trouble{number + 1 if number else ''}"] = (
            f"real orders, {what}: {printable(trouble.text)}, since {iso(trouble.since)}"
        )
    for symbol, refusals in facts.ledger.refusals.items():
        rows[f"refused {symbol}"] = (
            f"the last {refusals.count} order(s), since {iso(refusals.since)}: {printable(refusals.reason)}"
        )
    for symbol, feed in facts.feeds.items():
        if feed.state != status.state:
            rows[symbol] = _listed(
                feed.state, feed.reason, "" if feed.since is None else f"since {iso(feed.since)}"
            )
    rows["disconnections"] = f"{facts.disconnections} in {facts.sessions} session(s)"
    rows["process"] = _process(status)
    if status.torn:
        rows["journal"] = f"{status.torn:,} bytes of an incomplete last line; the next start removes them"
    width = max(map(len, rows))
    return "\n".join(f"{name:<{width}}  {text}" for name, text in rows.items())


def _mode(status: RunStatus) -> str:
    mode, place = status.facts.mode, status.facts.place
    return f"{mode} on {place}" if place else mode


def _last_bar(status: RunStatus) -> str:
    close, age = status.facts.last_bar, status.age()
    if close is None or age is None:
        return "none yet"
    lag = None if status.beat is None else status.beat.lag
    late = "" if lag is None else f", lag {lag:.1f} s"
    return f"{iso(close)} ({age:,.0f} s ago){late}, {status.facts.bars:,} bars"


def _positions(status: RunStatus) -> str:
    facts = status.facts
    parts = []
    for symbol in dict.fromkeys((*facts.symbols, *facts.positions, *facts.ledger.held)):
        real = facts.ledger.held.get(symbol)
        shown = "" if not facts.had_real else f" (real {0 if real is None else real:+f})"
        parts.append(f"{symbol} {facts.positions.get(symbol, 0.0):+.6g}{shown}")
    return ", ".join(parts) or "none"


def _process(status: RunStatus) -> str:
    beat = status.beat
    if beat is None:
        return "unknown"
    there = {True: "runs", False: "is gone", None: "is on another machine or in another container"}[
        status.alive
    ]
    loop = "" if beat.loop_age is None or not status.alive else f", event loop {beat.loop_age:,.0f} s before"
    return f"{beat.process.pid} {there}, heartbeat {beat.seconds_ago():,.0f} s ago{loop}"


def _listed(*parts: str) -> str:
    return ", ".join(part for part in parts if part)
