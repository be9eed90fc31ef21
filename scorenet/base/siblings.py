"""Find `feeds`, `strategies` and `runs` of this distribution, also where a user's own folder has taken such a name.

These names are common: many Backtrader users keep a `strategies/` or a `feeds.py` beside their scripts, and Python
takes what comes first on its path. A package whose name is taken is loaded as `scorenet.siblings.NAME` from the place
where this distribution lies; nothing of the user's is touched.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from pathlib import Path
from types import ModuleType

__all__ = ["ALIAS", "NAMES", "ROOT", "sibling", "taken_names"]

NAMES = ("feeds", "strategies", "runs")

ALIAS = "scorenet.siblings"

ROOT = Path(__file__).resolve().parents[2]
"""The folder that holds all four packages: of the checkout, or site-packages."""

_reported: set[str] = set()


def sibling(name: str) -> ModuleType:
    """Import one of `NAMES` of this distribution; where somebody else's package has its name, say so once."""
    taken = taken_names()
    for other, path in taken.items():
        if other not in _reported:
            _reported.add(other)
            logging.getLogger("scorenet").warning(
                "scorenet: %r is %s here, not scorenet's own %s; take scorenet's names from scorenet "
                "(from scorenet import ScoreStrategy, BarsData), or rename yours",
                other,
                path,
                ROOT / other,
            )
    # `runs` imports the others by their plain names, so one taken name is enough to need the alias.
    if name in taken or (name == "runs" and taken):
        return importlib.import_module(f"{ALIAS}.{name}")
    return importlib.import_module(name)


def taken_names() -> dict[str, str]:
    """Return which of `NAMES` mean somebody else's package in this process, and the path of that package."""
    places = {name: _place(name) for name in NAMES}
    return {name: place for name, place in places.items() if place != str(ROOT / name)}


def _place(name: str) -> str:
    """Return the folder, or the file of a plain module, that `import NAME` means; "nothing" if it means none."""
    loaded = sys.modules.get(name)
    spec = importlib.util.find_spec(name) if loaded is None else loaded.__spec__
    if spec is None:
        return "nothing" if loaded is None else str(getattr(loaded, "__file__", "a module without a file"))
    if spec.submodule_search_locations is not None:
        return str(Path(next(iter(spec.submodule_search_locations), "")).resolve())
    return str(Path(spec.origin or "").resolve())
