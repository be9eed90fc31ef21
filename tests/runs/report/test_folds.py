"""The panel of a walk-forward: its folds side by side, and nothing on the page of another run."""

import json
from types import SimpleNamespace

from runs.report.study import folds

FOLD = {
    "fold": 0,
    "train_since": "2024-01-01T00:00:00Z",
    "train_until": "2024-03-01T00:00:00Z",
    "test_since": "2024-03-05T00:00:00Z",
    "test_until": "2024-04-01T00:00:00Z",
    "model": "0123456789abcdef",
    "settings": "{}",
    "trials": 0,
    "total_return": 0.0196,
    "sharpe_ratio": None,
    "max_drawdown": -0.0396,
    "n_orders": 1149,
    "validation_sharpe_ratio": None,
}


def page(*found):
    return folds(SimpleNamespace(metrics={"folds": list(found), "objective": "sharpe_ratio"}))


def test_a_fold_is_a_row_with_dates_model_and_figures():
    html = page(FOLD)
    for text in (
        "2024-01-01 – 2024-03-01",
        "2024-03-05 – 2024-04-01",
        "+1.96 %",
        "−3.96 %",
        "1,149",
        "01234567<",
    ):
        assert text in html, text
    assert "<td>–</td>" in html  # an undefined figure is a dash
    assert "Settings" not in html


def test_chosen_settings_are_shown_beside_what_chose_them():
    settings = json.dumps({"rebalance_band": 0.28394, "cooldown": 6, "position_rule": "<b>kelly</b>"})
    html = page({**FOLD, "trials": 4, "settings": settings, "validation_sharpe_ratio": 2.5})
    assert "rebalance_band 0.2839, cooldown 6, position_rule &lt;b&gt;kelly&lt;/b&gt;" in html
    assert "2.50" in html
    assert "the Sharpe ratio of the settings on the part that chose them" in html


def test_another_run_has_no_such_panel():
    assert folds(SimpleNamespace(metrics={})) == ""
    assert page() == ""
