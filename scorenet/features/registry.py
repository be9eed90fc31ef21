"""Registry of the setting `features`; `register_feature_set` adds a user's feature set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..base.registry import Registry
from ..base.sources import remember_source
from ..errors import ConfigError, FeatureMismatch
from .window import INPUTS, OPTIONAL_INPUTS, Array, Window

__all__ = ["FEATURE_SETS", "KINDS", "Feature", "FeatureDefinition", "WindowFunction", "register_feature_set"]

KINDS = ("linear", "log", "logit")

WindowFunction = Callable[[Mapping[str, Array]], Array]
"""Columns of windows, each [N, lookback + 1], oldest bar first -> features [N, F], row by row."""

Fill = Callable[[Window, tuple[str, ...], Array], None]
"""(window, feature names, out [rows, F]): write the features of a block of rows."""


@dataclass(frozen=True)
class Feature:
    """A column of the market state.

    Attributes:
        name: of the column.
        kind: transform in the scaler: "linear", "log" (positive) or "logit" (in [0, 1]).
        needs: a column of bars without whose data it means nothing (funding_rate, open_interest, volume), or None.
    """

    name: str
    kind: str
    needs: str | None = None


@dataclass(frozen=True, eq=False)
class FeatureDefinition:
    """How to compute the features of a set.

    Attributes:
        features: the columns, in order.
        lookback: bars before t that row t may use.
        volatility_window: bars of the volatility that scales returns.
        fill: writes some of the features of a block of rows.
        needs: optional columns that every feature of the set reads.
        source: the user's function whose source a model is bound to; None for a set of the package.
    """

    features: tuple[Feature, ...]
    lookback: int
    volatility_window: int
    fill: Fill
    needs: tuple[str, ...] = ()
    source: WindowFunction | None = None


FEATURE_SETS: Registry[FeatureDefinition] = Registry("features", ConfigError)


def register_feature_set(
    name: str,
    *,
    names: Sequence[str],
    lookback: int,
    kinds: Sequence[str] | None = None,
    needs: Sequence[str] = (),
    volatility_window: int | None = None,
) -> Callable[[WindowFunction], WindowFunction]:
    """Return a decorator that registers a function of windows of bars for `features = name`.

    The function receives one array [N, lookback + 1] per column (open, high, low, close, volume, and those of
    `needs`), oldest bar first, the row's own bar last. It returns [N, F], row by row. It cannot read later bars or
    bars before the window. A row with a value that is not finite is an undefined state, which is not traded.

    Args:
        name: the value of `--features`.
        names: of the F features. The score of "return_1" is the `state` signal; without it, the score of the first
            feature.
        lookback: bars before a row's own bar that it needs, at least 1.
        kinds: per feature "linear" (default), "log" for positive values or "logit" for values in [0, 1].
        needs: optional columns that it reads: funding_rate, open_interest.
        volatility_window: bars of the volatility that scales forward returns (default: the lookback).

    Raises:
        ValueError: the name is taken, or the arguments are not consistent; the message says how.
    """
    kinds = ("linear",) * len(names) if kinds is None else tuple(kinds)
    window = lookback if volatility_window is None else volatility_window
    _check(name, tuple(names), kinds, tuple(needs), lookback, window)
    enter = FEATURE_SETS.register(name)

    def decorate(function: WindowFunction) -> WindowFunction:
        features = tuple(Feature(n, kind) for n, kind in zip(names, kinds, strict=True))
        columns = (*INPUTS, *needs)
        fill = _filler(name, function, columns, lookback, len(features))
        enter(FeatureDefinition(features, lookback, window, fill, tuple(needs), function))
        remember_source("features", name, function)
        return function

    return decorate


def _filler(name: str, function: WindowFunction, columns: tuple[str, ...], lookback: int, width: int) -> Fill:
    def fill(window: Window, names: tuple[str, ...], out: Array) -> None:
        values = np.asarray(function({column: window.last(column, lookback + 1) for column in columns}))
        if values.shape != (len(out), width):
            raise FeatureMismatch(
                f"feature set {name!r}: expected an array [{len(out)}, {width}] from {len(out)} windows, "
                f"found {list(values.shape)}"
            )
        # A state is undefined if any coordinate is.
        out[:] = np.where(np.isfinite(values).all(axis=1, keepdims=True), values, np.nan)

    return fill


def _check(
    name: str,
    names: tuple[str, ...],
    kinds: tuple[str, ...],
    needs: tuple[str, ...],
    lookback: int,
    volatility_window: int,
) -> None:
    where = f"feature set {name!r}"
    if not names or len(set(names)) != len(names):
        raise ValueError(f"{where}: expected names of features, all different, found {list(names)}")
    if len(kinds) != len(names) or not set(kinds) <= set(KINDS):
        raise ValueError(
            f"{where}: expected {len(names)} kinds out of {', '.join(KINDS)}, found {list(kinds)}"
        )
    if not set(needs) <= set(OPTIONAL_INPUTS):
        raise ValueError(
            f"{where}: needs: expected some of {', '.join(OPTIONAL_INPUTS)}, found {list(needs)}"
        )
    if lookback < 1 or not 1 <= volatility_window <= lookback:
        raise ValueError(
            f"{where}: expected 1 <= volatility_window <= lookback, found {volatility_window} and {lookback}"
        )
