"""`--list-settings`: every setting of a command with its default, unit and meaning."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any, TypeVar

import click

from .setting_rows import BACKTEST_UNITS, TRAIN_ROWS

__all__ = ["backtest_settings", "complete_setting", "list_settings", "train_settings"]


_Command = TypeVar("_Command", bound=Callable[..., Any])


def train_settings() -> list[dict[str, Any]]:
    """Return a row for each setting of `scorenet train`."""
    from scorenet import ModelConfig

    defaults = dict(_leaves(ModelConfig().to_dict()))
    return [
        {
            "setting": name,
            "default": _shown(default),
            "unit": TRAIN_ROWS[name][0],
            "meaning": TRAIN_ROWS[name][1],
        }
        for name, default in defaults.items()
    ]


def backtest_settings() -> list[dict[str, Any]]:
    """Return a row for each setting of `scorenet backtest`: of the strategy, then of the account."""
    from strategies import Costs
    from strategies.decision.rules import Rules

    from ..backtest import strategy_defaults
    from ..settings import Account

    said = {
        **_attributes(Rules),
        **_attributes(Costs),
        "signal": "signal to trade by: forward, state, or a registered name",
        "cash": "money that the account begins with",
        "contract": "auto (by the symbol), linear, inverse or spot",
        "symbols": "costs of single symbols, a table of the settings below",
    }
    account = {item.name: getattr(Account(), item.name) for item in fields(Account)}
    return [
        {
            "setting": name,
            "default": _shown(default),
            "unit": BACKTEST_UNITS.get(name, ""),
            "meaning": said[name],
        }
        for name, default in {**strategy_defaults(), **account}.items()
    ]


def list_settings(kind: str) -> Callable[[_Command], _Command]:
    """Return the option `--list-settings` of a command, `kind` "train" or "backtest"."""

    def show(context: click.Context, _: click.Parameter, wanted: bool) -> None:
        if not wanted or context.resilient_parsing:
            return
        rows = train_settings() if kind == "train" else backtest_settings()
        click.echo(_table(rows))
        context.exit()

    return click.option(
        "--list-settings",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=show,
        help="List what --set and --config can change, with default, unit and meaning.",
    )


def complete_setting(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the settings that begin with what was typed, for the shell's completion of `--set`."""
    rows = train_settings() if context.info_name == "train" else backtest_settings()
    return [f"{row['setting']}=" for row in rows if row["setting"].startswith(incomplete)]


def _table(rows: list[dict[str, Any]]) -> str:
    names = ("setting", "default", "unit")
    widths = {name: max(len(row[name]) for row in [*rows, {n: n for n in names}]) for name in names}
    lines = [{name: name for name in (*names, "meaning")}, *rows]
    return "\n".join(
        "  ".join([*(line[name].ljust(widths[name]) for name in names), line["meaning"]]) for line in lines
    )


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return "[]" if value in ((), [], {}) else str(list(value) if isinstance(value, tuple) else value)


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _attributes(kind: type) -> dict[str, str]:
    """Return the attributes that a class's docstring describes."""
    listed = (inspect.getdoc(kind) or "").partition("Attributes:\n")[2].partition("\nRaises:")[0]
    parts = re.split(r"^    (\w+): ", listed, flags=re.MULTILINE)[1:]
    return {name: " ".join(text.split()) for name, text in zip(parts[::2], parts[1::2], strict=True)}
