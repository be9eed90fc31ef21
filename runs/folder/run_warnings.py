"""What a reader of a run must know before its figures, a sentence each: for terminal, manifest and page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import pandas as pd

from scorenet.base.printable import printable
from scorenet.base.terminal.colour import coloured
from scorenet.base.times import iso

if TYPE_CHECKING:
    from scorenet import ScoreModel

    from ..result import Result

__all__ = ["after_run", "before_run", "say"]

_LEAP = np.log(1.8)
"""Logarithm of the ratio of an open to the close before it from which on it is said: a split in two has 2."""
_FEW = 0.5
"""Share of the in-distribution bars that are expected below which a run has hardly seen its market."""


def before_run(model: ScoreModel | None, frames: Sequence[pd.DataFrame], start: int) -> list[str]:
    """Return what is known before a run that trades from the bar close `start` (UTC ms); None: without a model."""
    said = []
    seen = None if model is None else model.seen_until
    if seen is not None and start <= seen:
        said.append(
            "The backtest overlaps the bars that the model was trained, calibrated or measured on: its figures are not "
            "out of sample."
        )
    known = () if model is None else model.info["symbols"]
    for frame in frames:
        if model is not None and frame.attrs["symbol"] not in known:
            said.append(
                f"The model has never seen {frame.attrs['symbol']}. It was trained on {', '.join(map(str, known[:5]))}"
                f"{', ...' if len(known) > 5 else ''}."
            )
        if "filled" in frame and frame["filled"].any():
            said.append(f"{int(frame['filled'].sum())} bars of {frame.attrs['symbol']} are forward-filled.")
        said += _leaps(frame)
    return said


def after_run(result: Result, density_quantile: float | None = None) -> list[str]:
    """Return what a run showed; with `density_quantile`, also whether it knew its market."""
    said = []
    if not len(result.orders):
        said.append("The strategy never traded; the decisions by reason say why.")
    if density_quantile is not None:
        said += _unfamiliar(result.decisions, density_quantile)
    said += _held(result.decisions)
    said += result.notes
    if result.insurance > 0:
        said.append(f"Losses of {result.insurance:,.2f} beyond the account's equity were not charged to it.")
    return said


def say(warnings: Sequence[str]) -> None:
    """Print warnings to stderr, one a line."""
    for sentence in warnings:
        click.echo(f"{coloured('scorenet: warning:', 'yellow')} {printable(sentence)}", err=True)


def _leaps(frame: pd.DataFrame) -> list[str]:
    """Say that a price leaps between two bars, as at a split, a new unit or in two series that were joined."""
    opens, closes = (frame[name].to_numpy(np.float64) for name in ("open", "close"))
    leaps = np.abs(np.log(opens[1:] / closes[:-1]))
    if not len(leaps) or leaps.max() < _LEAP:
        return []
    bar = int(np.argmax(leaps)) + 1
    when = iso(int(frame["timestamp"].iloc[bar]))
    return [
        f"{frame.attrs['symbol']} opens at {opens[bar]:g} at {when}, after a close of {closes[bar - 1]:g}. If this is "
        "a split or a new unit, it is no profit and no loss: adjust the prices before it, or leave them out (--since)."
    ]


def _unfamiliar(decisions: pd.DataFrame, density_quantile: float) -> list[str]:
    """Say that far fewer bars are in distribution than a market like the model's has."""
    known = decisions.loc[decisions["in_distribution"].notna(), "in_distribution"]
    expected = 1.0 - density_quantile
    if not len(known) or (share := float(known.mean())) >= _FEW * expected:
        return []
    return [
        f"Only {100 * share:.1f} % of the bars resemble the bars that the model was trained on; about "
        f"{100 * expected:.0f} % would in the same market. The model does not know this one."
    ]


def _held(decisions: pd.DataFrame) -> list[str]:
    """Say what is held after the last bar: its profit is in the equity and in no closed trade."""
    if not len(decisions):
        return []
    last: Mapping[Any, Any] = (
        decisions.drop_duplicates("symbol", keep="last").set_index("symbol")["position"].to_dict()
    )
    held = [
        f"{exposure:+.0%} of the equity in {symbol}"
        for symbol, exposure in last.items()
        if _is_position(exposure)
    ]
    if not held:
        return []
    shown = ", ".join(held[:5]) + (", ..." if len(held) > 5 else "")
    return [f"The run ends with {shown}: its profit so far is in the equity and in no closed trade."]


def _is_position(exposure: Any) -> bool:
    return bool(np.isfinite(exposure) and abs(exposure) >= 0.005)
