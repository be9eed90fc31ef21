"""The panel of where the profit came from says every figure of metrics.json."""

from dataclasses import dataclass, field
from typing import Any

from runs.report.panel_attribution import attribution


@dataclass
class Loaded:
    metrics: dict[str, Any] = field(default_factory=dict)
    currency: str = "USDT"


def part(gross, fees=1.0, slippage=2.0, funding=-0.5):
    return {
        "gross": gross,
        "fees": fees,
        "slippage": slippage,
        "funding": funding,
        "net": gross - fees - slippage - funding,
    }


FOUND = {
    "total": 1234.5,
    "gross": 1240.25,
    "costs": {
        "taker_fees": 3.0,
        "maker_fees": 0.25,
        "liquidation_fees": 0.0,
        "slippage": 4.0,
        "funding": -1.5,
    },
    "insurance": 0.0,
    "by_state": {"inside": part(900.0), "outside": part(300.0), "unknown": part(40.25)},
    "by_side": {"long": part(1240.25)},
    "by_reason": {"out_of_distribution": part(-7.125), "trade": part(10.0)},
    "by_symbol": {"A<b>": part(1240.25)},
    "by_month": {"2024-07": part(1240.25)},
    "refused": {"low_confidence": {"bars": 1200, "pnl": -321.75}},
}


def test_a_run_without_attribution_has_no_panel():
    assert attribution(Loaded()) == attribution(Loaded({"attribution": None})) == ""


def test_every_part_is_a_row_and_text_is_escaped():
    page = attribution(Loaded({"attribution": FOUND}))
    for text in (
        "State: in distribution",
        "State: out of distribution",
        "State: not known",
        "Side: long",
        "Decision: out of distribution",
        "Month: 2024-07",
        "Symbol: A&lt;b&gt;",
        "897.50",
        "Profit 1,234.50 = 1,240.25 before costs, less taker fees 3.00, maker fees 0.25",
        "funding −1.50",
        "low confidence",
        "1,200",
        "−321.75",
    ):
        assert text in page
    assert "A<b>" not in page
    assert "beyond the equity" not in page


def test_insurance_is_told_and_what_was_refused_may_be_missing():
    found = {key: value for key, value in FOUND.items() if key != "refused"} | {"insurance": 12.0}
    page = attribution(Loaded({"attribution": found}))
    assert "Losses of 12.00 beyond the equity were not charged." in page
    assert "filter refused" not in page
