"""`scorenet data`: list, check, import and export stored bars."""

from __future__ import annotations

import sys

import click

from .errors import HintingGroup, guarded
from .options import CALENDAR, DATA_DIR, GAPS, JSON, OFFLINE, print_result

__all__ = ["data"]


@click.group(cls=HintingGroup)
def data() -> None:
    """List, check, import and export stored bars."""


@data.command("list")
@DATA_DIR
@JSON
@guarded
def data_list(data_dir: str, as_json: bool) -> None:
    """List the stored series, their missing bars, and the trading rules of their instruments."""
    from ..data import list_rules, list_store
    from ..tables import format_rows

    rows, rules = list_store(data_dir), list_rules(data_dir)
    # A price step can be smaller than the four decimals that tables show.
    spelled = [{key: f"{x:g}" if isinstance(x, float) else x for key, x in row.items()} for row in rules]
    tables = [format_rows(table) for table in (rows, spelled) if table]
    text = "\n\n".join(tables) or f"no series in {data_dir}; download bars with `scorenet fetch`"
    print_result({"series": rows, "instruments": rules}, as_json, text)


@data.command("check")
@click.argument("source", required=False)
@CALENDAR
@DATA_DIR
@OFFLINE
@JSON
@guarded
def data_check(source: str | None, calendar: str | None, data_dir: str, offline: bool, as_json: bool) -> None:
    """Validate SOURCE and report missing bars; without SOURCE, read every file of the store."""
    from ..data import check_source, check_store
    from ..tables import format_check, format_rows

    if source is not None:
        found = check_source(source, data_dir=data_dir, offline=offline, calendar=calendar)
        print_result(found, as_json, format_check(found))
        return
    damages = check_store(data_dir)
    print_result(
        {"damaged": damages},
        as_json,
        format_rows(damages) if damages else f"every file in {data_dir} is complete",
    )
    if damages:
        sys.exit(1)


@data.command("import")
@click.argument("file")
@click.option("--symbol", required=True)
@click.option("--timeframe", required=True)
@click.option(
    "--columns",
    multiple=True,
    metavar="NAME=COLUMN,...",
    help="Which column is which: open=Open,close=Last; by number from 1 in a file without a header.",
)
@click.option("--timezone", metavar="ZONE", help="Zone of times that have none: UTC, America/New_York.")
@click.option(
    "--dates",
    type=click.Choice(["dmy", "mdy", "days"]),
    help="Order of dates such as 01/02/2024; days: local midnight is a trading day of an exchange.",
)
@click.option("--decimal", type=click.Choice(["point", "comma"]), help="What separates decimals.")
@CALENDAR
@GAPS
@DATA_DIR
@JSON
@guarded
def data_import(file: str, columns: tuple[str, ...], as_json: bool, **options: str) -> None:
    """Store the bars of FILE: parquet, feather or CSV, also in .gz or .zip, as most programs write them."""
    from feeds.bars.foreign import Hints, parse_columns

    from ..data import import_bars
    from ..tables import format_mapping

    told = {name: options.pop(name) for name in ("timezone", "dates", "decimal")}
    hints = Hints(columns=parse_columns(columns), **told)
    done = import_bars(file, hints=hints, **options)  # type: ignore[arg-type]
    print_result(done, as_json, format_mapping(done))


@data.command("export")
@click.argument("source")
@click.argument("file")
@CALENDAR
@DATA_DIR
@OFFLINE
@JSON
@guarded
def data_export(
    source: str, file: str, calendar: str | None, data_dir: str, offline: bool, as_json: bool
) -> None:
    """Write the bars of SOURCE to a parquet or CSV FILE."""
    from ..data import export_bars
    from ..tables import format_mapping

    done = export_bars(source, file, data_dir=data_dir, offline=offline, calendar=calendar)
    print_result(done, as_json, format_mapping(done))
