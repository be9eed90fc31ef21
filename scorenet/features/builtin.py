"""The feature sets of the package: the chapter's ten, and "extended", which adds scales, funding and open interest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .registry import FEATURE_SETS, Feature, FeatureDefinition
from .window import VOLATILITY_FLOOR, Array, Window, volatility

__all__ = ["CHAPTER", "EXTENDED"]


@dataclass(frozen=True)
class _Computed:
    name: str
    kind: str
    needs: str | None
    compute: Callable[[Window], Array]


def _ratio(above: Array, below: Array, degenerate: float) -> Array:
    """Return above / below, or `degenerate` where `below` is zero."""
    safe = np.where(below > 0, below, 1.0)
    return np.where(below > 0, above / safe, degenerate)


def _season(window: Window) -> Array:
    """Relative volatility of the 24 bars after this hour of the week, in the last four weeks of hourly bars.

    Crypto trades all week, but less at weekends: the same weekday of past weeks is the best predictor of the next
    day.
    """
    returns = window.last("log_return", 672)
    coming = np.concatenate([returns[:, 504 - back : 528 - back] for back in (0, 168, 336, 504)], axis=1)
    same_day = np.sqrt((coming**2).mean(axis=1))
    return np.asarray(np.maximum(same_day, VOLATILITY_FLOOR) / volatility(window, 672))


def _scaled_return(horizon: int) -> Callable[[Window], Array]:
    def compute(window: Window) -> Array:
        move = np.log(window.now("close")) - np.log(window.now("close", horizon))
        return np.asarray(move / (volatility(window, 168) * np.sqrt(horizon)))

    return compute


def _position(window: Window, n: int) -> Array:
    high, low = window.last("high", n).max(axis=1), window.last("low", n).min(axis=1)
    return _ratio(window.now("close") - low, high - low, 0.5)


def _log_volume_ratio(short: int, long: int) -> Callable[[Window], Array]:
    def compute(window: Window) -> Array:
        above = window.mean("volume", short) if short > 1 else window.now("volume")
        # 0.1 % of the long mean is added, so that the logarithm of a bar without trades is finite.
        return np.log(_ratio(above, window.mean("volume", long), 1.0) + 1e-3)

    return compute


def _funding_sum(n: int) -> Callable[[Window], Array]:
    return lambda window: window.last("funding_rate", n).sum(axis=1) * 1e4  # basis points


def _open_interest_change(n: int) -> Callable[[Window], Array]:
    def compute(window: Window) -> Array:
        now, then = window.now("open_interest"), window.now("open_interest", n)
        known = (now > 0) & (then > 0)  # 0 means not published; no change is assumed
        return np.where(known, np.log(np.where(known, now, 1.0) / np.where(known, then, 1.0)), 0.0)

    return compute


def _sum_of_returns(n: int) -> Callable[[Window], Array]:
    return lambda window: window.last("simple_return", n).sum(axis=1)


def _rsi(window: Window) -> Array:
    returns = window.last("simple_return", 14)
    gains, losses = np.maximum(returns, 0.0).mean(axis=1), np.maximum(-returns, 0.0).mean(axis=1)
    return _ratio(gains, gains + losses, 0.5)


def _std(window: Window, n: int) -> Array:
    return np.asarray(window.last("simple_return", n).std(axis=1, ddof=1))


_CHAPTER = (
    *(_Computed(f"return_{n}", "linear", None, _sum_of_returns(n)) for n in (1, 5, 10, 20)),
    _Computed("volatility", "log", None, lambda w: np.maximum(_std(w, 20), VOLATILITY_FLOOR)),
    _Computed("volatility_ratio", "log", None, lambda w: _ratio(_std(w, 5), _std(w, 20), 1.0) + 1e-3),
    _Computed("momentum", "linear", None, lambda w: w.now("close") / w.now("close", 19) - 1.0),
    _Computed(
        "volume_ratio", "log", "volume", lambda w: _ratio(w.now("volume"), w.mean("volume", 20), 1.0) + 1e-3
    ),
    _Computed("price_position", "logit", None, lambda w: _position(w, 20)),
    _Computed("rsi", "logit", None, _rsi),
)

_EXTENDED = (
    *(_Computed(f"return_{n}", "linear", None, _scaled_return(n)) for n in (1, 4, 24, 72, 168, 720)),
    _Computed("volatility", "log", None, lambda w: volatility(w, 168)),
    _Computed("volatility_ratio", "log", None, lambda w: volatility(w, 24) / volatility(w, 168)),
    _Computed("volatility_6", "log", None, lambda w: volatility(w, 6) / volatility(w, 168)),
    _Computed("volatility_720", "log", None, lambda w: volatility(w, 720) / volatility(w, 168)),
    _Computed("season_24", "log", None, _season),
    _Computed("volume_1", "linear", "volume", _log_volume_ratio(1, 24)),
    _Computed("volume_24", "linear", "volume", _log_volume_ratio(24, 168)),
    _Computed(
        "range_24", "log", None, lambda w: _ratio(w.rms("log_range", 24), volatility(w, 24), 1.0) + 1e-3
    ),
    _Computed("price_position", "logit", None, lambda w: _position(w, 168)),
    _Computed("funding_24", "linear", "funding_rate", _funding_sum(24)),
    _Computed("funding_168", "linear", "funding_rate", _funding_sum(168)),
    _Computed("open_interest_24", "linear", "open_interest", _open_interest_change(24)),
    _Computed("open_interest_168", "linear", "open_interest", _open_interest_change(168)),
)


def _definition(computed: tuple[_Computed, ...], lookback: int, volatility_window: int) -> FeatureDefinition:
    functions = {item.name: item.compute for item in computed}

    def fill(window: Window, names: tuple[str, ...], out: Array) -> None:
        for index, name in enumerate(names):
            out[:, index] = functions[name](window)

    features = tuple(Feature(item.name, item.kind, item.needs) for item in computed)
    return FeatureDefinition(features, lookback, volatility_window, fill)


CHAPTER = FEATURE_SETS.register("chapter")(_definition(_CHAPTER, 20, 20))
EXTENDED = FEATURE_SETS.register("extended")(_definition(_EXTENDED, 720, 168))
