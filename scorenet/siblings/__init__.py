"""Aliases of this distribution's packages, used only if a user's module has one of their names.

`scorenet.siblings.feeds` is loaded from the same files as `feeds`. Imports inside a package are relative and work
unchanged. `runs` imports the other packages by their plain names; its loader rewrites these imports to the aliases.
"""

from __future__ import annotations

import ast
import importlib.abc
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

from ..base.siblings import ALIAS, ROOT, taken_names

__all__: list[str] = []

__path__ = [str(ROOT)]


class _RenamingLoader(SourceFileLoader):
    """Compile a module; imports of taken names are replaced by imports from this package."""

    def source_to_code(self, data: Any, path: Any, *, _optimize: int = -1) -> CodeType:  # type: ignore[override]
        tree, taken = ast.parse(data), taken_names()
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        for node in imports:
            if node.level == 0 and str(node.module).partition(".")[0] in taken:
                node.module = f"{ALIAS}.{node.module}"
        code: CodeType = compile(tree, path, "exec", dont_inherit=True, optimize=_optimize)
        return code

    def path_stats(self, path: str) -> Any:
        # Without a time stamp Python does not use __pycache__, which holds the code for the plain names.
        raise OSError(f"{path} is always recompiled")


class _RunsFinder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not f"{fullname}.".startswith(f"{ALIAS}.runs."):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _RenamingLoader(fullname, spec.loader.path)
        return spec


sys.meta_path.insert(0, _RunsFinder())
