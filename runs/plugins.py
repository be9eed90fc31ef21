"""`--plugin FILE.py`: run a user's file, so that settings and models can use the names that it registers."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from pathlib import Path

from scorenet.errors import ConfigError

__all__ = ["PluginError", "load_plugin", "loaded_plugins", "plugin_identity", "plugin_module"]

_loaded: dict[Path, str] = {}


class PluginError(ConfigError):
    """Report a plugin file that is missing or raises an error."""


def load_plugin(path: str | Path, *, option: str = "--plugin") -> None:
    """Run a Python file, once per process; its decorators register the user's names.

    The file is imported under a module name of its own, so that it cannot replace another module or plugin. `option`
    names the command's option in errors.

    Raises:
        PluginError: the file is missing or raises an error; the message names the line.
    """
    file = Path(path).resolve()
    if file in _loaded:
        return
    if file.suffix != ".py" or not file.is_file():
        raise PluginError(f"{option}: expected a Python file, found {str(path)!r}")
    name = plugin_module(file)
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise PluginError(f"{option}: {path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        source = file.read_bytes()
        spec.loader.exec_module(module)
    except Exception as error:  # the user's file may raise any error; the message names its line
        del sys.modules[name]
        line = _line_of(error, file)
        where = path if line is None else f"{path}, line {line}"
        raise PluginError(f"{option}: {where}: {type(error).__name__}: {_first_line(error)}") from error
    _loaded[file] = hashlib.sha256(source).hexdigest()


def plugin_module(path: str | Path) -> str:
    """Return the name of the module that `load_plugin` makes of a file."""
    return f"scorenet_plugin_{hashlib.sha256(str(Path(path).resolve()).encode()).hexdigest()[:12]}"


def loaded_plugins() -> list[dict[str, str]]:
    """Return the path and the sha256 of every plugin file that this process has run."""
    return [{"path": str(path), "sha256": digest} for path, digest in _loaded.items()]


def plugin_identity() -> dict[str, list[str]]:
    """Return {"plugins": the sha256 of each plugin file}, {} without any: a rule's name is not its code."""
    found = sorted(plugin["sha256"] for plugin in loaded_plugins())
    return {"plugins": found} if found else {}


def _line_of(error: Exception, file: Path) -> int | None:
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return error.lineno
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)
    ]
    return lines[-1] if lines else None


def _first_line(error: Exception) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return text.strip().splitlines()[0] if text.strip() else "no message"
