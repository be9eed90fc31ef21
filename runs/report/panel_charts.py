"""The report's charts over time, from the tables of a run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from strategies.analyzers.metrics import drawdowns as depths

from ..folder.contents import LoadedRun, milliseconds
from ..metric_rows import show
from .charts import BARE, FULL, HALF, WITH_ZERO, Band, Curve, Frame, ValueAxis, column_chart, time_chart
from .markup import esc, panel

__all__ = ["costs", "drawdowns", "equity", "exposure", "familiarity", "prices", "ranks"]

Array = npt.NDArray[np.float64]

_RANK_EDGES = (0.05, 0.15, 0.30)  # mean rank below which a span is shaded, darkest first
_MOST_PRICES = 6


def equity(run: LoadedRun) -> str:
    """Return equity after and before costs, and buy-and-hold."""
    after = run.equity["equity"].to_numpy()
    before = after + sum(_cumulative_costs(run).values())
    curves = [
        Curve("Buy & hold", run.times, run.equity["benchmark"].to_numpy(), "benchmark"),
        Curve("Before costs", run.times, before, "before"),
        Curve("Strategy", run.times, after, "strategy"),
    ]
    chart = time_chart(curves, _money, title="Equity of the strategy, before costs, and of buy-and-hold")
    note = f"{esc(run.currency)}, at every bar's close. Before costs = equity + fees + funding + slippage paid so far."
    return panel("Equity", chart, note=note, name="equity")


def costs(run: LoadedRun) -> str:
    """Return cumulative fees, funding and slippage."""
    paid = _cumulative_costs(run)
    curves = [Curve(name.capitalize(), run.times, values, name, step=True) for name, values in paid.items()]
    chart = time_chart(
        curves, _money, title="Cumulative fees, funding and slippage", frame=HALF, axis=WITH_ZERO
    )
    note = f"{esc(run.currency)}, cumulative. Funding below zero was received."
    return panel("Costs", chart, note=note, name="costs", wide=False)


def drawdowns(run: LoadedRun) -> str:
    """Return the distance below the running peak."""
    own, other = (depths(run.equity[column].to_numpy()) for column in ("equity", "benchmark"))
    curves = [
        Curve("Buy & hold", run.times, other, "benchmark"),
        Curve("Strategy", run.times, own, "strategy", area=True),
    ]
    chart = time_chart(curves, _percent, title="Drawdown", frame=HALF, axis=WITH_ZERO)
    return panel("Drawdown", chart, note="Equity below its running peak.", name="drawdown", wide=False)


def exposure(run: LoadedRun) -> str:
    """Return the signed exposure."""
    held = run.equity["exposure"].to_numpy()
    window = min(_bars_in(run, days=7), max(len(held) // 5, 1))
    smooth = pd.Series(held).rolling(window, min_periods=1).mean().to_numpy()
    curves = [
        Curve("", run.times, held, "before", area=True, step=True, line=False),
        Curve("", run.times, smooth, "strategy"),
    ]
    chart = time_chart(curves, _percent, title="Exposure", frame=BARE, axis=WITH_ZERO)
    note = f"Signed position value / equity, and its mean over {_bars(window)}."
    return panel("Exposure", chart, note=note, name="exposure", wide=False)


def familiarity(run: LoadedRun) -> str:
    """Return the rolling share of bars in distribution."""
    decided = run.decisions[run.decisions["reason"] != "warmup"].dropna(subset="in_distribution")
    if not len(decided):
        return panel(
            "In-distribution ratio",
            _empty("No decided bar has a known market state."),
            name="in-distribution",
            wide=False,
        )
    known = decided.groupby("time", sort=True)["in_distribution"].mean().astype("float64")
    window = min(_bars_in(run, days=7), max(len(known) // 5, 1))
    rolling = known.rolling(window, min_periods=max(window // 4, 1)).mean()
    curves = [Curve("", milliseconds(known.index.to_series()), rolling.to_numpy(), "strategy", area=True)]
    mean = run.metrics.get("in_distribution_ratio")
    level = None if mean is None else (float(mean), f"mean {show('share', mean)}")
    chart = time_chart(
        curves,
        _percent,
        title="Rolling in-distribution ratio",
        frame=HALF,
        axis=ValueAxis(limits=(0.0, 1.04), zero=True),
        level=level,
    )
    note = f"Share of bars in distribution, among those with a known state; rolling mean of {_bars(window)}."
    return panel("In-distribution ratio", chart, note=note, name="in-distribution", wide=False)


def prices(run: LoadedRun) -> str:
    """Return the price of each symbol; spans with low density ranks are shaded."""
    shown = run.symbols[:_MOST_PRICES]
    width = _rank_width(run)
    note = f"Shaded by mean density rank of {_bars(width)}, 0 = unlike all training states{_legend(run, shown, width)}"
    # with an odd number of charts the first one gets the full width
    frames = [FULL if i == 0 and len(shown) % 2 else HALF for i in range(len(shown))]
    charts = [_price(run, symbol, frame, width) for symbol, frame in zip(shown, frames, strict=True)]
    body = f'<div class="grid">{"".join(charts)}</div>'
    if len(run.symbols) > len(shown):
        body += f"<p class=note>The first {len(shown)} of {len(run.symbols)} symbols; the table has all.</p>"
    return panel("Price and density rank", body, note=note, name="prices")


def _legend(run: LoadedRun, shown: Sequence[str], width: int) -> str:
    """Return the legend of the shades that occur."""
    found: set[str] = set()
    for symbol in shown:
        rows = run.decisions[run.decisions["symbol"] == symbol]
        bands = _rank_bands(milliseconds(rows["time"]), rows["density_rank"].to_numpy(), width)
        found |= {band.css for band in bands}
    words = {"rank0": "&lt; 0.05", "rank1": "&lt; 0.15", "rank2": "&lt; 0.30", "norank": "no rank"}
    parts = [
        f'<i class="swatch {"none" if css == "norank" else css}"></i>{text}'
        for css, text in words.items()
        if css in found
    ]
    return f": {''.join(parts)}" if parts else "; no bar has a rank below 0.30"


def ranks(run: LoadedRun) -> str:
    """Return the histogram of density ranks; it is flat if the market resembles the calibration span."""
    found = run.decisions["density_rank"].dropna().to_numpy()
    if not len(found):
        return panel("Density ranks", _empty("No bar has a density rank."), name="ranks", wide=False)
    shares = np.histogram(np.clip(found, 0.0, 1.0), bins=20, range=(0.0, 1.0))[0] / len(found)
    edges = [f"{edge:.2f}" for edge in np.linspace(0, 1, 21)]
    css = [
        f"rank{_rank_class(low)}" if low < _RANK_EDGES[-1] else "plain"
        for low in np.linspace(0, 0.95, 20) + 1e-9
    ]
    chart = column_chart(
        shares, edges, title="Distribution of density ranks", css=css, level=(0.05, "as in training")
    )
    note = "Share of bars by rank; equal columns mean a market like that of training."
    return panel("Density ranks", chart, note=note, name="ranks", wide=False)


def _price(run: LoadedRun, symbol: str, frame: Frame, width: int) -> str:
    rows = run.decisions[run.decisions["symbol"] == symbol]
    if not len(rows):
        return _empty(f"{symbol} has no decision.")
    times = milliseconds(rows["time"])
    curves = [Curve("Close", times, rows["close"].to_numpy(), "price")]
    bands = _rank_bands(times, rows["density_rank"].to_numpy(), width)
    chart = time_chart(curves, _money, title=f"Close of {symbol}", frame=frame, bands=bands)
    named = f"<figcaption>{esc(symbol)}</figcaption>" if len(run.symbols) > 1 else ""
    return f'<figure class="{"whole" if frame is FULL else "half"}">{named}{chart}</figure>'


def _rank_width(run: LoadedRun) -> int:
    """Return the number of bars per shade: half a day, fewer in a short run, more if a pixel is wider."""
    bars = len(run.times)
    return max(min(_bars_in(run, days=0.5), bars // 60), -(-bars // 480), 1)


def _rank_bands(times: npt.NDArray[np.int64], rank: Array, width: int) -> list[Band]:
    """Return spans of one shade each: groups of `width` bars by their mean rank; equal neighbours are merged."""
    bands: list[Band] = []
    for first in range(0, len(rank), width):
        piece = rank[first : first + width]
        known = piece[np.isfinite(piece)]
        shade = _rank_class(float(known.mean())) if len(known) else None
        css = "norank" if shade is None else f"rank{shade}"
        start, end = float(times[max(first - 1, 0)]), float(times[min(first + width, len(rank)) - 1])
        if bands and bands[-1].css == css:
            bands[-1] = Band(bands[-1].start, end, css)
        else:
            bands.append(Band(start, end, css))
    return [band for band in bands if band.css != f"rank{len(_RANK_EDGES)}"]


def _rank_class(rank: float) -> int:
    return int(np.searchsorted(_RANK_EDGES, rank, side="right"))


def _cumulative_costs(run: LoadedRun) -> dict[str, Array]:
    """Return fees, funding and slippage paid up to each bar of the equity, each [N]."""
    filled = run.orders[run.orders["size"] != 0.0]
    return {
        "fees": _cumulative(run, run.orders["time"], run.orders["fee"]),
        "funding": _cumulative(run, run.funding["time"], run.funding["amount"]),
        "slippage": _cumulative(run, filled["time"], filled["slippage"]),
    }


def _cumulative(run: LoadedRun, times: pd.Series, amounts: pd.Series) -> Array:
    order = np.argsort(milliseconds(times), kind="stable")
    paid = np.concatenate([[0.0], np.cumsum(amounts.to_numpy(np.float64)[order])])
    return paid[np.searchsorted(milliseconds(times)[order], run.times, side="right")]


def _bars_in(run: LoadedRun, days: float) -> int:
    periods = run.metrics.get("periods_per_year") or 8760.0
    return max(round(days * periods / 365), 1)


def _bars(count: int) -> str:
    return f"{count:,} bar{'s' * (count != 1)}"


def _money(value: float) -> str:
    """Return an amount short enough for an axis."""
    size = abs(value)
    if size >= 1e6:
        text = f"{value / 1e6:,.2f}M".replace(".00M", "M")
    elif size >= 1e5:
        text = f"{value / 1e3:,.1f}k".replace(".0k", "k")
    elif size >= 100:
        text = f"{value:,.0f}"
    elif size >= 1:
        text = f"{value:.2f}".rstrip("0").rstrip(".")
    else:
        text = f"{value:.4g}"
    return text.replace("-", "−")


def _percent(value: float) -> str:
    percent = value * 100
    text = f"{percent:.0f}" if abs(percent) >= 10 or percent == round(percent) else f"{percent:.1f}"
    return f"{'0' if text == '-0' else text} %".replace("-", "−")


def _empty(text: str) -> str:
    return f"<p class=empty>{esc(text)}</p>"
