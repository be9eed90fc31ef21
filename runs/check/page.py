"""check.html: the metrics of a model check as one self-contained page."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..metric_rows import MISSING
from ..report.axes import Tick
from ..report.charts import BARE, HALF, WITH_ZERO, Curve, Frame, ValueAxis, column_chart, time_chart
from ..report.markup import details, esc, key_values, panel, table
from ..report.page import page
from .text import GROUPS

__all__ = ["render_check"]

_SIGMA_MARKS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_WIDE_RIGHT = Frame(HALF.width, HALF.height, 150)
_KEY = (
    ("dsm_loss", "DSM loss", "per dimension; 1: noise not predicted"),
    ("score_accuracy", "Score accuracy", "correlation with its target"),
    ("density_calibration", "Density calibration", "largest gap; 0 is best"),
)


def render_check(content: Mapping[str, Any]) -> str:
    """Return the page of a check from the content of check.json."""
    body = "".join(
        [
            _cards(content),
            _explained(content["score"]["by_sigma"]),
            _losses(content["score"]["by_sigma"]),
            _coverage(content.get("ranks")),
            _pit(content.get("forward") or {}),
            _gates(content.get("gates") or {}),
            _forward(content.get("forward") or {}),
            _stein(content["score"]["stein"]),
            _routes(content["score"]["routes"]),
            _training(content.get("training_log") or {}),
            _provenance(content),
        ]
    )
    return page(_title(content), _header(content), body)


def _title(content: Mapping[str, Any]) -> str:
    return f"Check of {content['model']['path']}"


def _header(content: Mapping[str, Any]) -> str:
    model = content["model"]
    facts = [", ".join(model["symbols"]) or "no symbols", f"bars of {model['timeframe'] or '?'}"]
    if content["measured_on"] == "bars":
        facts += [
            f"measured on {content['score']['rows']:,} bars, {' – '.join(t[:10] for t in content['span'])}"
        ]
    else:
        facts += ["measured on its own samples; --bars measures it on a market"]
    facts.append(f"made {content['created']}")
    listed = "".join(f"<span>{esc(fact)}</span>" for fact in facts)
    sentences = "".join(_group(content["verdicts"], title, trading) for title, trading in GROUPS)
    return (
        f'<h1>{esc(_title(content))}</h1><div class="facts">{listed}</div>'
        f'<div class="verdict findings" id="verdict">{sentences}</div>'
    )


def _group(verdicts: Sequence[Mapping[str, Any]], title: str, trading: bool) -> str:
    marks = [
        f'<p class="{"good" if verdict["good"] else "bad"}">{esc(_minus(verdict["text"]))}</p>'
        for verdict in verdicts
        if verdict["trading"] is trading
    ]
    return f"<h3>{esc(title)}</h3>{''.join(marks)}" if marks else ""


def _cards(content: Mapping[str, Any]) -> str:
    key, score = content["key_metrics"], content["score"]
    rows = [(label, _number(key.get(name)), below) for name, label, below in _KEY]
    if content["measured_on"] == "samples":
        rows = [(label, value, "stored with the model") for label, value, _ in rows]
    rows.append(("Two-sample AUC", _number(score["two_sample"]["auc"]), "0.5 is best"))
    apart = next((row["rms"] for row in score["routes"] if "flow" in (row["first"], row["second"])), None)
    rows.append(("Density routes", f"{_number(apart)} nat", "heat to flow, rms"))
    cards = "".join(
        f'<div class="card"><span>{esc(label)}</span><b>{esc(value)}</b><small>{esc(below)}</small></div>'
        for label, value, below in rows
    )
    return f'<div class="cards main">{cards}</div>\n'


def _explained(by_sigma: Sequence[Mapping[str, float]]) -> str:
    curves = [
        _curve("", by_sigma, "explained_variance", "strategy", area=True),
    ]
    chart = _by_sigma(curves, by_sigma, "Explained variance by noise level", _percent, BARE)
    note = "Share of the best Gaussian denoiser's loss that the model removes, by noise level."
    return panel("Explained variance", chart, note=note, name="explained", wide=False)


def _losses(by_sigma: Sequence[Mapping[str, float]]) -> str:
    curves = [
        _curve("Gaussian", by_sigma, "gaussian_loss", "benchmark"),
        _curve("Model", by_sigma, "dsm_loss", "strategy"),
        _curve("Asymmetry", by_sigma, "asymmetry", "slippage"),
    ]
    chart = _by_sigma(curves, by_sigma, "Denoising loss and Jacobian asymmetry", _number, _WIDE_RIGHT)
    note = "DSM loss per dimension (1: noise not predicted), and how far the score is from being a gradient."
    return panel("Denoising loss", chart, note=note, name="losses", wide=False)


def _by_sigma(
    curves: Sequence[Curve],
    rows: Sequence[Mapping[str, float]],
    title: str,
    write: Callable[[float], str],
    frame: Frame,
) -> str:
    low, high = rows[0]["sigma"], rows[-1]["sigma"]
    ticks = [Tick(math.log(s), f"{s:g}") for s in _SIGMA_MARKS if low * 0.999 <= s <= high * 1.001]
    return time_chart(curves, write, title=title, frame=frame, axis=WITH_ZERO, ticks=ticks)


def _curve(
    name: str, rows: Sequence[Mapping[str, float]], key: str, css: str, *, area: bool = False
) -> Curve:
    places = np.log([row["sigma"] for row in rows])
    return Curve(name, places, np.array([row[key] for row in rows], dtype=np.float64), css, area=area)


def _coverage(ranks: Mapping[str, Any] | None) -> str:
    if ranks is None:
        return ""
    level, share = (np.asarray(ranks["coverage"][key]) for key in ("level", "share"))
    curves = [Curve("Promised", level, level, "benchmark"), Curve("Found", level, share, "strategy")]
    ticks = [Tick(v, f"{v:g}") for v in (0.0, 0.25, 0.5, 0.75, 1.0)]
    chart = time_chart(
        curves,
        _percent,
        title="Coverage of density ranks",
        frame=HALF,
        axis=ValueAxis(limits=(0.0, 1.02)),
        ticks=ticks,
    )
    note = "Share of bars with a density rank up to each level; the grey line is perfect calibration."
    return panel("Coverage", chart, note=note, name="coverage", wide=False)


def _pit(forward: Mapping[str, Any]) -> str:
    shown = {horizon: report for horizon, report in forward.items() if report is not None}
    if not shown:
        return ""
    horizon, report = next(iter(shown.items()))
    shares = np.asarray(report["pit"])
    edges = [f"{edge:.2f}" for edge in np.linspace(0, 1, len(shares) + 1)]
    chart = column_chart(
        shares,
        edges,
        title="Probability integral transform",
        css=["plain"] * len(shares),
        level=(1 / len(shares), "calibrated"),
    )
    note = f"Where the outcome of the next {esc(horizon)} bars fell in p(y | x): equal columns are ideal."
    return panel("Forward returns, PIT", chart, note=note, name="pit", wide=False)


def _gates(gates: Mapping[str, Any]) -> str:
    rows = [
        [
            esc(f"{symbol}, {row['level']:.0%}"),
            esc(_percent(row["split"])),
            esc(f"± {_percent(row['split_standard_error'])}"),
            esc(_percent(row["adaptive"])),
        ]
        for symbol, levels in gates.items()
        for row in levels
    ]
    if not rows:
        return ""
    note = "Share of bars rejected as out of distribution: with the fixed and with the adaptive threshold."
    return panel(
        "Rejected bars",
        table(["Symbol, nominal", "Split-conformal", "one s.e.", "Adaptive"], rows),
        note=note,
        name="gates",
    )


def _forward(forward: Mapping[str, Any]) -> str:
    keys = (
        ("forward_log_score", "Log score"),
        ("forward_crps", "CRPS"),
        ("forward_crps_unconditional", "CRPS, unconditional"),
        ("forward_ic", "IC"),
        ("forward_hit_rate", "Hit rate"),
        ("forward_pit_ks", "PIT, KS"),
        ("cvar_5", "CVaR 5 %"),
        ("mean_beyond_quantile_5", "Mean beyond"),
    )
    rows = [
        [esc(f"{horizon} bars"), *(esc(_number(report[key])) for key, _ in keys)]
        for horizon, report in forward.items()
        if report is not None
    ]
    if not rows:
        return ""
    note = "In volatility units of the horizon; CVaR: expected mean below the 5 % quantile, next to the actual mean."
    return panel(
        "Forward returns", table(["Horizon", *(label for _, label in keys)], rows), note=note, name="forward"
    )


def _stein(identities: Sequence[Mapping[str, Any]]) -> str:
    meaning = {"mean": "E[s] = 0", "cross": "E[s xᵀ] = −I", "energy": "E|s|² + E div s = 0"}
    rows = [
        [
            esc(f"{meaning[row['name']]} at sigma {row['sigma']:g}"),
            esc(_number(row["gap"])),
            esc(_number(row["standard_error"])),
            f'<span class="{"bad" if row["z"] > 4 else ""}">{esc(_number(row["z"]))}</span>',
        ]
        for row in identities
    ]
    note = "Identities that the true score satisfies on its own rows; z near 1 is within chance."
    return panel(
        "Stein identities",
        table(["Identity", "Gap", "Standard error", "z"], rows),
        note=note,
        name="stein",
        wide=False,
    )


def _routes(routes: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            esc(f"{row['first']} – {row['second']}"),
            *(esc(_number(row[key])) for key in ("bias", "rms", "correlation")),
        ]
        for row in routes
    ]
    note = "Methods for the same log-density, nats; heat is the reference, per_bar the net used at every bar."
    return panel(
        "Density routes",
        table(["Routes", "Bias", "RMS", "Correlation"], rows),
        note=note,
        name="routes",
        wide=False,
    )


def _training(log: Mapping[str, Any]) -> str:
    parts = []
    for name, entry in log.items():
        steps, values = (
            np.asarray(entry["steps"], dtype=np.float64),
            np.asarray(entry["validation"], dtype=np.float64),
        )
        shown = np.isfinite(values) & (values < 1e6)
        if shown.sum() < 2:
            continue
        steps, values = steps[shown], values[shown]
        ticks = [Tick(v, f"{v:,.0f}") for v in np.linspace(0, steps[-1], 5).round()]
        chart = time_chart(
            [Curve("Held out", steps, values, "strategy")],
            _writer(values),
            title=f"Training of {name}",
            frame=_WIDE_RIGHT,
            ticks=ticks,
        )
        caption = f"{name}, kept at step {entry['best_step']:,}"
        parts.append(f'<figure class="half"><figcaption>{esc(caption)}</figcaption>{chart}</figure>')
    if not parts:
        return ""
    note = "Held-out loss by step; the best weights are kept."
    return panel("Training", f'<div class="grid">{"".join(parts)}</div>', note=note, name="training")


def _provenance(content: Mapping[str, Any]) -> str:
    parts = [
        details("Stored held-out metrics", key_values(content.get("stored") or {})),
        details("Model", key_values(content["model"])),
        details("Versions", key_values(content["versions"])),
    ]
    for series in content.get("data") or []:
        parts.append(details(f"Bars of {series['symbol']}", key_values(series)))
    return panel("What was checked", "".join(parts), name="provenance")


def _minus(text: str) -> str:
    return re.sub(r"-(?=\d)", "−", text)


def _number(value: object) -> str:
    if not isinstance(value, int | float):
        return MISSING
    text = f"{value:.3f}" if 0.001 <= abs(value) < 1_000 or value == 0 else f"{value:.3g}"
    return text.replace("-", "−")


def _writer(values: NDArray[np.float64]) -> Callable[[float], str]:
    """Return a number format for an axis with these `values`, such that its labels differ."""
    spread = float(np.ptp(values))
    digits = 3 if spread == 0 else min(max(1 - math.floor(math.log10(spread)), 3), 6)
    return lambda value: f"{value:.{digits}f}".replace("-", "−")


def _percent(value: object) -> str:
    if not isinstance(value, int | float):
        return MISSING
    return f"{value * 100:.1f} %".replace("-", "−")
