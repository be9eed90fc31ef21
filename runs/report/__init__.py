"""The HTML report of a run: page, panels, charts, QuantStats tearsheet."""

from .axes import Tick
from .build import write_report
from .charts import BARE, HALF, Curve, Frame, column_chart, time_chart
from .markup import details, esc, key_values, panel, table
from .registry import PANELS, Panel, register_panel

__all__ = [
    "BARE",
    "HALF",
    "PANELS",
    "Curve",
    "Frame",
    "Panel",
    "Tick",
    "column_chart",
    "details",
    "esc",
    "key_values",
    "panel",
    "register_panel",
    "table",
    "time_chart",
    "write_report",
]
