"""The market state: the one definition of what the model sees, for training, backtest and live alike.

Row t of `compute` uses bars t - lookback .. t and nothing else, through finite windows only, so the value at t does not
depend on how much history or future surrounds it: the whole series, a tail of `lookback + 1` bars and a
growing live buffer give the same bits.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import ConfigError, FeatureMismatch

__all__ = ["INPUTS", "OPTIONAL_INPUTS", "FeatureSet", "feature_set"]

Array = NDArray[np.float64]
Bars = Mapping[str, Array]

INPUTS = ("open", "high", "low", "close", "volume")
OPTIONAL_INPUTS = ("funding_rate", "open_interest")

_BLOCK = 4096  # rows computed at a time: bounds memory for a year of minutes
_VOLATILITY_FLOOR = 1e-8  # log-return per bar; a market that never moves has no scale of its own


@dataclass(frozen=True)
class _Feature:
    name: str
    kind: str  # how the scaler straightens it: "linear", "log" (positive) or "logit" (in [0, 1])
    needs: str | None
    compute: Callable[[_Window], Array]


class _Window:
    """Views of a block of bars from which each feature takes the rows it needs."""

    def __init__(self, bars: Bars, lookback: int, first: int, stop: int) -> None:
        begin = first - lookback
        self._bars = {name: np.ascontiguousarray(values[begin:stop]) for name, values in bars.items()}
        self._skip, self._rows = lookback, stop - first
        self._memo: dict[tuple[str, int], Array] = {}

    def now(self, name: str, back: int = 0) -> Array:
        return self._column(name)[self._skip - back : self._skip - back + self._rows]

    def last(self, name: str, n: int) -> Array:
        """Return [rows, n]: the n latest values of a column at each row, oldest first."""
        column = self._column(name)[self._skip - n + 1 : self._skip + self._rows]
        step = column.itemsize
        # sliding_window_view by hand: its checks cost a live bar more than all the sums below.
        view = np.ndarray((self._rows, n), np.float64, column, 0, (step, step))
        return view.copy()

    def rms(self, name: str, n: int) -> Array:
        key = (f"rms {name}", n)
        if key not in self._memo:
            self._memo[key] = np.sqrt((self.last(name, n) ** 2).mean(axis=1))
        return self._memo[key]

    def mean(self, name: str, n: int) -> Array:
        key = (f"mean {name}", n)
        if key not in self._memo:
            self._memo[key] = self.last(name, n).mean(axis=1)
        return self._memo[key]

    def _column(self, name: str) -> Array:
        if name not in self._bars:
            self._bars[name] = _DERIVED[name](self)
        return self._bars[name]

    def log_return(self) -> Array:
        close = np.log(self._bars["close"])
        return np.concatenate(([0.0], close[1:] - close[:-1]))

    def simple_return(self) -> Array:
        close = self._bars["close"]
        return np.concatenate(([0.0], close[1:] / close[:-1] - 1.0))

    def log_range(self) -> Array:
        return np.log(self._bars["high"] / self._bars["low"])


# The first derived return of a block has no bar before it and is set to 0; it lies at t - lookback, and no window
# below reaches that far (a window of n returns ends n - 1 <= lookback - 1 bars before t).
_DERIVED: dict[str, Callable[[_Window], Array]] = {
    "log_return": _Window.log_return,
    "simple_return": _Window.simple_return,
    "log_range": _Window.log_range,
}


def _ratio(above: Array, below: Array, degenerate: float) -> Array:
    """Divide, with a stated value where the window holds nothing to divide by."""
    safe = np.where(below > 0, below, 1.0)
    return np.where(below > 0, above / safe, degenerate)


def _volatility(window: _Window, n: int) -> Array:
    return np.maximum(window.rms("log_return", n), _VOLATILITY_FLOOR)


def _season(window: _Window) -> Array:
    """Volatility of the 24 bars that followed this hour of the week, in each of the last four weeks of hourly bars.

    Crypto never closes, but its weekends are quiet: the coming day is best told by what that weekday was like.
    """
    returns = window.last("log_return", 672)
    coming = np.concatenate([returns[:, 504 - back : 528 - back] for back in (0, 168, 336, 504)], axis=1)
    same_day = np.sqrt((coming**2).mean(axis=1))
    return np.asarray(np.maximum(same_day, _VOLATILITY_FLOOR) / _volatility(window, 672))


def _scaled_return(horizon: int) -> Callable[[_Window], Array]:
    def compute(window: _Window) -> Array:
        move = np.log(window.now("close")) - np.log(window.now("close", horizon))
        return np.asarray(move / (_volatility(window, 168) * np.sqrt(horizon)))

    return compute


def _position(window: _Window, n: int) -> Array:
    high, low = window.last("high", n).max(axis=1), window.last("low", n).min(axis=1)
    return _ratio(window.now("close") - low, high - low, 0.5)


def _log_volume_ratio(short: int, long: int) -> Callable[[_Window], Array]:
    def compute(window: _Window) -> Array:
        above = window.mean("volume", short) if short > 1 else window.now("volume")
        # One per mille of the long mean stands for "no trade at all", so that an empty bar stays finite.
        return np.log(_ratio(above, window.mean("volume", long), 1.0) + 1e-3)

    return compute


def _funding_sum(n: int) -> Callable[[_Window], Array]:
    return lambda window: window.last("funding_rate", n).sum(axis=1) * 1e4  # basis points


def _open_interest_change(n: int) -> Callable[[_Window], Array]:
    def compute(window: _Window) -> Array:
        now, then = window.now("open_interest"), window.now("open_interest", n)
        known = (now > 0) & (then > 0)  # 0 marks "not published": no change is assumed
        return np.where(known, np.log(np.where(known, now, 1.0) / np.where(known, then, 1.0)), 0.0)

    return compute


def _sum_of_returns(n: int) -> Callable[[_Window], Array]:
    return lambda window: window.last("simple_return", n).sum(axis=1)


def _rsi(window: _Window) -> Array:
    returns = window.last("simple_return", 14)
    gains, losses = np.maximum(returns, 0.0).mean(axis=1), np.maximum(-returns, 0.0).mean(axis=1)
    return _ratio(gains, gains + losses, 0.5)


def _std(window: _Window, n: int) -> Array:
    return np.asarray(window.last("simple_return", n).std(axis=1, ddof=1))


_CHAPTER = (
    *(_Feature(f"return_{n}", "linear", None, _sum_of_returns(n)) for n in (1, 5, 10, 20)),
    _Feature("volatility", "log", None, lambda w: np.maximum(_std(w, 20), _VOLATILITY_FLOOR)),
    _Feature("volatility_ratio", "log", None, lambda w: _ratio(_std(w, 5), _std(w, 20), 1.0) + 1e-3),
    _Feature("momentum", "linear", None, lambda w: w.now("close") / w.now("close", 19) - 1.0),
    _Feature(
        "volume_ratio", "log", None, lambda w: _ratio(w.now("volume"), w.mean("volume", 20), 1.0) + 1e-3
    ),
    _Feature("price_position", "logit", None, lambda w: _position(w, 20)),
    _Feature("rsi", "logit", None, _rsi),
)

_EXTENDED = (
    *(_Feature(f"return_{n}", "linear", None, _scaled_return(n)) for n in (1, 4, 24, 72, 168, 720)),
    _Feature("volatility", "log", None, lambda w: _volatility(w, 168)),
    _Feature("volatility_ratio", "log", None, lambda w: _volatility(w, 24) / _volatility(w, 168)),
    _Feature("volatility_6", "log", None, lambda w: _volatility(w, 6) / _volatility(w, 168)),
    _Feature("volatility_720", "log", None, lambda w: _volatility(w, 720) / _volatility(w, 168)),
    _Feature("season_24", "log", None, _season),
    _Feature("volume_1", "linear", None, _log_volume_ratio(1, 24)),
    _Feature("volume_24", "linear", None, _log_volume_ratio(24, 168)),
    _Feature(
        "range_24", "log", None, lambda w: _ratio(w.rms("log_range", 24), _volatility(w, 24), 1.0) + 1e-3
    ),
    _Feature("price_position", "logit", None, lambda w: _position(w, 168)),
    _Feature("funding_24", "linear", "funding_rate", _funding_sum(24)),
    _Feature("funding_168", "linear", "funding_rate", _funding_sum(168)),
    _Feature("open_interest_24", "linear", "open_interest", _open_interest_change(24)),
    _Feature("open_interest_168", "linear", "open_interest", _open_interest_change(168)),
)

_SETS: dict[str, tuple[tuple[_Feature, ...], int, int]] = {
    "chapter": (_CHAPTER, 20, 20),
    "extended": (_EXTENDED, 720, 168),
}
_BY_NAME = {name: {item.name: item for item in features} for name, (features, _, _) in _SETS.items()}


@dataclass(frozen=True)
class FeatureSet:
    """Name the features of a model, the bars they look back on and the scale of its returns.

    Attributes:
        name: "chapter" (the chapter's ten) or "extended".
        names: feature names, the columns of `compute`.
        kinds: per feature "linear", "log" or "logit", the straightening its scaler applies.
        lookback: bars before t that row t may use.
        volatility_window: bars behind the volatility (root mean square log-return per bar) that scales returns.
    """

    name: str
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    lookback: int
    volatility_window: int

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns of bars that `compute` reads."""
        needs = {item.needs for item in self._features() if item.needs}
        return INPUTS + tuple(name for name in OPTIONAL_INPUTS if name in needs)

    @property
    def return_index(self) -> int:
        """Column of the one-bar return, the coordinate whose score is the `state` signal."""
        return self.names.index("return_1")

    def compute(self, bars: Bars, step_ms: int | None = None) -> Array:
        """Compute the market state of every bar, float64 [T, F].

        The first `lookback` rows are NaN. With `step_ms` and a "timestamp" column (UTC ms), rows whose lookback
        spans a missing bar are NaN too: features are never computed across a gap.

        Raises:
            FeatureMismatch: if a column is missing; the message names it.
        """
        return self.compute_with_volatility(bars, step_ms)[0]

    def compute_with_volatility(self, bars: Bars, step_ms: int | None = None) -> tuple[Array, Array]:
        """Compute `compute` [T, F] and `volatility` [T] in one pass over the bars.

        Raises:
            FeatureMismatch: if a column is missing; the message names it.
        """
        columns = self._columns(bars)
        total = len(columns["close"])
        out, volatility = np.full((total, len(self.names)), np.nan), np.full(total, np.nan)
        features = self._features()
        for window, rows in self._windows(columns):
            for index, item in enumerate(features):
                out[rows, index] = item.compute(window)
            volatility[rows] = _volatility(window, self.volatility_window)
        out[_rows_across_gaps(bars, self.lookback, step_ms)] = np.nan
        return out, volatility

    def volatility(self, bars: Bars) -> Array:
        """Compute the root mean square log-return per bar over `volatility_window` bars, [T] (NaN in the warm-up)."""
        columns = {"close": np.asarray(bars["close"], dtype=np.float64)}
        out = np.full(len(columns["close"]), np.nan)
        for window, rows in self._windows(columns):
            out[rows] = _volatility(window, self.volatility_window)
        return out

    def _windows(self, columns: dict[str, Array]) -> Iterator[tuple[_Window, slice]]:
        total = len(columns["close"])
        for first in range(self.lookback, total, _BLOCK):
            stop = min(first + _BLOCK, total)
            yield _Window(columns, self.lookback, first, stop), slice(first, stop)

    def _features(self) -> tuple[_Feature, ...]:
        known = _BY_NAME[self.name]
        return tuple([known[name] for name in self.names])

    def _columns(self, bars: Bars) -> dict[str, Array]:
        inputs = self.inputs
        missing = [name for name in inputs if name not in bars]
        if missing:
            raise FeatureMismatch(
                f"the feature set {self.name!r} needs the column(s) {', '.join(missing)}; found {', '.join(bars)}. "
                "Load bars that carry them, or train a model without them."
            )
        return {name: np.asarray(bars[name], dtype=np.float64) for name in inputs}


def feature_set(name: str, available: tuple[str, ...] | None = None) -> FeatureSet:
    """Return a feature set by name, without the features whose optional inputs are not in `available`.

    Raises:
        ConfigError: for an unknown name.
    """
    if name not in _SETS:
        near = difflib.get_close_matches(name, _SETS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known sets: {', '.join(_SETS)}"
        raise ConfigError(f"unknown feature set {name!r}; {hint}")
    features, lookback, volatility_window = _SETS[name]
    kept = [item for item in features if available is None or item.needs is None or item.needs in available]
    return FeatureSet(
        name, tuple(i.name for i in kept), tuple(i.kind for i in kept), lookback, volatility_window
    )


def _rows_across_gaps(bars: Bars, lookback: int, step_ms: int | None) -> NDArray[np.bool_]:
    total = len(bars["close"])
    across = np.zeros(total, dtype=bool)
    if step_ms is None or "timestamp" not in bars or total < 2:
        return across
    for jump in np.flatnonzero(np.diff(bars["timestamp"]) != step_ms) + 1:
        across[jump : jump + lookback] = True
    return across
