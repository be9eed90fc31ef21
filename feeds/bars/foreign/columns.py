"""Which column of a table is which: names of many programs, and what a person says about them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scorenet.base.did_you_mean import close_matches

from ...errors import BadBars
from ..cells import COLUMNS, OPTIONAL_COLUMNS
from ..symbols import SYMBOL_COLUMNS

__all__ = ["Chosen", "choose_columns", "plain_name"]

_TIMES = ("timestamp", "unix", "unix_timestamp", "epoch", "open_time", "opentime", "ts")
_DATES = ("datetime", "date_time", "gmt_time", "date", "time", "start")
_ALIASES = {
    "open": ("open", "open_price", "price_open", "first", "o"),
    "high": ("high", "high_price", "price_high", "max", "h"),
    "low": ("low", "low_price", "price_low", "min", "l"),
    "close": ("close", "close_price", "price_close", "close_last", "c"),
    "volume": ("volume", "vol", "base_volume", "volume_base", "v"),
}
_QUOTE = ("quote_volume", "quote_asset_volume", "volume_quote", "volume_currency", "turnover", "amount")
_NOT_VOLUME = re.compile(r"volume_(?:ma|sma|ema|average|avg|delta|change|weighted|from|to)\b.*")
_QUOTES = frozenset(
    ["USDT", "USDC", "USD", "BUSD", "FDUSD", "TUSD", "DAI", "EUR", "GBP", "JPY", "TRY", "BRL", "AUD", "KRW"]
)


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The columns of a table that are taken.

    Attributes:
        names: column of bars -> column of the table.
        problem: why the choice is not complete, None if it is.
        fix: the `--columns` that would complete it, with the table's own names where they are known.
    """

    names: Mapping[str, str]
    problem: str | None = None
    fix: str = ""

    def said(self) -> str:
        """Return which column was taken for which."""
        return ", ".join(f"{name} from {own!r}" for name, own in self.names.items())


def choose_columns(found: Sequence[str], told: Mapping[str, str], symbol: str | None = None) -> Chosen:
    """Choose the columns of bars among the names `found`; `symbol` says in which coin a volume is counted.

    A column with exactly the contract's name is always taken for it; what a person told comes before that.

    Raises:
        BadBars: a column that a person named is not there.
    """
    for name, own in told.items():
        if own not in found:
            raise BadBars(
                f"columns: {own!r} was named for {name}, found only {', '.join(found)}",
                column=own,
                reason="missing_column",
            )
    plain: dict[str, list[str]] = {}
    for own in found:
        plain.setdefault(plain_name(own), []).append(own)
    names = dict(told)
    problem, fix = None, ""
    for name, aliases in (("timestamp", (*_TIMES, *_DATES)), *_ALIASES.items()):
        if name in names:
            continue
        owner = _one(name, aliases, found, plain)
        if name == "volume" and owner is None:
            owner, said = _volume(found, symbol)
            problem, fix = (said, f"volume={_candidate(found)}") if said else (problem, fix)
        if isinstance(owner, tuple):
            problem, fix = f"{owner[0]!r} and {owner[1]!r} can both be {name}", f"{name}={owner[0]}"
        elif owner is not None:
            names[name] = owner
    for name in OPTIONAL_COLUMNS:
        if name not in names and plain.get(name):
            names[name] = plain[name][0]
    if "symbol" not in names:
        key = next((name for name in SYMBOL_COLUMNS if plain.get(name)), None)
        names |= {key: plain[key][0]} if key is not None else {}
    missing = [name for name in COLUMNS if name not in names]
    if missing and problem is None:
        near = {
            name: close_matches(name, [own for own in found if own not in names.values()]) for name in missing
        }
        hints = [f"; did you mean {own[0]!r}?" for own in near.values() if own]
        listed = ", ".join(found[:20]) or "none"
        problem = f"expected a column for {' and '.join(missing)}, found {listed}{''.join(hints[:1])}"
        fix = ",".join(f"{name}={own[0] if own else 'NAME'}" for name, own in near.items())
    order = (*COLUMNS, *OPTIONAL_COLUMNS, *SYMBOL_COLUMNS)
    return Chosen(names={n: names[n] for n in order if n in names}, problem=problem, fix=fix)


def plain_name(name: str) -> str:
    """Return a column's name in one spelling: `1. Open` -> open, `<CLOSE>` -> close, `Close/Last` -> close_last."""
    text = re.sub(r"^\d+\.\s*", "", name.strip())
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", text)
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def _one(
    name: str, aliases: Sequence[str], found: Sequence[str], plain: Mapping[str, list[str]]
) -> str | tuple[str, str] | None:
    """Return the column for a name; two that can both be it; None if there is none."""
    if name in found:
        return name
    for alias in aliases:
        owners = plain.get(alias, [])
        if len(owners) > 1:
            return owners[0], owners[1]
        # A date beside a time of day is one half of a time.
        if owners and name == "timestamp" and alias in ("date", "time") and plain.get(_OTHER[alias]):
            return owners[0], plain[_OTHER[alias]][0]
        if owners:
            return owners[0]
    return None


_OTHER = {"date": "time", "time": "date"}


def _volumes(found: Sequence[str]) -> dict[str, str]:
    """Return columns such as `Volume BTC` and `Volume_(Currency)` with the coin that they name."""
    named = {}
    for own in found:
        text = plain_name(own)
        if text in _QUOTE or not text.startswith("volume_") or _NOT_VOLUME.fullmatch(text):
            continue
        named[own] = text.removeprefix("volume_").upper()
    return named


def _volume(found: Sequence[str], symbol: str | None) -> tuple[str | None, str | None]:
    """Return the volume in the base coin, and what is wrong if it cannot be told from the one in the quote coin."""
    named = _volumes(found)
    base = re.split("[^A-Z0-9]", symbol.upper())[0] if symbol else ""
    exact = [own for own, coin in named.items() if coin == base]
    if not exact and base:  # BTCUSDT has no separator
        quotes = {*_QUOTES, *named.values()}
        exact = [own for own, coin in named.items() if base in {coin + quote for quote in quotes}]
    if len(exact) == 1:
        return exact[0], None
    coins = [own for own, coin in named.items() if coin not in _QUOTES]
    if len(coins) == 1 and (not base or len(named) > 1):
        return coins[0], None
    others = [own for own in found if plain_name(own) in _QUOTE]
    if named or others:
        shown = " and ".join(repr(own) for own in [*named, *others][:4])
        return None, f"volume is counted in the coin that is traded; {shown} may be counted in another"
    return None, None


def _candidate(found: Sequence[str]) -> str:
    named = [*_volumes(found), *(own for own in found if plain_name(own) in _QUOTE)]
    return named[0] if named else "NAME"
