"""Build one self-contained HTML report from the files of a run folder."""

from __future__ import annotations

import math
from pathlib import Path

from ..folder.contents import LoadedRun
from ..folder.rundir import RunDir
from .markup import esc
from .page import page
from .registry import render_panels
from .verdict import verdict

__all__ = ["render_report", "write_report"]

_COMMANDS = {
    "backtest": "Backtest",
    "walkforward": "Walk-forward",
    "optimize": "Search",
    "live": "Live run",
    "demo": "Demo",
    "replay": "Replay",
}


def write_report(run_dir: str | Path | RunDir) -> Path:
    """Write report.html into a run folder from the folder's own files and return its path.

    Raises:
        RunDirError: The folder or one of its files is missing, corrupt or cannot be written.
    """
    run = run_dir if isinstance(run_dir, RunDir) else RunDir.open(run_dir)
    return run.write_report(render_report(LoadedRun.read(run)))


def render_report(run: LoadedRun) -> str:
    """Return the report of a run as one self-contained HTML page."""
    return page(_title(run), _header(run), render_panels(run))


def _title(run: LoadedRun) -> str:
    words = str(run.manifest.get("command") or "").split()
    kind = next((_COMMANDS[word] for word in words if word in _COMMANDS), "Run")
    named = run.symbols[:3]
    more = f" and {len(run.symbols) - 3} more" if len(run.symbols) > 3 else ""
    return f"{kind} of {', '.join(named)}{more}" if named else kind


def _header(run: LoadedRun) -> str:
    """Return the header: what was run, over which span, and the result in words."""
    reasons = {str(reason): int(count) for reason, count in run.decisions["reason"].value_counts().items()}
    price = float(run.decisions["close"].iloc[-1]) if len(run.decisions) else math.nan
    luck = run.metrics.get("verdict")
    said = ([luck] if isinstance(luck, str) else []) + verdict(
        run.metrics, reasons, run.config.get("account"), price, run.coin
    )
    sentences = "".join(f"<p>{esc(sentence).replace(' %', '&nbsp;%')}</p>" for sentence in said)
    first, last = (run.equity["time"].iloc[i] for i in (0, -1))
    facts = [
        f"{first:%d %b %Y %H:%M} – {last:%d %b %Y %H:%M} UTC",
        f"{len(run.equity):,} bars" + (f" of {', '.join(run.timeframes)}" if run.timeframes else ""),
        f"made {run.manifest.get('created') or 'at an unknown time'}",
    ]
    listed = "".join(f"<span>{esc(fact)}</span>" for fact in facts)
    return (
        f'<h1>{esc(_title(run))}</h1><div class="facts">{listed}</div>'
        f'<div class="verdict" id="verdict">{sentences}</div>'
    )
