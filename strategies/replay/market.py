"""What a replay needs of the markets and the model's outputs: arrays on one clock, which workers can share."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from scorenet.calendars import Clock, clock_of

from .columns import CLOCK, COLUMNS

__all__ = ["Facts", "ReplayMarket"]

_FACTS, _VALUES = "market.json", "market.npy"


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
        calendar: trading calendar of the models' markets; None if they never close.
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
    calendar: str | None = None

    @property
    def clock(self) -> Clock:
        """Return the clock of the calendar."""
        return clock_of(self.calendar, self.bar_ms)


@dataclass(frozen=True)
class ReplayMarket:
    """The markets and model outputs of a study, computed once and shared by all its sets: `prepare` returns it.

    It can be pickled. `save` writes a folder whose array several processes can map into memory.

    Attributes:
        facts: what is the same for all closes.
        values: the columns of `columns.COLUMNS` [columns, N, U].
    """

    facts: Facts
    values: NDArray[np.float64]

    def column(self, name: str) -> NDArray[np.float64]:
        """Return a column by its name in `columns.COLUMNS` [N, U]."""
        found: NDArray[np.float64] = self.values[COLUMNS.index(name)]
        return found

    @property
    def clock(self) -> NDArray[np.int64]:
        """Return all closes, UTC ms [U]."""
        return self.values[CLOCK, 0].astype(np.int64)

    @property
    def first(self) -> int:
        """Return the number of the first close that figures count."""
        return int(np.searchsorted(self.values[CLOCK, 0], self.facts.since, side="left"))

    @property
    def times(self) -> NDArray[np.int64]:
        """Return the closes that figures count, UTC ms [B]."""
        return self.clock[self.first :]

    def save(self, folder: str | Path) -> Path:
        """Write the market into a folder, and return it."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        np.save(path / _VALUES, self.values)
        (path / _FACTS).write_text(json.dumps(asdict(self.facts)), encoding="utf-8")
        return path

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a folder of `save`; the array is mapped, not copied: processes share it.

        Raises:
            FileNotFoundError: the folder has no market.
        """
        path = Path(folder)
        facts: dict[str, Any] = json.loads((path / _FACTS).read_text(encoding="utf-8"))
        for name in ("symbols", "learned_until"):
            facts[name] = tuple(facts[name])
        facts["regime_names"] = tuple(tuple(names) for names in facts["regime_names"])
        return cls(Facts(**facts), np.asarray(np.load(path / _VALUES, mmap_mode="r")))
