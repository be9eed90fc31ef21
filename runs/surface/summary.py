"""The figures of the surface for metrics.json."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from .axes import axes_of
from .importance import importance_of
from .stability import stability

__all__ = ["summary"]


def summary(trials: pd.DataFrame, objective: str, best: int, *, smaller: bool = False) -> dict[str, Any]:
    """Return importance and stability of a trial table; `best` is the number of the best trial."""
    complete = trials[trials["status"] == "complete"].reset_index(drop=True)
    axes = axes_of(complete)
    values = complete[objective].to_numpy(np.float64)
    found = importance_of(complete, axes, objective)
    place = int(np.flatnonzero(complete["number"] == best)[0])
    around = stability(axes, values, place, smaller=smaller)
    return {
        "importance": None if found is None else found.alone,
        "interactions": None if found is None else {" x ".join(names): v for names, v in found.pairs.items()},
        "importance_fit": None if found is None else found.fit,
        "stability": None if around is None else around.to_dict(),
    }
