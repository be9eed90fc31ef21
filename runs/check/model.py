"""`scorenet check-model`: compute a model's held-out metrics and write check.json and check.html."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from scorenet import Market, ScoreModel, TooFewBars
from scorenet.base.files import write_text
from scorenet.base.times import iso, utc_now
from scorenet.diagnostics.held_out import (
    BRIEF,
    THOROUGH,
    Extent,
    forward_report,
    gate_report,
    held_out_metrics,
    rank_report,
    score_report,
)
from scorenet.forward.distribution import forward_target
from scorenet.parts import SPANS
from scorenet.score.training import pick_device
from strategies.cerebro.columns import check_calendar

from ..folder.jsonfile import dump_json, plain
from ..folder.manifest import versions
from ..folder.rundir import UnwritableRun
from ..markets import LoadOptions, as_market, describe, load_markets
from .page import render_check
from .verdict import judge

__all__ = ["check_model", "default_folder"]

_SAMPLES = 2_000
_FEWEST_ROWS = 64
_BRIEF_ROWS = 4_000


def default_folder(model_dir: str | Path) -> Path:
    """Return the default output folder: `check` inside the model's folder; the model stays loadable."""
    return Path(model_dir) / "check"


def check_model(
    model_dir: str | Path,
    sources: Sequence[str],
    out: str | Path | None,
    options: LoadOptions,
    *,
    thorough: bool = True,
    device: str = "auto",
) -> dict[str, Any]:
    """Check a model on bars, or on its own samples if no bars are given; return the content of check.json.

    Without `thorough` the costly parts measure fewer rows; their standard errors say what that costs. Progress goes to
    stderr. Score and density are checked on `device`, as `scorenet.learn` takes it.

    Raises:
        CheckpointError: if the model cannot be used.
        ConfigError: the device is missing.
        FeedError: when the bars cannot be loaded.
        ScorenetError: when there are too few bars, or a column that the model needs is missing.
        UnwritableRun: when the folder cannot be written.
    """
    pick_device(device)  # a missing device is refused before the bars are loaded
    model = ScoreModel.load(model_dir)
    folder = default_folder(model_dir) if out is None else Path(out)
    if folder.is_file():
        raise UnwritableRun(f"expected --out to name a folder, found the file {folder}; choose another --out")
    how = _How(THOROUGH if thorough else BRIEF, None if thorough else _BRIEF_ROWS, options.progress, device)
    found = _on_bars(model, sources, options, how) if sources else _on_samples(model, how)
    content = plain(
        {
            "model": {"path": str(model_dir), "fingerprint": model.fingerprint, **_origin(model)},
            "created": utc_now(),
            "versions": versions(),
            "thorough": thorough,
            **found,
            "stored": model.info.get("metrics", {}),
            "training_log": model.info.get("log", {}),
        }
    )
    content["verdicts"] = [verdict._asdict() for verdict in judge(content)]
    _write(folder, content)
    return {**content, "page": str(folder / "check.html")}


@dataclass(frozen=True)
class _How:
    """How much is measured: the extent of the score's check, rows of the others (None: all), progress, and where."""

    extent: Extent
    rows: int | None
    progress: bool
    device: str

    def thin(self, *columns: np.ndarray) -> list[np.ndarray]:
        """Return the rows that are measured, evenly spread over time."""
        if self.rows is None or len(columns[0]) <= self.rows:
            return list(columns)
        kept = np.linspace(0, len(columns[0]) - 1, self.rows).astype(int)
        return [column[kept] for column in columns]

    def say(self, part: str) -> None:
        """Name the part of the check that begins."""
        if self.progress:
            click.echo(f"scorenet: measuring {part}", err=True)


