"""The QuantStats tearsheet of a run: UTC-daily returns, 365 periods a year, as HTML without links."""

from __future__ import annotations

import logging
import re
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scorenet.base.error_line import error_line
from strategies.analyzers.metrics import daily_equity, without_cash_flows

from ..folder.contents import LoadedRun
from ..metric_rows import FEWEST_DAYS, is_annualised
from .day_tables import months_table, without_undefined
from .markup import esc, panel

__all__ = ["NoTearsheet", "daily_returns", "tearsheet", "tearsheet_panel"]

_DAYS_A_YEAR = 365
_DAY_MS = 86_400_000
_ROUNDING = 1e-14
_ROLLING_DAYS = 182  # window of QuantStats' rolling charts at 365 periods a year

_UNDER = ("returns_dist",)  # fills the column of the long table
_BESIDE = ("returns", "log_returns", "vol_returns", "dd_periods", "monthly_dist")
# Without QuantStats' rolling beta, which draws 0 before its first window and a legend for a line that is not there.
_ROLLING = ("rolling_vol", "rolling_sharpe", "rolling_sortino")
_COLOURS = {"#fedd78": "#a3a9b3", "#348dc1": "#1d5bab", "#af4b64": "#bd6a1c"}
_OPTIONS: dict[str, Any] = {
    "rf": 0.0,
    "title": "",
    "periods_per_year": _DAYS_A_YEAR,
    "match_dates": False,  # matching dates would drop flat days at the start and so move the start of the run
    "figfmt": "svg",
    "strategy_title": "Strategy",
    "benchmark_title": "Buy and hold",
}
_UNWANTED = (
    r"<\?xml.*?\?>",
    r"<!DOCTYPE.*?>",
    r"<!--.*?-->",
    r"<metadata>.*?</metadata>",
    r"<script\b.*?</script>",
    r"<link\b[^>]*>",
    r"</?a\b[^>]*>",
)


class NoTearsheet(Exception):
    """Report that no tearsheet can be made; the message is a sentence for the reader of the report."""


def daily_returns(times: pd.Series, equity: pd.Series) -> pd.Series:
    """Return simple returns of UTC days from equity at bar closes; a close at 00:00 ends its day.

    The first row is the starting point, not a return. A day without a bar has return 0. The index is naive.

    Raises:
        ValueError: A value is not finite.
    """
    values = equity.to_numpy(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("expected finite equity, found a value that is not finite; run the backtest again")
    values = np.maximum(values, 0.0)  # a loss cannot exceed the whole equity
    stamps = pd.to_datetime(times, utc=True).astype("datetime64[ms, UTC]").astype("int64").to_numpy()
    days, last = daily_equity(stamps, values)
    closes = pd.Series(last, index=pd.to_datetime(days, unit="ms")).resample("D").last().ffill()
    before = closes.shift(1)
    before.iloc[0] = values[0]
    change = np.divide(closes, before, out=np.ones(len(closes)), where=before.to_numpy() > 0) - 1.0
    returns = pd.Series(change, index=closes.index)
    # a first row at midnight ends its day; that day has the starting point and no return
    return returns.iloc[1:] if len(returns) > 1 and int(stamps[0]) % _DAY_MS == 0 else returns


def tearsheet_panel(run: LoadedRun) -> str:
    """Return the panel with the tearsheet, or with the reason why there is none."""
    try:
        if not is_annualised(run.metrics):
            raise NoTearsheet(
                f"The run covers less than {FEWEST_DAYS} days: figures of days and of a year say nothing."
            )
        body = f'<div class="paper">{tearsheet(run.equity)}</div>'
    except NoTearsheet as reason:
        body = f"<p class=empty>{esc(reason)}</p>"
    note = "By QuantStats, from UTC-daily returns: 365 days a year, risk-free rate 0, same days for both."
    return panel("Tearsheet", body, note=note, name="tearsheet")


def tearsheet(equity: pd.DataFrame) -> str:
    """Return the tearsheet of a run from its table of equity and benchmark at bar closes.

    Raises:
        NoTearsheet: QuantStats is not installed, or it cannot process the returns.
        ValueError: A value is not finite.
    """
    flows = equity.get("cash_flow")
    growth = pd.Series(without_cash_flows(equity["equity"], flows))
    returns = daily_returns(equity["time"], growth)
    benchmark = daily_returns(equity["time"], equity["benchmark"])
    _check(returns)
    beside = None if _unusable(benchmark) or np.allclose(benchmark, returns, atol=_ROUNDING) else benchmark
    if _sinks_from_start(returns) or _sinks_from_start(benchmark):
        returns, beside = _from_start(returns), None if beside is None else _from_start(beside)
    with tempfile.TemporaryDirectory(prefix="scorenet-") as folder, _quiet():
        page = _render(returns, beside, Path(folder))
    return without_undefined(_clean(_recolour(page)), len(returns))


def _check(returns: pd.Series) -> None:
    if len(returns) < 2:
        raise NoTearsheet("The run covers less than two UTC days: too short for daily statistics.")
    if _unusable(returns):
        flat = float(returns.std()) < _ROUNDING
        raise NoTearsheet(
            "All daily returns are equal: there is nothing to draw or to compare."
            if flat
            else "No day had a loss and one more than doubled the account: QuantStats reads such returns as prices."
        )


def _sinks_from_start(returns: pd.Series) -> bool:
    """Return whether equity falls on day one and never recovers, a drawdown that QuantStats misses."""
    return bool((1.0 + returns).cumprod().max() < 1.0)


def _from_start(returns: pd.Series) -> pd.Series:
    """Return the series with a day without change added at the start."""
    before = pd.Series([0.0], index=[returns.index[0] - pd.Timedelta(1, "D")])
    joined: pd.Series = pd.concat([before, returns])
    return joined


def _unusable(returns: pd.Series) -> bool:
    """Return whether QuantStats fails on the series (no variance) or reads it as prices (none < 0, one > 1)."""
    return float(returns.std()) < _ROUNDING or bool(
        float(returns.min()) >= 0.0 and float(returns.max()) > 1.0
    )


def _render(returns: pd.Series, benchmark: pd.Series | None, folder: Path) -> str:
    """Return our template filled by QuantStats."""
    try:
        import matplotlib
        import quantstats.reports
    except ImportError as error:
        raise NoTearsheet(
            f"The QuantStats tearsheet needs {error.name}: pip install 'scorenet[report]'"
        ) from error
    template, output = folder / "template.html", folder / "tearsheet.html"
    template.write_text(
        _template(len(returns), benchmark is not None, months_table(returns)), encoding="utf-8"
    )
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "scorenet"}), _headless():
        try:
            quantstats.reports.html(  # type: ignore[no-untyped-call]
                returns.rename("Strategy"),
                None if benchmark is None else benchmark.rename("Buy and hold"),
                output=str(output),
                template_path=str(template),
                **_OPTIONS,
            )
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            # drawing and fitting may fail on degenerate returns in many ways; the report must still be written
            raise NoTearsheet(f"QuantStats failed on the returns of this run: {error_line(error)}") from error
    return output.read_text(encoding="utf-8")


