"""Names of stored series: their folders and columns."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..bars.cells import COLUMNS
from ..bars.timeframes import TIMEFRAMES, to_ms
from ..errors import BadSymbol, StoreError

__all__ = [
    "SeriesKey",
    "decode_symbol",
    "encode_symbol",
    "open_interest_timeframe",
    "series_columns",
    "series_folders",
    "series_path",
    "stored_kind",
    "symbol_folders",
    "symbol_path",
]

_EXCHANGE = re.compile(r"[a-z][a-z0-9]{0,31}")
_KINDS = frozenset(
    (
        *TIMEFRAMES,
        "funding",
        *(f"{kind}_{timeframe}" for kind in ("open_interest", "mark") for timeframe in TIMEFRAMES),
    )
)
_OPEN_INTEREST = ("5m", "15m", "30m", "1h", "4h", "1d")
_PLAIN = {"/": "_", ":": "-"} | {c: c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"}
_ENCODED = re.compile(r"(?:[A-Z0-9_-]|=[0-9A-F]{2})+")
_LONGEST_NAME = 120


@dataclass(frozen=True)
class SeriesKey:
    """The name of a series: `kind` is a timeframe for bars ("1h"), "funding", or e.g. "open_interest_1h", "mark_1h"."""

    exchange: str
    symbol: str
    kind: str


def series_columns(kind: str) -> tuple[str, ...]:
    """Return the columns of a kind of series, `timestamp` first."""
    if kind == "funding":
        return ("timestamp", "funding_rate")
    if kind.startswith("mark_"):
        return COLUMNS[:5]
    return ("timestamp", "open_interest") if kind.startswith("open_interest_") else COLUMNS


def open_interest_timeframe(timeframe: str) -> str:
    """Return the interval at which open interest is stored for bars of `timeframe`: the longest that fits."""
    fitting = [every for every in _OPEN_INTEREST if to_ms(every) <= to_ms(timeframe)]
    return fitting[-1] if fitting else _OPEN_INTEREST[0]


def stored_kind(kind: str, timeframe: str) -> str:
    """Return the stored kind of "bars", "mark", "funding" or "open_interest" for bars of `timeframe`."""
    if kind == "open_interest":
        return f"open_interest_{open_interest_timeframe(timeframe)}"
    if kind == "mark":
        return f"mark_{timeframe}"
    return timeframe if kind == "bars" else kind


def encode_symbol(symbol: str) -> str:
    """Return a folder name for a symbol: "BTC/USDT:USDT" is "BTC_USDT-USDT".

    Capitals and digits stay, `/` is `_`, `:` is `-`, every other byte is `=XX`. So no name can point outside the store,
    and no two symbols share a folder, even if the file system ignores case.

    Raises:
        BadSymbol: the symbol is empty, too long for a folder name, or not text.
    """
    try:
        name = "".join(_PLAIN.get(c) or "".join(f"={b:02X}" for b in c.encode()) for c in symbol)
    except UnicodeEncodeError as error:
        raise BadSymbol(f"a symbol is plain text, found {symbol!r}") from error
    if not 1 <= len(name) <= _LONGEST_NAME:
        raise BadSymbol(f"expected a symbol such as 'BTC/USDT:USDT', found {symbol[:40]!r}")
    return name


def decode_symbol(name: str) -> str | None:
    """Return the symbol of a folder name, None when `encode_symbol` did not make it."""
    if not _ENCODED.fullmatch(name):
        return None
    unquoted = name.replace("_", "/").replace("-", ":").encode()
    raw = re.sub(rb"=([0-9A-F]{2})", lambda match: bytes.fromhex(match[1].decode()), unquoted)
    try:
        symbol = raw.decode()
        return symbol if encode_symbol(symbol) == name else None
    except (UnicodeDecodeError, BadSymbol):
        return None


def symbol_path(data_dir: str | Path, exchange: str, symbol: str) -> Path:
    """Return the folder of a symbol's series, which need not exist.

    Raises:
        BadSymbol: the symbol cannot be a folder name.
        StoreError: the exchange is unknown, or a link leads out of `data_dir`.
    """
    if not _EXCHANGE.fullmatch(exchange):
        raise StoreError(f"expected the name of an exchange such as 'bybit', found {exchange!r}")
    return _inside(Path(data_dir), Path(data_dir) / exchange / encode_symbol(symbol))


def series_path(data_dir: str | Path, key: SeriesKey) -> Path:
    """Return the folder of a series, which need not exist.

    Raises:
        BadSymbol: the symbol cannot be a folder name.
        StoreError: the exchange or kind is unknown, or a link leads out of `data_dir`.
    """
    if key.kind not in _KINDS:
        raise StoreError(f"expected a kind of series such as '1h' or 'funding', found {key.kind!r}")
    return _inside(Path(data_dir), symbol_path(data_dir, key.exchange, key.symbol) / key.kind)


def symbol_folders(data_dir: str | Path) -> Iterator[tuple[Path, str, str]]:
    """Return the folders of symbols under `data_dir` with exchange and symbol, sorted; other folders are ignored.

    Raises:
        StoreError: the folder cannot be read.
    """
    for parent in _folders(Path(data_dir)):
        if _EXCHANGE.fullmatch(parent.name):
            for folder in _folders(parent):
                symbol = decode_symbol(folder.name)
                if symbol is not None:
                    yield folder, parent.name, symbol


def series_folders(data_dir: str | Path) -> Iterator[tuple[Path, SeriesKey]]:
    """Return the folders under `data_dir` that hold series, sorted; anything else is ignored.

    Raises:
        StoreError: the folder cannot be read.
    """
    for parent, exchange, symbol in symbol_folders(data_dir):
        for folder in _folders(parent):
            if folder.name in _KINDS:
                yield folder, SeriesKey(exchange, symbol, folder.name)


def _folders(root: Path) -> list[Path]:
    try:
        # Not `glob`: it takes a folder that may not be read for an empty one.
        return sorted(path for path in root.iterdir() if path.is_dir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"cannot read {root}: {error.strerror or error}") from error


def _inside(root: Path, path: Path) -> Path:
    if not path.resolve().is_relative_to(root.resolve()):
        raise StoreError(f"{path} leads out of {root}; remove the link")
    return path
