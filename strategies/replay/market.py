"""What a replay needs of the markets and the model's outputs: arrays on one clock, which workers can share."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Columns", "Facts", "ReplayMarket"]

_FACTS = "market.json"


class Columns(NamedTuple):
    """Arrays over N symbols and U closes of the common clock; without a bar, a price is that of the bar before.

    Attributes:
        close_ms: the clock: all times at which any symbol has a bar close, UTC ms [U].
        has_bar: whether the symbol has a bar at that close [N, U].
        bars: number of its bars so far [N, U].
        stamp: close of its newest bar, UTC ms [N, U]; 0 before the first.
        invented: whether the bar was added where bars are missing [N, U].
        open, high, low, close, volume: prices in quote currency, volume in base units [N, U].
        mark_open, mark_high, mark_low, mark_close: the mark price; the traded price where the data has none [N, U].
        funding: funding rate that settles at the bar's open, a fraction; 0 where none [N, U].
        missing: bars missing before this one [N, U].
        model: number of the model of the schedule that evaluates the bar, -1 before the first [N, U].
        regime: number of the market's regime, -1 where it is not known [N, U].
        score ... strength: the fields of `scorenet.Evaluation`, but the volatility is annual [N, U].
    """

    close_ms: NDArray[np.int64]
    has_bar: NDArray[np.bool_]
    bars: NDArray[np.int32]
    stamp: NDArray[np.int64]
    invented: NDArray[np.bool_]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]
    mark_open: NDArray[np.float64]
    mark_high: NDArray[np.float64]
    mark_low: NDArray[np.float64]
    mark_close: NDArray[np.float64]
    funding: NDArray[np.float64]
    missing: NDArray[np.int32]
    model: NDArray[np.int16]
    regime: NDArray[np.int16]
    score: NDArray[np.float64]
    signal: NDArray[np.float64]
    confidence: NDArray[np.float64]
    score_std: NDArray[np.float64]
    log_density: NDArray[np.float64]
    density_rank: NDArray[np.float64]
    annual_volatility: NDArray[np.float64]
    expected_return: NDArray[np.float64]
    return_std: NDArray[np.float64]
    lower_tail: NDArray[np.float64]
    upper_tail: NDArray[np.float64]
    strength: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is the same for all closes of a market.

    Attributes:
        symbols: names of the N symbols, in the order of the datas of a Cerebro.
        bar_ms: bar size in ms.
        lookback: bars before the current one that the models need.
        horizon: bars ahead of the models' main forecast.
        trade_from: first bar close at which trading may begin, UTC ms.
        since: first bar close that figures count, UTC ms.
        signal: "forward" or "state".
        tails: whether the tail means are known, which some position rules read.
        learned_until: last close that trained or calibrated each model, UTC ms; None where a model does not say.
        regime_names: names of each model's regimes by number; empty if the regimes were not computed.
        has_volume: whether every bar has a volume, which `slippage_model="impact"` needs.
    """

    symbols: tuple[str, ...]
    bar_ms: int
    lookback: int
    horizon: int
    trade_from: float
    since: int
    signal: str
    tails: bool
    learned_until: tuple[int | None, ...]
    regime_names: tuple[tuple[str, ...], ...]
    has_volume: bool


@dataclass(frozen=True)
class ReplayMarket:
    """The markets and model outputs of a study, computed once and shared by all its sets: `prepare` returns it.

    It can be pickled. `save` writes a folder whose arrays several processes can map into memory.
    """

    facts: Facts
    columns: Columns

    @property
    def first(self) -> int:
        """Return the number of the first close that figures count."""
        return int(np.searchsorted(self.columns.close_ms, self.facts.since, side="left"))

    @property
    def times(self) -> NDArray[np.int64]:
        """Return the bar closes that figures count, UTC ms [B]."""
        return self.columns.close_ms[self.first :]

    @property
    def nbytes(self) -> int:
        """Return the size of the arrays in bytes; one that is used under two names counts once."""
        return sum({id(column): column.nbytes for column in self.columns}.values())

    def save(self, folder: str | Path) -> Path:
        """Write the arrays and facts into a folder, and return it."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        for name, column in zip(Columns._fields, self.columns, strict=True):
            np.save(path / f"{name}.npy", column)
        (path / _FACTS).write_text(json.dumps(asdict(self.facts)), encoding="utf-8")
        return path

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a folder of `save`; the arrays are mapped, not copied: processes share them.

        Raises:
            FileNotFoundError: the folder has no market.
        """
        path = Path(folder)
        facts: dict[str, Any] = json.loads((path / _FACTS).read_text(encoding="utf-8"))
        for name in ("symbols", "learned_until"):
            facts[name] = tuple(facts[name])
        facts["regime_names"] = tuple(tuple(names) for names in facts["regime_names"])
        # Plain arrays over the mapped memory: compiled code is made once for both kinds.
        arrays = (np.asarray(np.load(path / f"{name}.npy", mmap_mode="c")) for name in Columns._fields)
        return cls(Facts(**facts), Columns(*arrays))
