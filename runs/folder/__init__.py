"""Run folders: tables, JSON and manifest, written completely or not at all; each name is imported at its first use."""

from typing import TYPE_CHECKING

from scorenet.base.lazy import lazy_exports

if TYPE_CHECKING:
    from .contents import LoadedRun, milliseconds
    from .errors import RunDirError, UnwritableRun
    from .frames import conform, empty_frame
    from .jsonfile import dump_json, parse_json, plain
    from .manifest import versions
    from .rundir import RunDir

_EXPORTS = {
    ".contents": ("LoadedRun", "milliseconds"),
    ".errors": ("RunDirError", "UnwritableRun"),
    ".frames": ("conform", "empty_frame"),
    ".jsonfile": ("dump_json", "parse_json", "plain"),
    ".manifest": ("versions",),
    ".rundir": ("RunDir",),
}

__all__ = [
    "LoadedRun",
    "RunDir",
    "RunDirError",
    "UnwritableRun",
    "conform",
    "dump_json",
    "empty_frame",
    "milliseconds",
    "parse_json",
    "plain",
    "versions",
]

__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
