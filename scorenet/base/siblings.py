"""Find this distribution's `feeds`, `strategies` and `runs`, even if a user's folder contains such a name.

Many Backtrader users keep a `strategies/` or a `feeds.py` next to their scripts, and Python imports the first match
on its path. In that case this distribution's package is loaded as `scorenet.siblings.NAME`. The user's modules are
not changed.
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
"""The folder of all four packages: the checkout, or site-packages."""

_reported: set[str] = set()


def sibling(name: str) -> ModuleType:
    """Import one of `NAMES` of this distribution; warn once if another package has its name."""
    taken = taken_names()
    for other, path in taken.items():
        if other not in _reported:
            _reported.add(other)
            logging.getLogger("scorenet").warning(
                "scorenet: %r is %s here, not scorenet's own %s; import scorenet's names from scorenet "
                "(from scorenet import ScoreStrategy, BarsData), or rename your module",
                other,
                path,
                ROOT / other,
            )
    # `runs` imports the others by their plain names, so it needs its alias if any name is taken.
    if name in taken or (name == "runs" and taken):
        return importlib.import_module(f"{ALIAS}.{name}")
    return importlib.import_module(name)


def taken_names() -> dict[str, str]:
    """Return those of `NAMES` that mean another package in this process, with the path of that package."""
    places = {name: _place(name) for name in NAMES}
    return {name: place for name, place in places.items() if place != str(ROOT / name)}


def _place(name: str) -> str:
    """Return the folder, or the file of a plain module, that `import NAME` would load; "nothing" if there is none."""
    loaded = sys.modules.get(name)
    spec = importlib.util.find_spec(name) if loaded is None else loaded.__spec__
    if spec is None:
        return "nothing" if loaded is None else str(getattr(loaded, "__file__", "a module without a file"))
    if spec.submodule_search_locations is not None:
        return str(Path(next(iter(spec.submodule_search_locations), "")).resolve())
    return str(Path(spec.origin or "").resolve())
