"""The first record of a journal: what a live run is, which no later session in its folder may change."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from feeds.bars.timeframes import from_ms, to_ms
from feeds.bars.times import iso, parse_time
from scorenet import ConfigError, FeatureMismatch, ScoreModel

from ..plugins import loaded_plugins
from ..settings import Account
from .journal import Journal
from .record import recorded_steps

__all__ = ["first_opens", "model_timeframe", "read_or_write_header", "settings_of"]

_FORMAT = 3  # 1: decisions said `halted`, whatever halted them; 2: the taker fee was called `fee`
_OPTIONAL = ("funding_rate", "open_interest")


def model_timeframe(model: ScoreModel, asked: str | None) -> str:
    """Return the bar size of a model.

    Raises:
        FeatureMismatch: another one is asked for.
    """
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
    """Return all that decisions depend on besides the bars.

    Raises:
        FeatureMismatch: the market does not bring what the model reads.
    """
    missing = [name for name in model.features.inputs if name in _OPTIONAL and name not in columns]
    if missing:
        raise FeatureMismatch(f"the model needs {', '.join(missing)}, which this market does not bring")
    settings: dict[str, Any] = {
        "model": model.fingerprint,
        "symbols": list(symbols),
        "timeframe": timeframe,
        "columns": list(columns),
        "account": account.to_dict(),
        "strategy": dict(params),
    }
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
    """Return the journal's first record, written now if the journal is new.

    Args:
        lookback: bars that the model needs before the present one.
        since: where the warm-up begins, None for no earlier than it has to.
        now: the exchange's time, `at` the machine's, both UTC ms.

    Raises:
        ConfigError: the journal is of other settings or of another format, or the warm-up is too short.
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


def first_opens(journal: Journal, header: Mapping[str, Any]) -> dict[str, int]:
    """Return the open (UTC ms) of the first bar that each symbol's feed has to bring."""
    following = {symbol: int(header["first"]) for symbol in header["settings"]["symbols"]}
    for recorded in recorded_steps(journal):
        for symbol, row in recorded.rows.items():
            following[symbol] = row.close_time
    return following


def _check(journal: Journal, header: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
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
