"""Run folders: tables, JSON and manifest, written completely or not at all."""

from .contents import LoadedRun, milliseconds
from .frames import conform, empty_frame
from .jsonfile import dump_json, parse_json, plain
from .manifest import versions
from .rundir import RunDir, RunDirError, UnwritableRun

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