def _template(days: int, benchmark: bool, months: str) -> str:
    """Return the template for QuantStats, with only the charts that this many days allow."""
    below = [*_ROLLING] if days > _ROLLING_DAYS + 30 else []
    if days > _DAYS_A_YEAR:
        below += ["daily_returns"]
    without = set() if benchmark else {"vol_returns"}
    tables = (
        f"<div><h3>Key figures of UTC days</h3>{{{{metrics}}}}{_places(_UNDER, without)}</div>"
        "<div><h3>Calendar years of UTC days, %</h3>{{eoy_table}}"
        f"<h3>Months of the strategy, %</h3>{months}"
        "<h3>Deepest drawdowns of UTC days, %</h3>{{dd_info}}"
    )
    return (
        f'<div class="qs-tables">{tables}{_places(_BESIDE, without)}</div></div>'
        f'<div class="qs-figures">{_places(below, without)}</div>'
    )


def _places(names: Iterable[str], without: set[str]) -> str:
    return "".join(f'<figure id="qs-{name}">{{{{{name}}}}}</figure>' for name in names if name not in without)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence warnings while QuantStats is imported and called; no other code runs inside this block.

    Its calls to pandas, numpy, scipy and seaborn warn about deprecated arguments and small samples, which is not about
    the run. matplotlib reports every missing font, once per label.
    """
    logger = logging.getLogger("matplotlib.font_manager")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def _headless() -> Iterator[None]:
    """Draw without a window, then restore the previous backend, e.g. that of a notebook."""
    import matplotlib
    from matplotlib import pyplot

    before = matplotlib.get_backend()
    pyplot.switch_backend("agg")
    try:
        yield
    finally:
        pyplot.close("all")
        if before.lower() != "agg":
            pyplot.switch_backend(before)


def _recolour(page: str) -> str:
    """Use the colours of the rest of the report for the curves."""
    for theirs, ours in _COLOURS.items():
        page = page.replace(theirs, ours)
    return page


def _own_ids(figure: re.Match[str]) -> str:
    """Return the figure with unique ids; otherwise figures with the same frame share an id."""
    name = figure.group(1)
    return re.sub(r'(\bid="|url\(#|href="#)(?!qs-)', rf"\g<1>{name}-", figure.group(0))


def _clean(page: str) -> str:
    """Remove the parts of an SVG not needed inside a page: prologs, metadata, namespaces, scripts, links."""
    page = re.sub(
        r"<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->|<metadata>.*?</metadata>", "", page, flags=re.DOTALL
    )
    page = re.sub(
        r"<script\b.*?</script>|<link\b[^>]*>|</?a\b[^>]*>", "", page, flags=re.DOTALL | re.IGNORECASE
    )
    page = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", page)
    page = re.sub(r'<g id="[^"]*"', "<g", page)
    page = re.sub(r'(<svg\b[^>]*?)\swidth="[^"]*"|(<svg\b[^>]*?)\sheight="[^"]*"', r"\1\2", page)
    page = re.sub(r"\n\s*", "\n", page).replace("\ufe6a", "")  # a small percent sign that few fonts have
    page = re.sub(r'<figure id="qs-(\w+)">.*?</figure>', _own_ids, page, flags=re.DOTALL)
    if re.search(r"https?://", page):
        raise NoTearsheet(
            "QuantStats wrote an address into its page; it was left out to keep this file self-contained."
        )
    return page
