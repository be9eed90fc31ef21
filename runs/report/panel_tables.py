"""The report's tables: headline cards, metrics, decisions, symbols, trades, model, parameters, hashes."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from ..folder.contents import LoadedRun
from ..metric_rows import FEWEST_DAYS, MISSING, ROWS, figure, is_annualised, show
from .markup import details, esc, flatten, key_values, panel, table

__all__ = ["cards", "decisions", "metrics", "model", "provenance", "symbols", "trades", "warnings"]

_CARDS = (
    ("total_return", "Total return", "percent"),
    ("sharpe_ratio", "Sharpe ratio, bars", "ratio"),
    ("sortino_ratio", "Sortino ratio, bars", "ratio"),
    ("max_drawdown", "Max drawdown, bars", "percent"),
    ("in_distribution_ratio", "In-distribution", "share"),
    ("n_trades", "Closed trades", "count"),
    ("fees", "Fees", "money"),
    ("funding", "Funding", "money"),
    ("slippage", "Slippage", "money"),
)
_NOT_ROWS = {
    "attribution",
    "benchmark",
    "model",
    "in_distribution_ratio_by_symbol",
    "bars_without_state",
    "regimes",
    "periods_per_year",
    "calendar",
    "bars",
    "start",
    "end",
}


def cards(run: LoadedRun) -> str:
    """Return the headline metrics, each above that of buy-and-hold."""
    other = _block(run.metrics, "benchmark")
    parts = []
    for key, label, kind in _CARDS:
        value = figure(key, run.metrics)
        tone = _tone(value) if key == "total_return" else ""
        below = _below(run, key, show(kind, figure(key, other, run.metrics)))
        parts.append(
            f'<div class="card" data-metric="{key}"><span>{esc(label)}</span>'
            f'<b class="{tone}">{esc(show(kind, value))}</b><small>{esc(below)}</small></div>'
        )
    return (
        f'<div class="cards main">{"".join(parts[:5])}</div><div class="cards">{"".join(parts[5:])}</div>\n'
    )


def metrics(run: LoadedRun) -> str:
    """Return every metric with that of buy-and-hold and its meaning; unknown metrics come last."""
    other = _block(run.metrics, "benchmark")
    rows = [
        [
            esc(row.label),
            esc(show(row.kind, figure(row.key, run.metrics))),
            esc(show(row.kind, figure(row.key, other, run.metrics))),
            esc(row.meaning),
        ]
        for row in ROWS
    ]
    known = {row.key for row in ROWS} | _NOT_ROWS
    further = flatten({key: value for key, value in run.metrics.items() if key not in known})
    rows += [
        [esc(key), esc(show("number", value)), esc(show("number", other.get(key))), ""]
        for key, value in further.items()
    ]
    periods, bars = run.metrics.get("periods_per_year"), run.metrics.get("bars")
    calendar = run.metrics.get("calendar")
    year = f"365 days, trading hours of {esc(str(calendar))}" if calendar else "365 days"
    note = (
        f"From returns of bars: {esc(show('count', bars))} bars, {esc(show('count', periods))} a year ({year}); "
        "risk-free rate 0."
    )
    if not is_annualised(run.metrics):
        note += f" Below {FEWEST_DAYS} days no figure a year is shown."
    body = table(["", "Strategy", "Buy & hold", "Meaning"], rows, css="meanings")
    return panel("Metrics of bars", body, note=note, name="metrics")


def decisions(run: LoadedRun) -> str:
    """Return the number of decisions by reason."""
    counts = run.decisions["reason"].value_counts()
    if not len(counts):
        return panel(
            "Decisions by reason", "<p class=empty>The run has no decision.</p>", name="decisions", wide=False
        )
    top = int(counts.iloc[0])
    rows = [
        f'<div class="bar" data-reason="{esc(reason)}"><span>{esc(str(reason).replace("_", " "))}</span>'
        f'<i><u class="reason-{esc(reason)}" style="width:{100 * count / top:.2f}%"></u></i>'
        f"<b>{count:,}</b><small>{count / counts.sum() * 100:.1f} %</small></div>"
        for reason, count in counts.items()
    ]
    note = "Reasons of the decisions, one per bar and symbol."
    return panel(
        "Decisions by reason",
        f'<div class="bars">{"".join(rows)}</div>',
        note=note,
        name="decisions",
        wide=False,
    )


def symbols(run: LoadedRun) -> str:
    """Return one row per symbol, or nothing for a run on one symbol."""
    if len(run.symbols) < 2:
        return ""
    ratios = _block(run.metrics, "in_distribution_ratio_by_symbol")
    rows = [_symbol_row(run, symbol, ratios.get(symbol)) for symbol in run.symbols]
    heads = [
        "Symbol",
        "In-distribution",
        "Mean exposure",
        "Trades",
        "Win rate",
        "Net P&L",
        "Fees",
        "Funding",
        "Slippage",
    ]
    note = "Net P&amp;L of closed trades after costs; costs of all orders."
    return panel("Symbols", table(heads, rows), note=note, name="symbols")


def trades(run: LoadedRun) -> str:
    """Return closed trades by side."""
    closed = run.trades
    if not len(closed):
        return ""
    groups = {"All": closed} | {
        str(side).capitalize(): rows for side, rows in closed.groupby("side", sort=True)
    }
    rows = [_trade_row(name, group) for name, group in groups.items()]
    heads = [
        "Side",
        "Trades",
        "Win rate",
        "Net P&L",
        "Mean",
        "Best",
        "Worst",
        "Price P&L",
        "Costs",
        "Bars held",
    ]
    return panel(
        "Closed trades",
        table(heads, rows),
        note=f"{esc(run.currency)}; costs are fees and funding.",
        name="trades",
    )


def model(run: LoadedRun) -> str:
    """Return the held-out metrics from the model's files."""
    found = {**_block(run.manifest, "model"), **_block(run.metrics, "model")}
    figures = {key: value for key, value in flatten(found).items() if _is_number(value)}
    if not found:
        return panel("Model diagnostics", "<p class=empty>This run used no model.</p>", name="model")
    if not figures:
        return panel(
            "Model diagnostics", "<p class=empty>The model has no held-out figures.</p>", name="model"
        )
    cells = "".join(
        f"<div><dt>{esc(_words(key))}</dt><dd>{esc(show('number', value))}</dd></div>"
        for key, value in figures.items()
    )
    note = "Held-out figures saved with the model."
    if _block(run.manifest, "model").get("refit"):
        note = "Held-out figures saved with the model, measured before it was fitted again to the whole span."
    return panel("Model diagnostics", f'<dl class="figures">{cells}</dl>', note=note, name="model")


