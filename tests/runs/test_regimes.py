"""Regimes from the command: the rule as a setting, the table in metrics.json, the panel in the report."""

import json

import pytest

from runs.backtest import backtest, strategy_defaults
from runs.cli import main
from runs.markets import LoadOptions
from runs.settings import run_settings

SOURCE = "simulated:regimes?seed=9&bars=900&spread=4&stay=0.98&volatility_of_volatility=0.05&jump_rate=0"


@pytest.fixture(scope="module")
def folder(regime_model, tmp_path_factory):
    return regime_model.save(tmp_path_factory.mktemp("model") / "regimes")


def test_a_backtest_reports_the_profit_by_regime(regime_model, folder, tmp_path):
    account, params = run_settings(None, ["regimes=[0, 1]", "density_quantile=0"], strategy_defaults())
    metrics = backtest(folder, [SOURCE], tmp_path / "run", account, params, LoadOptions(progress=False))
    stored = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert stored["regimes"] == metrics["regimes"]
    (rows,) = metrics["regimes"].values()
    assert [row["name"] for row in rows][:3] == list(regime_model.regime_map.names)
    assert sum(row["bars"] for row in rows) == metrics["bars"] - 1
    profit = account.cash * metrics["total_return"]
    assert sum(row["pnl"] for row in rows) == pytest.approx(profit, rel=1e-9)
    assert rows[0]["pnl"] != 0.0
    page = (tmp_path / "run" / "report.html").read_text()
    assert 'id="regimes"' in page
    assert rows[2]["name"] in page


def test_an_unknown_regime_is_a_usage_error(folder, tmp_path, capsys, regime_model):
    name = regime_model.regime_map.names[0]
    setting = f'regimes=["{name[:-2]}"]'
    out = str(tmp_path / "run")
    with pytest.raises(SystemExit) as stopped:
        main(["backtest", "--model", str(folder), "--bars", SOURCE, "--set", setting, "--out", out])
    assert stopped.value.code == 2
    assert f"did you mean {name!r}" in capsys.readouterr().err
