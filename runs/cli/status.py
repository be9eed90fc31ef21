"""`scorenet status`: how a live run is doing, for people and for health checks."""

from __future__ import annotations

import sys

import click

from .errors import guarded
from .options import JSON, print_result

__all__ = ["status"]


@click.command()
@click.argument("run_dir")
@JSON
@guarded
def status(run_dir: str, as_json: bool) -> None:
    """Show the status of the live run in RUN_DIR, which another process writes. Nothing is locked or changed.

    Exit codes: 0 LIVE; 3 STARTING, DELAYED, DISCONNECTED or stuck; 4 halted; 5 ended; 6 failed or killed; 1 no live run
    can be read there.
    """
    from ..watch.status import read_status
    from ..watch.text import format_status

    found = read_status(run_dir)
    print_result(found.to_dict(), as_json, "" if as_json else format_status(found))
    sys.exit(found.exit_code)