def _on_samples(model: ScoreModel, how: _How) -> dict[str, Any]:
    how.say("its own samples")
    x = model.sample(_SAMPLES if how.rows is None else _SAMPLES // 2, seed=1)
    stored = model.info.get("metrics", {})
    key = {name: stored.get(name) for name in ("dsm_loss", "score_accuracy", "density_calibration")}
    return {
        "measured_on": "samples",
        "key_metrics": key,
        "score": score_report(model, x, extent=how.extent, device=how.device, said=how.say),
        "calibration_rows": model.calibration.rows,
    }


def _on_bars(model: ScoreModel, sources: Sequence[str], options: LoadOptions, how: _How) -> dict[str, Any]:
    frames = load_markets(sources, options, warmup_bars=model.lookback)
    markets = [as_market(frame) for frame in frames]
    for market in markets:
        check_calendar(model.calendar, market.calendar, market.symbol)
    horizons = model.config.forward.all_horizons
    parts = [_rows(model, market) for market in markets]
    x, y, time = (np.concatenate([part[i] for part in parts]) for i in range(3))
    if len(x) < _FEWEST_ROWS:
        raise TooFewBars(
            model.lookback + max(horizons) + _FEWEST_ROWS,
            max(len(frame) for frame in frames),
            "check a model on them",
        )
    order = np.argsort(time, kind="stable")
    block = model.lookback * len(markets)
    how.say(f"{len(x):,} bars")
    metrics = held_out_metrics(model, *how.thin(x[order], y[order, 0]))
    names = ("dsm_loss", "score_accuracy", "density_calibration")
    ranks = rank_report(model.density_rank(x[order]), block=block, every=24 * len(markets))
    metrics["density_calibration"] = round(
        ranks["density_calibration"], 6
    )  # of all rows, as the table has it
    return {
        "measured_on": "bars",
        "data": [describe(frame, source) for frame, source in zip(frames, sources, strict=True)],
        "span": [iso(int(time.min())), iso(int(time.max()))],
        "seen_in_training": _seen(model, markets, [part[2] for part in parts]),
        "key_metrics": {name: metrics[name] for name in names},
        "metrics": metrics,
        "score": score_report(
            model, x[order], block=block, extent=how.extent, device=how.device, said=how.say
        ),
        "ranks": ranks,
        "gates": {
            market.symbol: gate_report(model, model.log_density(part[0]), block=model.lookback)
            for market, part in zip(markets, parts, strict=True)
            if len(part[0])
        },
        "forward": {
            str(h): _forward(model, *how.thin(x[order], y[order, i]), horizon=h)
            for i, h in enumerate(horizons)
        },
    }


def _rows(model: ScoreModel, market: Market) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return states [N, F], outcomes [N, H] and bar times [N], without the warm-up bars."""
    x = model.features.compute(market.bars, market.step_ms, market.clock)
    volatility = model.features.volatility(market.bars)
    close = np.asarray(market.bars["close"], dtype=np.float64)
    y = np.stack([forward_target(close, volatility, h) for h in model.config.forward.all_horizons], axis=1)
    time = np.asarray(market.bars["timestamp"], dtype=np.int64)
    known = np.isfinite(x).all(axis=1)
    return x[known], y[known], time[known]


def _forward(model: ScoreModel, x: np.ndarray, y: np.ndarray, *, horizon: int) -> dict[str, Any] | None:
    known = np.isfinite(y)
    return forward_report(model.forward(x[known], horizon), y[known]) if known.sum() > 1 else None


def _seen(model: ScoreModel, markets: Sequence[Market], times: Sequence[np.ndarray]) -> float:
    """Return the share of rows of the model's symbols before the end of its training and calibration spans."""
    spans = [model.info[name] for name in ("training_span", "calibration_span") if name in model.info]
    if not spans:
        return 0.0
    last, own = max(end for _, end in spans), model.info.get("symbols", [])
    seen = sum(
        int((time <= last).sum()) for market, time in zip(markets, times, strict=True) if market.symbol in own
    )
    return seen / sum(len(time) for time in times)


def _origin(model: ScoreModel) -> dict[str, Any]:
    info = model.info
    spans = {name: [iso(t) for t in info[name]] for name in SPANS if name in info}
    return {
        "symbols": info.get("symbols", []),
        "timeframe": info.get("timeframe"),
        "features": list(model.features.names),
        "horizons": list(model.config.forward.all_horizons),
        "rows": info.get("rows", {}),
        "refit": info.get("refit", False),
        "spans": spans,
    }


def _write(folder: Path, content: dict[str, Any]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "check.json", dump_json(content))
        write_text(folder / "check.html", render_check(content))
    except OSError as error:
        raise UnwritableRun(f"cannot write the check to {folder}: {error.strerror or error}") from error
