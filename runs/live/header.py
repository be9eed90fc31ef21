"""The first record of a journal: the settings of a live run. Later sessions in the folder cannot change them."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from feeds.bars.timeframes import from_ms, to_ms
from feeds.bars.times import iso, parse_time
from feeds.exchange.candles import Values
from feeds.live.evidence.history import MOST_UNREAD
from scorenet import ConfigError, FeatureMismatch, ScoreModel
from scorenet.base.times import DAY_MS, wall_ms

from ..plugins import loaded_plugins
from ..settings import Account
from .halt import KILL_FILE, KillSwitch
from .journal import JOURNAL, Journal
from .record import recorded_steps
from .status import LiveStatus

__all__ = [
    "Delivered",
    "announce",
    "delivered",
    "listed_symbols",
    "model_timeframe",
    "read_or_write_header",
    "refit_note",
    "report_unlisted",
    "settings_of",
]

# 1: `halted` was the reason of every halt; 2: the taker fee was named `fee`; 3: fewer columns of decisions;
# 4: the model's fingerprint covered its weights only
_FORMAT = 5
_OPTIONAL = ("funding_rate", "open_interest")


def model_timeframe(model: ScoreModel, asked: str | None) -> str:
    """Return the timeframe of a model, e.g. "1h".

    Raises:
        FeatureMismatch: `asked` is another timeframe, or the model is of a market with sessions.
    """
    if model.calendar is not None:
        raise FeatureMismatch(
            f"the model was trained on bars with the calendar {model.calendar}; live trading has exchanges that never "
            "close only; backtest it, or train a model on bars of the exchange"
        )
    trained = from_ms(int(model.info["bar_ms"]))
    if asked is not None and to_ms(asked) != to_ms(trained):
        raise FeatureMismatch(
            f"the model was trained on {trained} bars, --timeframe asks for {asked}; leave --timeframe out, "
            "or train a model on that bar size"
        )
    return trained


def settings_of(
    model: ScoreModel,
    symbols: Sequence[str],
    timeframe: str,
    columns: Sequence[str],
    account: Account,
    params: Mapping[str, Any],
) -> dict[str, Any]:
    """Return every setting that decisions depend on.

    Raises:
        FeatureMismatch: the market does not provide a column that the model reads.
    """
    missing = [name for name in model.features.inputs if name in _OPTIONAL and name not in columns]
    if missing:
        raise FeatureMismatch(f"the model needs {', '.join(missing)}, which this market does not provide")
    settings: dict[str, Any] = {
        "model": model.fingerprint,
        "symbols": list(symbols),
        "timeframe": timeframe,
        "columns": list(columns),
        "account": account.to_dict(),
        # Lists, because the journal is JSON, and a restart compares.
        "strategy": {name: list(v) if isinstance(v, tuple) else v for name, v in params.items()},
    }
    if params.get("regimes") and model.regime_map is not None:
        # The fingerprint is that of the nets; regimes can be fitted anew to the same nets.
        settings["regimes"] = hashlib.sha256(json.dumps(model.regime_map.to_dict()).encode()).hexdigest()
    if plugins := loaded_plugins():
        # A rule or a slippage model is named above; only the file's hash shows that its code has changed.
        settings["plugins"] = sorted(plugin["sha256"] for plugin in plugins)
    return settings


def read_or_write_header(
    journal: Journal,
    settings: dict[str, Any],
    *,
    lookback: int,
    since: str | None,
    now: int,
    at: int,
    command: str | Sequence[str],
) -> Mapping[str, Any]:
    """Return the first record of the journal; write it if the journal is new.

    Args:
        lookback: bars before the current one that the model needs.
        since: start of the warm-up; None starts it as late as possible.
        now: the exchange's time, UTC ms.
        at: the machine's time, UTC ms.

    Raises:
        ConfigError: the journal has other settings or another format, or the warm-up is too short.
    """
    for header in journal.records("start"):
        _check(journal, header, settings)
        return header
    step = to_ms(settings["timeframe"])
    trade_from = (now // step + 1) * step
    first = trade_from - (lookback + 2) * step
    if since is not None:
        asked = -(-parse_time(since) // step) * step
        if asked > first:
            raise ConfigError(
                f"--since: the model needs {lookback + 1} bars of warm-up, that is {iso(first)} or "
                f"earlier; found {since}"
            )
        first = asked
    return journal.append(
        "start",
        format=_FORMAT,
        run=secrets.token_hex(4),
        at=at,
        command=command if isinstance(command, str) else " ".join(command),
        first=first,
        trade_from=trade_from,
        settings=settings,
    )


@dataclass
class Delivered:
    """What a journal has of a symbol's bars.

    Attributes:
        following: open time (UTC ms) of the first bar that its feed must deliver.
        rates: funding rates of the recorded bars, by their open (UTC ms).
        unread: values of the last bars, by their open (UTC ms), of which no correction is recorded.
    """

    following: int
    rates: dict[int, float] = field(default_factory=dict)
    unread: dict[int, Values] = field(default_factory=dict)


def delivered(journal: Journal, header: Mapping[str, Any]) -> dict[str, Delivered]:
    """Return what the journal has of the bars of each symbol."""
    found = {symbol: Delivered(int(header["first"])) for symbol in header["settings"]["symbols"]}
    step = to_ms(header["settings"]["timeframe"])
    for recorded in recorded_steps(journal):
        for symbol, row in recorded.rows.items():
            found[symbol].following = row.close_time
            found[symbol].rates[row.close_time - step] = row.funding_rate
            found[symbol].unread[row.close_time - step] = row[1:6]
            if len(found[symbol].unread) > MOST_UNREAD:
                del found[symbol].unread[next(iter(found[symbol].unread))]
    for record in journal.records("notice"):
        if record.get("what") == "revised" and record["symbol"] in found:
            found[record["symbol"]].unread.pop(int(record["start"]), None)
    return found


def listed_symbols(
    journal: Journal, symbols: Sequence[str], unlisted: Mapping[str, Exception]
) -> tuple[str, ...]:
    """Return the symbols of a run that are not `unlisted`: that the exchange still lists.

    Raises:
        BadSymbol: the exchange does not list a symbol that the journal's run has not traded; as in `unlisted`.
    """
    known = {symbol for header in journal.records("start") for symbol in header["settings"]["symbols"]}
    for symbol in symbols:
        if symbol in unlisted and symbol not in known:
            raise unlisted[symbol]
    return tuple(symbol for symbol in symbols if symbol not in unlisted)


def report_unlisted(
    journal: Journal, symbols: Sequence[str], unlisted: Mapping[str, Exception], say: Callable[[str], None]
) -> None:
    """Say and record which symbols of a run the exchange lists no more: they are waited for, as during a run."""
    for symbol in symbols:
        if symbol in unlisted:
            text = f"{symbol}: {unlisted[symbol]}; it is waited for, and its position is left as it is"
            journal.append("notice", at=wall_ms(), symbol=symbol, what="unlisted", text=text)
            say(text)


def _check(journal: Journal, header: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    if header.get("format") != _FORMAT:
        raise ConfigError(
            f"{journal.path} has format {header.get('format')}, this version writes {_FORMAT}; "
            "start a new run in another --out"
        )
    before, now = _flat(header["settings"]), _flat(settings)
    changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    if changed:
        differences = "; ".join(
            f"{name} was {before.get(name)!r}, is {now.get(name)!r}" for name in changed[:4]
        )
        raise ConfigError(
            f"{journal.path.parent} holds a run with other settings ({differences}); its account cannot continue "
            "with these; use the old settings, or another --out"
        )


def announce(
    status: LiveStatus, out: str, journal: Journal, header: Mapping[str, Any], kill: KillSwitch, mode: str
) -> None:
    """Say what the run in `out` trades, from when on, and how it is stopped."""
    settings, first = header["settings"], int(header["first"])
    passed = max(bars.following for bars in delivered(journal, header).values())
    where = (
        f"continues after {iso(passed)}"
        if passed > first
        else f"trades from {iso(int(header['trade_from']))} on"
    )
    status.say(f"{mode}, {', '.join(settings['symbols'])}, bars of {settings['timeframe']}: {where}")
    status.say(f"journal {out}/{JOURNAL}; Ctrl-C stops, a file {out}/{KILL_FILE} halts trading permanently")
    if kill.on:
        status.say(f"halted in an earlier session ({kill.reason}): no trades in this run folder")


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def refit_note(model: ScoreModel, now: int) -> str:
    """Return when the model of a walk-forward is due to be fitted again, at `now` (UTC ms); "" for another model."""
    due = model.info.get("refit_due")
    if not isinstance(due, int):
        return ""
    days = (due - now) / DAY_MS
    if days >= 0:
        return f"model: the next refit is due {iso(due)[:10]}, in {days:.0f} days"
    return (
        f"model: the refit was due {iso(due)[:10]}, {-days:.0f} days ago; run `scorenet walkforward` with newer "
        "bars, or `scorenet train --warm-start`"
    )