def provenance(run: LoadedRun) -> str:
    """Return parameters, data, model and versions, in parts that open on a click."""
    manifest = run.manifest
    data = manifest.get("data") if isinstance(manifest.get("data"), list) else []
    series = [flatten(item) for item in data or [] if isinstance(item, Mapping)]
    heads = list(dict.fromkeys(key for item in series for key in item))
    listed = (
        table(heads, [[esc(item.get(h, MISSING)) for h in heads] for item in series], numeric=False)
        if heads
        else ""
    )
    origin = {key: manifest.get(key) for key in ("command", "created", "seed")}
    parts = [
        details("Parameters", key_values(run.config or _block(manifest, "config"))),
        details("Data and hashes", listed or "<p class=empty>none</p>"),
        details("Model file", key_values(_block(manifest, "model"))),
        details(
            "Command, seed and versions", key_values({**origin, "versions": _block(manifest, "versions")})
        ),
    ]
    return panel("What made this run", "".join(parts), name="provenance")


def warnings(run: LoadedRun) -> str:
    """Return the warnings of the run, or nothing."""
    if not run.warnings:
        return ""
    items = "".join(f"<li>{esc(warning)}</li>" for warning in run.warnings)
    return f'<section class="warnings" id="warnings"><h2>Warnings</h2><ul>{items}</ul></section>\n'


def _below(run: LoadedRun, key: str, beside: str) -> str:
    """Return the second line of a card: buy-and-hold's metric, or what the metric counts."""
    if key == "in_distribution_ratio":
        return "of the bars with a known state"
    if key == "n_trades":
        return (
            f"{show('share', run.metrics.get('win_rate'))} won"
            if run.metrics.get("n_trades")
            else "none closed"
        )
    return f"buy & hold {beside}"


def _symbol_row(run: LoadedRun, symbol: str, ratio: object) -> list[str]:
    closed, orders, funding, decided = (
        frame[frame["symbol"] == symbol] for frame in (run.trades, run.orders, run.funding, run.decisions)
    )
    filled = orders[orders["size"] != 0.0]
    net = closed["net_pnl"]
    cells = [
        ("share", ratio),
        ("share", float(decided["position"].abs().mean()) if decided["position"].notna().any() else None),
        ("count", len(closed)),
        ("share", float((net > 0).mean()) if len(net) else None),
        ("money", float(net.sum())),
        ("money", float(orders["fee"].sum())),
        ("money", float(funding["amount"].sum())),
        ("money", float(filled["slippage"].sum())),
    ]
    return [esc(symbol), *(esc(show(kind, value)) for kind, value in cells)]


def _trade_row(name: str, closed: pd.DataFrame) -> list[str]:
    net = closed["net_pnl"]
    cells = [
        ("count", len(closed)),
        ("share", float((net > 0).mean())),
        ("money", float(net.sum())),
        ("money", float(net.mean())),
        ("money", float(net.max())),
        ("money", float(net.min())),
        ("money", float(closed["gross_pnl"].sum())),
        ("money", float(closed["fees"].sum() + closed["funding"].sum())),
        ("ratio", float(closed["bars"].mean())),
    ]
    return [esc(name), *(esc(show(kind, value)) for kind, value in cells)]


def _block(content: Mapping[str, object], key: str) -> Mapping[str, object]:
    block = content.get(key)
    return block if isinstance(block, Mapping) else {}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _words(key: str) -> str:
    return key.replace("_", " ").replace(".", " · ")


def _tone(value: object) -> str:
    if not isinstance(value, int | float) or value == 0:
        return ""
    return "good" if value > 0 else "bad"
