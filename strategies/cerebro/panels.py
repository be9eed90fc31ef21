"""The panels of `MarketScore` in a plot of Backtrader, one for each output, and a plot without a window."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import backtrader as bt

__all__ = ["LINES", "Panel", "add_panels", "save_plot"]

LINES: dict[str, dict[str, Any]] = {
    "density_rank": {"plothlines": [0.05], "plotyticks": [0.0, 0.5, 1.0]},
    "score": {"plothlines": [0.0]},
    "confidence": {"plotyticks": [0.0, 0.5, 1.0]},
    "log_density": {},
}
"""The outputs that are shown, each with the settings of its panel; the first is the panel of the indicator itself."""


class _Info(SimpleNamespace):
    """Settings of a panel or a line, as Backtrader's plotter reads them."""

    def _get(self, name: str, default: Any = None) -> Any:
        return getattr(self, name, default)

    def _getkwargs(self, skip_: bool = False) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not (skip_ and name.startswith("_"))}


class Panel:
    """One line of an indicator, which the plotter takes for an indicator of its own.

    Backtrader draws all lines of an indicator in one panel, with one scale. As real indicators the panels would cost
    time at every bar; these exist only while a plot is made.
    """

    def __init__(self, source: Any, line: str, **info: Any) -> None:
        self._source, self._line = source, getattr(source.lines, line)
        self._clock = source._clock
        self.lines = self
        self.plotlines = _Info(_0=_Info(_name=line.replace("_", " ")))
        shared = {name: getattr(source.plotinfo, name) for name in ("plotabove", "plotmaster", "legendloc")}
        self.plotinfo = _Info(
            plot=True,
            plotskip=False,
            subplot=True,
            plotlinelabels=False,
            plotlinevalues=True,
            **shared,
            **info,
        )

    def __getitem__(self, number: int) -> Any:
        return self._line

    def _getlinealias(self, number: int) -> str:
        return str(self.plotlines._0._name)

    def size(self) -> int:
        """Return the number of lines."""
        return 1

    def plotlabel(self) -> str:
        """Return the label of the panel: that of its indicator."""
        return str(self._source.plotlabel())

    def _plotinit(self) -> None:
        pass


def add_panels(score: Any) -> None:
    """Add the further panels of a `MarketScore` to its strategy's indicators; called when a plot begins."""
    shown = score._owner._lineiterators[bt.LineIterator.IndType]
    if not any(isinstance(item, Panel) and item._source is score for item in shown):
        # The plotter is going through this list, and comes to them next.
        shown.extend(Panel(score, line, **info) for line, info in list(LINES.items())[1:])


def save_plot(
    cerebro: Any,
    path: str | Path,
    *,
    width: float = 16.0,
    height: float = 9.0,
    dpi: int = 100,
    **options: Any,
) -> Path:
    """Write Backtrader's plot of a finished run as a picture, without a window or a display.

    `options` are those of `cerebro.plot`, e.g. `style="candle"` or `volume=False`; width and height are in inches.

    Raises:
        ImportError: matplotlib is missing; `pip install 'scorenet[plot]'`.
        ValueError: the Cerebro has not run, or has no bars to plot.
    """
    import matplotlib

    matplotlib.use("Agg")
    # Backtrader asks for a window's backend when it is imported; once pyplot has another, this has no effect.
    import matplotlib.pyplot as pyplot
    from backtrader.plot import Plot

    class Silent(Plot):  # type: ignore[misc]
        def show(self) -> None:
            """Show nothing."""

    if getattr(cerebro, "_exactbars", 0) > 0 or not getattr(cerebro, "runstrats", None):
        raise ValueError(
            "a plot needs all bars of a finished run; call cerebro.run() first, without exactbars"
        )
    figures = cerebro.plot(plotter=Silent(**options), iplot=False)
    figure = figures[0][0]
    # Backtrader hides the dates of all panels that share an axis, and with newer versions of matplotlib the last too.
    figure.axes[-1].tick_params(axis="x", labelbottom=True)
    pyplot.setp(figure.axes[-1].get_xticklabels(), visible=True, rotation=15, ha="right")
    for legend in filter(None, (axis.get_legend() for axis in figure.axes)):
        legend.set_frame_on(True)
        legend.get_frame().set(alpha=0.8, linewidth=0.0)
    figure.set_size_inches(width, height)
    figure.savefig(path, dpi=dpi, bbox_inches="tight")
    for made in figures:
        for one in made:
            pyplot.close(one)
    return Path(path)
