"""The table of a study: a row per trial with number, settings, metrics, status and reason."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from scorenet.base.files import atomic_path

from ..folder.errors import UnwritableRun
from ..search import Dimension, FloatRange, IntRange, SearchSpace
from .journal import Row
from .outcome import METRICS

__all__ = ["PREFIX", "setting_kinds", "table_of", "write_table"]

PREFIX = "params_"
"""Before the name of a setting in a column, so that no setting can collide with a metric."""

_PIECE = 20_000  # rows in memory at once


def setting_kinds(space: SearchSpace) -> dict[str, str]:
    """Return the column type of each searched setting: Int64, float64, boolean, or string (lists are JSON text)."""
    return {name: _kind(dimension) for name, dimension in space.dimensions.items()}


def table_of(rows: Iterable[Row], kinds: Mapping[str, str]) -> pd.DataFrame:
    """Return the rows as one table; `kinds` are the settings that were searched, see `setting_kinds`."""
    pieces = [pd.DataFrame(_columns(piece, kinds)) for piece in _pieces(rows)]
    return pd.concat(pieces, ignore_index=True) if pieces else pd.DataFrame(_columns([], kinds))


def write_table(path: Path, rows: Iterable[Row], kinds: Mapping[str, str]) -> None:
    """Write the rows as a parquet file, piece by piece: memory does not grow with the number of trials.

    Raises:
        UnwritableRun: the file cannot be written.
    """
    empty = pa.Table.from_pandas(pd.DataFrame(_columns([], kinds)), preserve_index=False)
    fields = {"status": pa.string(), "reason": pa.string()}
    schema = pa.schema([(field.name, fields.get(field.name, field.type)) for field in empty.schema])
    try:
        with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
            for piece in _pieces(rows):
                writer.write_table(pa.Table.from_pandas(pd.DataFrame(_columns(piece, kinds)), schema, False))
    except (OSError, pa.ArrowException) as error:
        raise UnwritableRun(f"cannot write {path}: {error}; free the disk") from error


def _pieces(rows: Iterable[Row]) -> Iterator[list[Row]]:
    left = iter(rows)
    while piece := list(islice(left, _PIECE)):
        yield piece


def _columns(rows: list[Row], kinds: Mapping[str, str]) -> dict[str, Any]:
    columns: dict[str, Any] = {"number": pd.array([row["number"] for row in rows], dtype="int64")}
    for name, kind in kinds.items():
        values = [row["params"][name] for row in rows]
        shown = pd.Series([_text(v) for v in values] if kind == "string" else values, dtype=object)
        columns[PREFIX + name] = shown.astype(cast(Any, kind))
    for name in METRICS:
        columns[name] = pd.array([row["metrics"].get(name) for row in rows], dtype="float64")
    columns["status"] = pd.array([row["status"] for row in rows], dtype="string")
    columns["reason"] = pd.array([row["reason"] for row in rows], dtype="string")
    return columns


def _kind(dimension: Dimension) -> str:
    if isinstance(dimension, IntRange):
        return "Int64"
    if isinstance(dimension, FloatRange):
        return "float64"
    types = {type(value) for value in dimension.values if value is not None}
    if types == {bool}:
        return "boolean"
    if types == {int}:
        return "Int64"
    return "float64" if types <= {int, float} else "string"


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)
