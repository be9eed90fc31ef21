"""Registry of the report's panels, in order; `register_panel` adds a user's own."""

from __future__ import annotations

import sys
from collections.abc import Callable

from scorenet.base.registry import Registry

from ..folder.contents import LoadedRun
from . import panel_attribution, panel_charts, panel_regimes, panel_tables, study
from .markup import esc, panel
from .tearsheet import tearsheet_panel

__all__ = ["PANELS", "Panel", "register_panel", "render_panels"]

Panel = Callable[[LoadedRun], str]
"""A loaded run -> HTML; all external text must pass through `esc`."""

PANELS: Registry[Panel] = Registry("panel")

for _name, _panel in (
    ("warnings", panel_tables.warnings),
    ("search", study.outcome),
    ("cards", panel_tables.cards),
    ("importance", study.importance_panel),
    ("held_out", study.held_out),
    ("surface", study.surfaces),
    ("slices", study.slices),
    ("best_trials", study.best_trials),
    ("failures", study.failures),
    ("folds", study.folds),
    ("equity", panel_charts.equity),
    ("drawdowns", panel_charts.drawdowns),
    ("costs", panel_charts.costs),
    ("prices", panel_charts.prices),
    ("familiarity", panel_charts.familiarity),
    ("exposure", panel_charts.exposure),
    ("decisions", panel_tables.decisions),
    ("ranks", panel_charts.ranks),
    ("metrics", panel_tables.metrics),
    ("attribution", panel_attribution.attribution),
    ("symbols", panel_tables.symbols),
    ("regimes", panel_regimes.regimes),
    ("trades", panel_tables.trades),
    ("model", panel_tables.model),
    ("provenance", panel_tables.provenance),
    ("tearsheet", tearsheet_panel),
):
    PANELS.register(_name)(_panel)

_BUILT_IN = frozenset(PANELS)


def register_panel(name: str) -> Callable[[Panel], Panel]:
    """Return a decorator that registers a function of a loaded run as a panel, below those of the package.

    The function returns HTML. Helpers in `runs.report`: `panel` makes the titled frame, `esc` escapes text; `table`,
    `key_values`, `time_chart` and `column_chart` draw. Panels appear in the order of registration.

    Raises:
        ValueError: the name is taken or is not an identifier.
    """
    return PANELS.register(name)


def render_panels(run: LoadedRun) -> str:
    """Return the HTML of every panel; a user's panel that fails is replaced by its error, also shown on stderr."""
    return "".join(PANELS[name](run) if name in _BUILT_IN else _own(name, run) for name in PANELS)


def _own(name: str, run: LoadedRun) -> str:
    try:
        body = PANELS[name](run)
        if not isinstance(body, str):
            raise TypeError(f"expected HTML as a string, found {type(body).__name__}")
    except Exception as error:  # user code may raise any error; the report is written in any case
        said = f"{type(error).__name__}: {error}"
        print(f"scorenet: the panel {name!r} failed: {said}", file=sys.stderr)
        return panel(name, f"<p class=empty>This panel failed: {esc(said)}</p>", name=name)
    return body
