"""What a live run says about its model at the start, and what its journal has of each symbol."""

from dataclasses import replace

import pytest

from runs.live.header import Delivered, delivered, refit_note
from runs.live.journal import open_journal

DAY = 86_400_000
JULY = 1_751_328_000_000  # 2025-07-01


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (JULY - 12 * DAY, "model: the next refit is due 2025-07-01, in 12 days"),
        (JULY, "model: the next refit is due 2025-07-01, in 0 days"),
        (JULY + 3 * DAY, "model: the refit was due 2025-07-01, 3 days ago; run `scorenet walkforward`"),
    ],
)
def test_a_model_of_a_walk_forward_says_when_its_refit_is_due(tiny_model, now, said):
    model = replace(tiny_model, info={**tiny_model.info, "refit_due": JULY})
    assert refit_note(model, now).startswith(said)


def test_another_model_says_nothing(tiny_model):
    assert refit_note(tiny_model, JULY) == ""


def test_the_journal_tells_the_next_bar_of_each_symbol_and_the_rates_that_were_charged(tmp_path):
    header = {"first": 0, "settings": {"symbols": ["BTC", "ETH", "SOL"], "timeframe": "1m"}}
    row = [1.0, 1.0, 1.0, 1.0, 5.0]
    with open_journal(tmp_path) as journal:
        for bars in (
            {"BTC": [60_000, *row, 0.0001, 0.0], "ETH": [60_000, *row, 0.0, 0.0]},
            {"BTC": [120_000, *row, 0.0, 0.0]},
        ):
            journal.append("bar", late=False, bars=bars)
        journal.append("notice", what="revised", symbol="BTC", start=0)
        found = delivered(journal, header)
    values = tuple(row)
    assert found == {
        "BTC": Delivered(120_000, {0: 0.0001, 60_000: 0.0}, {60_000: values}),
        "ETH": Delivered(60_000, {0: 0.0}, {0: values}),
        "SOL": Delivered(0, {}),
    }
