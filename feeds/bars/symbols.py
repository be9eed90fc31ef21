"""The rows of one symbol in a table of several."""

import logging
import re

import pandas as pd

from scorenet.base.did_you_mean import did_you_mean

from ..errors import BadBars

__all__ = ["SYMBOL_COLUMNS", "one_symbol"]

SYMBOL_COLUMNS = ("symbol", "ticker", "pair", "instrument")
_SHOWN = 5
_log = logging.getLogger("feeds")


def one_symbol(frame: pd.DataFrame, symbol: str | None) -> pd.DataFrame:
    """Return the rows of `symbol` in a table that names several symbols in one of `SYMBOL_COLUMNS`.

    "BTC/USDT:USDT" also chooses the rows of "BTCUSDT" and "BTC-USDT". A table of one symbol, or without such a column,
    is returned as it is, with a warning if it names another symbol.

    Raises:
        BadBars: there are several symbols, and `symbol` is None or none of them.
    """
    column = next((name for name in SYMBOL_COLUMNS if name in frame.columns), None)
    if column is None:
        return frame
    names = [str(name) for name in frame[column].dropna().unique()]
    if len(names) < 2:
        if symbol and names and _plain(names[0]) != _plain(symbol):
            _log.warning("column %r names %s; its bars are taken for %s, as asked", column, names[0], symbol)
        return frame
    chosen = [name for name in names if name == symbol]
    if symbol is not None and not chosen:
        chosen = [name for name in names if _plain(name) == _plain(symbol)]
    if len(chosen) == 1:
        rows = frame[frame[column] == chosen[0]].reset_index(drop=True)
        rows.attrs = dict(frame.attrs)
        return rows
    shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    asked = "" if symbol is None else f", none of them {symbol!r}{did_you_mean(symbol, names)}"
    raise BadBars(
        f"expected bars of one symbol, found {len(names)} symbols in column {column!r}: {shown}{asked}; choose one "
        "with symbol=NAME, or store it with `scorenet data import FILE --symbol NAME --timeframe 1h`",
        column=column,
        reason="mixed_symbols",
    )


def _plain(name: str) -> str:
    return re.sub("[^A-Z0-9]", "", name.partition(":")[0].upper())
