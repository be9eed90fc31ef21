"""What a live run says about its model at the start."""

from dataclasses import replace

import pytest

from runs.live.header import refit_note

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
