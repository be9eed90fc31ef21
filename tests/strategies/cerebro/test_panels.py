"""The plot of a run with `MarketScore`: one panel for each output, labelled, also in a strategy of the user's."""

import backtrader as bt
import matplotlib
import numpy as np
import pytest

from strategies import MarketScore, save_plot
from strategies.cerebro.panels import LINES
from tests.strategies.cerebro.own import cerebro_of, market

matplotlib.use("Agg")


class Mine(bt.Strategy):
    params = (("model", None),)

    def __init__(self):
        self.score = MarketScore(self.data, model=self.p.model)


def panels_of(cerebro, tmp_path):
    """Return label and line of each panel of a saved plot, by the figure that Backtrader made."""
    from matplotlib import pyplot

    seen = {}
    close = pyplot.close

    def keep(figure):
        for axis in figure.axes:
            legend = axis.get_legend()
            texts = [text.get_text() for text in legend.get_texts()] if legend else []
            if len(axis.lines) and texts and texts[0].startswith("MarketScore"):
                seen[texts[0]] = np.asarray(axis.lines[0].get_ydata(), dtype=float)
        close(figure)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyplot, "close", keep)
        path = save_plot(cerebro, tmp_path / "plot.png", dpi=40, volume=False)
    assert path.read_bytes().startswith(b"\x89PNG")
    return seen


def test_each_output_has_its_panel_under_its_data(tiny_model, tmp_path):
    cerebro = cerebro_of([market(bars=30), market(4, bars=30, symbol="ETH")], tiny_model)
    (strategy,) = cerebro.run()
    seen = panels_of(cerebro, tmp_path)
    assert len(seen) == 2 * len(LINES)
    for symbol, state in zip(("BTC", "ETH"), strategy._states, strict=True):
        for name in LINES:
            (label,) = (
                one
                for one in seen
                if one.startswith(f"MarketScore ({symbol}, forward)\n{name.replace('_', ' ')}")
            )
            line = state._outputs._lines[list(MarketScore.lines._getlines()).index(name)]
            np.testing.assert_array_equal(seen[label], np.array(line.array))


def test_a_strategy_of_the_users_has_the_panels_too(tiny_model, tmp_path):
    cerebro = cerebro_of([market(bars=40)], tiny_model)
    cerebro.strats.clear()
    cerebro.addstrategy(Mine, model=tiny_model)
    cerebro.run()
    assert len(panels_of(cerebro, tmp_path)) == len(LINES)
    # A second plot has the same panels, not twice as many.
    assert len(cerebro.runstrats[0][0].getindicators()) == len(LINES)
    assert len(panels_of(cerebro, tmp_path)) == len(LINES)


def test_panels_cost_nothing_before_a_plot(tiny_model):
    (strategy,) = cerebro_of([market(bars=40)], tiny_model).run()
    assert [type(one) for one in strategy.getindicators()] == [MarketScore]


def test_a_run_without_its_bars_cannot_be_plotted(tiny_model, tmp_path):
    cerebro = cerebro_of([market(bars=40)], tiny_model, mode="exactbars")
    with pytest.raises(ValueError, match=r"call cerebro.run\(\) first, without exactbars"):
        save_plot(cerebro, tmp_path / "plot.png")
    cerebro.run()
    with pytest.raises(ValueError, match="without exactbars"):
        save_plot(cerebro, tmp_path / "plot.png")
