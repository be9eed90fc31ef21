"""Store the trading rules of instruments for offline use: one checksummed file per symbol."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scorenet.base.files import remove_leftovers

from ..bars.whole_file import write_whole
from ..errors import StoreError
from ..instruments import Instrument, categories_of, find
from .keys import symbol_folders, symbol_path
from .locks import file_lock

__all__ = ["StoredInstrument", "find_instrument", "list_instruments", "read_instrument", "write_instrument"]

_NAME = "instrument.json"
_LOCK = ".lock"
_LOCK_SECONDS = 10.0


@dataclass(frozen=True)
class StoredInstrument:
    """An instrument as described by the exchange; `as_of` is when these rules were first seen (UTC ms)."""

    exchange: str
    instrument: Instrument
    as_of: int


def write_instrument(data_dir: str | Path, exchange: str, instrument: Instrument, as_of: int) -> bool:
    """Store an instrument's rules if they are new; return whether different rules were stored before.

    Raises:
        StoreError: the file cannot be written.
    """
    old = read_instrument(data_dir, exchange, instrument.symbol)
    if old is not None and old.instrument == instrument:
        return False
    folder = symbol_path(data_dir, exchange, instrument.symbol)
    content = {"exchange": exchange, "as_of": as_of, "instrument": asdict(instrument)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot create {folder}: {error.strerror or error}; use another folder") from error
    text = json.dumps({**content, "sha256": _digest(content)}, indent=1) + "\n"
    with file_lock(folder / _LOCK, _LOCK_SECONDS):
        remove_leftovers(folder)
        write_whole(folder / _NAME, text.encode())
    return old is not None


def read_instrument(data_dir: str | Path, exchange: str, symbol: str) -> StoredInstrument | None:
    """Return the stored rules of a symbol; None when there are none, or the file is damaged or of another market.

    Raises:
        StoreError: the file cannot be read.
    """
    path = symbol_path(data_dir, exchange, symbol) / _NAME
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        found: dict[str, Any] = json.loads(text)
        if found.pop("sha256") != _digest(found):
            return None
        instrument = Instrument(**found["instrument"])
        # Those of earlier versions do not name their exchange.
        if (found.get("exchange", exchange), instrument.symbol) != (exchange, symbol):
            return None
        return StoredInstrument(exchange, instrument, int(found["as_of"]))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def find_instrument(data_dir: str | Path, exchange: str, name: str) -> Instrument | None:
    """Return the stored rules of an exchange's market by its symbol or id, None without any.

    Raises:
        StoreError: the folder cannot be read.
    """
    stored = [found.instrument for found in list_instruments(data_dir) if found.exchange == exchange]
    for category in categories_of(name):
        markets = {found.symbol: found for found in stored if found.category == category}
        if (market := find(name, markets)) is not None:
            return market
    return None


def list_instruments(data_dir: str | Path) -> Iterator[StoredInstrument]:
    """Return the stored rules of all symbols, sorted by exchange and symbol.

    Raises:
        StoreError: the folder cannot be read.
    """
    for _, exchange, symbol in symbol_folders(data_dir):
        found = read_instrument(data_dir, exchange, symbol)
        if found is not None:
            yield found


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
