"""The output folder of a run: written completely or not at all; read errors say what to do."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
import pandas as pd
import pyarrow as pa

from feeds.bars.caps import TooLarge
from feeds.bars.parquet import UNREADABLE, check_parquet
from scorenet.base.error_line import error_line
from scorenet.base.files import (
    atomic_path,
    read_regular,
    replace_folder,
    restore_folder,
    staging_folder,
    write_text,
)
from scorenet.base.printable import printable

from . import toml
from .errors import CorruptRun, NotARunDir, RunDirError, RunDirMissing, UnwritableRun
from .figures import check_figures
from .frames import SCHEMAS, conform
from .jsonfile import dump_json, parse_json
from .manifest import manifest

__all__ = [
    "KNOWN_FILES",
    "CorruptRun",
    "NotARunDir",
    "RunDir",
    "RunDirError",
    "RunDirMissing",
    "UnwritableRun",
    "dated",
    "manifest",
]

KNOWN_FILES = frozenset(
    {
        "metrics.json",
        "manifest.json",
        "config.toml",
        "report.html",
        "trials.parquet",
        "held_out.parquet",
        "folds.parquet",
        "best.toml",
    }
    | {f"{name}.parquet" for name in SCHEMAS}
)
"""The names of all files that a run may have written."""

_MOST_BYTES = 256 << 20  # of a JSON or TOML file


class RunDir:
    """One run folder.

    Attributes:
        path: the folder that holds the files now; during `create` a hidden folder next to the final one.
        target: the final folder.
    """

    def __init__(self, path: Path, target: Path | None = None) -> None:
        self.path = path
        self.target = target or path

    @classmethod
    @contextmanager
    def create(cls, target: str | Path, *, keep_earlier: bool = False) -> Iterator[RunDir]:
        """Yield a temporary folder to fill; it is renamed if the block succeeds and removed otherwise.

        An earlier run of the same name stays until then and is replaced completely; with `keep_earlier` it moves to
        `target-TIME`, the time at which it was made.

        Raises:
            NotARunDir: The path holds files that no run wrote.
            UnwritableRun: The folder cannot be created.
        """
        final = Path(target).resolve()
        with _writing(final):
            restore_folder(final)
        _check_replaceable(final)
        with ExitStack() as stack:
            with _writing(final):
                staging = stack.enter_context(staging_folder(final))
            run = cls(staging, final)
            yield run
            run._require("manifest.json", "metrics.json")
            with _writing(final):
                if keep_earlier:
                    _move_aside(final)
                replace_folder(staging, final)
            run.path = final

    @classmethod
    def open(cls, path: str | Path) -> RunDir:
        """Return an existing run folder.

        Raises:
            RunDirMissing: There is no such folder.
            NotARunDir: The folder holds no run.
        """
        folder = Path(path).resolve()
        with _writing(folder):
            restore_folder(folder)
        if not folder.exists():
            raise RunDirMissing(f"no run folder at {path}: run `scorenet backtest ... --out {path}` first")
        if not folder.is_dir():
            raise NotARunDir(f"{path} is a file, expected the folder that `scorenet backtest --out` wrote")
        missing = [name for name in ("manifest.json", "metrics.json") if not (folder / name).is_file()]
        if missing:
            raise NotARunDir(f"{path} is not a run folder: it has no {' and no '.join(missing)}")
        return cls(folder)

    def write_frame(self, name: str, frame: pd.DataFrame) -> Path:
        """Write one table as parquet; tables of the contract are first converted to its columns and types.

        Raises:
            UnwritableRun: The file cannot be written.
        """
        target = self.path / f"{name}.parquet"
        table = conform(name, frame) if name in SCHEMAS else frame
        with _writing(target), atomic_path(target) as temporary:
            table.to_parquet(temporary, index=False)
        return target

    def write_metrics(self, metrics: Mapping[str, Any]) -> Path:
        """Write metrics.json; numbers that are not finite become null."""
        return self._write_json("metrics.json", metrics)

    def write_manifest(self, content: Mapping[str, Any]) -> Path:
        """Write manifest.json, see `manifest`."""
        return self._write_json("manifest.json", content)

    def write_config(self, config: Mapping[str, Any]) -> Path:
        """Write config.toml without values that are None."""
        return self._write_text("config.toml", toml.dumps(config))

    def write_toml(self, name: str, content: Mapping[str, Any]) -> Path:
        """Write a file of settings without values that are None."""
        return self._write_text(name, toml.dumps(content))

    def write_report(self, html: str) -> Path:
        """Write report.html."""
        return self._write_text("report.html", html)

    def has(self, name: str) -> bool:
        """Return whether the folder has a table of this name."""
        return (self.path / f"{name}.parquet").is_file()

    def read_frame(self, name: str) -> pd.DataFrame:
        """Return one table.

        Raises:
            RunDirMissing: The file is missing.
            CorruptRun: The file is not parquet, or lacks a column.
        """
        path = self._require(f"{name}.parquet")
        try:
            check_parquet(path)
            frame = pd.read_parquet(path)
            return conform(name, frame) if name in SCHEMAS else frame
        except (TooLarge, *UNREADABLE) as error:
            raise CorruptRun(f"cannot read {path}: {error_line(error)}; run the backtest again") from error

    def read_metrics(self) -> dict[str, Any]:
        """Return metrics.json.

        Raises:
            CorruptRun: The file is not JSON, or a figure is not a number.
        """
        metrics = self._read("metrics.json", parse_json)
        try:
            check_figures(metrics)
        except ValueError as error:
            raise CorruptRun(f"{self.path / 'metrics.json'}: {error}; run the backtest again") from error
        return metrics

    def read_manifest(self) -> dict[str, Any]:
        """Return manifest.json."""
        return self._read("manifest.json", parse_json)

    def read_config(self) -> dict[str, Any]:
        """Return config.toml."""
        return self._read("config.toml", toml.loads)

    def _require(self, *names: str) -> Path:
        """Return the path of the last of the named files, all of which must exist."""
        for name in names:
            if not (self.path / name).is_file():
                raise RunDirMissing(f"run folder {self.target} has no {name}; run the backtest again")
        return self.path / names[-1]

    def _read(self, name: str, parse: Callable[[str], Any]) -> dict[str, Any]:
        path = self._require(name)
        try:
            content = parse(read_regular(path, _MOST_BYTES).decode("utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise CorruptRun(f"cannot read {path}: {error_line(error)}; run the backtest again") from error
        if not isinstance(content, dict):
            raise CorruptRun(f"cannot read {path}: expected a table of keys, found {type(content).__name__}")
        return content

    def _write_json(self, name: str, content: Mapping[str, Any]) -> Path:
        return self._write_text(name, dump_json(content))

    def _write_text(self, name: str, text: str) -> Path:
        target = self.path / name
        with _writing(target):
            write_text(target, text)
        return target


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Turn errors of the disk into an error of one line."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error_line(error)
        raise UnwritableRun(
            f"cannot write {target}: {reason}; choose another --out or free the disk"
        ) from error


def dated(command: str, folder: str | Path = "out") -> str:
    """Return the name of a new run folder, such as out/backtest-20240701-120000 (UTC)."""
    name = f"{command}-{dt.datetime.now(dt.UTC):%Y%m%d-%H%M%S}"
    names = (name, *(f"{name}-{count}" for count in range(2, 1_000)))
    return str(next(path for path in map(Path(folder).joinpath, names) if not path.exists()))


def _move_aside(final: Path) -> None:
    """Rename an earlier run after the time at which it was made."""
    if not (final / "manifest.json").is_file():
        return
    made = dt.datetime.fromtimestamp((final / "manifest.json").stat().st_mtime, dt.UTC)
    name = f"{final.name}-{made:%Y%m%d-%H%M%S}"
    names = (name, *(f"{name}-{count}" for count in range(2, 1_000)))
    kept = next(path for path in map(final.with_name, names) if not path.exists())
    final.rename(kept)
    click.echo(f"scorenet: the earlier run is kept in {printable(str(kept))}; --force replaces it", err=True)


def _check_replaceable(final: Path) -> None:
    """Raise an error if the path holds anything that a run did not write."""
    if not final.name:
        raise NotARunDir(f"{final} cannot be a run folder; name a new one, for example out/run")
    if not final.exists():
        return
    if not final.is_dir():
        raise NotARunDir(f"{final} is a file; choose another --out")
    names = {entry.name for entry in final.iterdir()}
    if names and not {"manifest.json", "metrics.json"} <= names:
        raise NotARunDir(f"{final} exists and is not a run folder; choose another --out or empty it")
    foreign = sorted(names - KNOWN_FILES)
    if foreign:
        listed = ", ".join(foreign[:3])
        raise NotARunDir(f"{final} also holds {listed}, which no run wrote; move it or choose another --out")
