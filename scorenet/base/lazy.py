"""Lazy exports: a package imports a module on the first use of one of its names."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from .siblings import NAMES, sibling

__all__ = ["lazy_exports"]


def lazy_exports(
    package: str, exports: Mapping[str, tuple[str, ...]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and `__dir__` of a package with lazy exports.

    `exports` maps modules to the names taken from them. ".config" is a module of the package, "feeds" a package of
    this distribution, "runs.api" a part of one.
    """
    home = {name: module for module, names in exports.items() for name in names}

    def find(name: str) -> Any:
        module = home.get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        root, _, rest = module.partition(".")
        found = sibling(root) if root in NAMES else importlib.import_module(module, package)
        if root in NAMES and rest:
            found = importlib.import_module(f"{found.__name__}.{rest}")
        value = getattr(found, name)
        setattr(sys.modules[package], name, value)
        return value

    return find, lambda: sorted({*vars(sys.modules[package]), *home})
