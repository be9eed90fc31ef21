"""--plugin FILE.py: the example works in every command, and a bad file gives an error of one line."""

import hashlib
import json
import tomllib
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from runs import plugins
from runs.cli import main
from runs.report import PANELS
from scorenet.features import FEATURE_SETS
from scorenet.score import NETWORKS, OBJECTIVES
from scorenet.signals import SIGNALS
from strategies.account.slippage import SLIPPAGE
from strategies.decision import ALLOCATIONS, POSITION_RULES

EXAMPLE = Path(__file__).parents[2] / "examples" / "plugin.py"
BARS = "simulated:planted?seed=5&bars=900"
TRADED = "simulated:planted?seed=6&bars=300&start=2021-01-01"
BRIEF = """
features = "trend"
signals = ["fade"]
[state]
objective = "huber"
network = "small"
hidden = 16
steps = 20
[density]
points = 64
hidden = 16
steps = 10
[forward]
horizon = 4
hidden = 16
members = 2
components = 2
scale_steps = 20
steps = 10
"""


@pytest.fixture(autouse=True)
def _own_names():
    registries = (FEATURE_SETS, NETWORKS, OBJECTIVES, SIGNALS, PANELS, SLIPPAGE, POSITION_RULES, ALLOCATIONS)
    before, loaded = [set(registry) for registry in registries], dict(plugins._loaded)
    plugins._loaded.clear()
    yield
    for registry, names in zip(registries, before, strict=True):
        for name in set(registry) - names:
            registry.remove(name)
    plugins._loaded.clear()
    plugins._loaded.update(loaded)


def scorenet(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def test_the_example_trains_trades_and_shows_its_panel(tmp_path):
    (tmp_path / "brief.toml").write_text(BRIEF)
    model, out = tmp_path / "m", tmp_path / "o"
    plugin = ("--plugin", EXAMPLE)
    done = scorenet(
        "train", *plugin, "--config", tmp_path / "brief.toml", "--bars", BARS, "--out", model, "--json"
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["features"] == ["return_1", "trend_24", "range_24", "volume"]
    own = ("--set", "slippage_model=size_impact", "--set", "position_rule=half", "--set", "slippage=0.001")
    own += ("--set", "allocation=calm", "--set", "forecast_window=1")
    trade = ("backtest", *plugin, "--model", model, "--bars", TRADED, "--signal", "fade")
    done = scorenet(*trade, *own, "--out", out)
    assert done.exit_code == 0, done.output
    page = (out / "report.html").read_text()
    assert page.index('id="tearsheet"') < page.index('id="hours"')
    traded = pd.read_parquet(out / "orders.parquet")
    assert len(traded)
    assert (traded["slippage"] > 1.01 * 0.001 * traded["size"].abs() * traded["reference_price"]).all()
    decided = pd.read_parquet(out / "decisions.parquet")
    # Half of the capital by the rule, nothing while the allocation gives the symbol no part.
    assert set(decided.loc[decided["reason"] == "trade", "target"].abs()) - {0.0} == {0.5}
    config = tomllib.loads((out / "config.toml").read_text())
    assert (config["account"]["slippage_model"], config["strategy"]["position_rule"]) == (
        "size_impact",
        "half",
    )
    done = scorenet(*trade, "--set", "slippage_model=size_impct", "--out", tmp_path / "p")
    assert (done.exit_code, "did you mean 'size_impact'?" in done.stderr) == (2, True)
    assert config["strategy"]["allocation"] == "calm"
    done = scorenet(*trade, "--set", "allocation=clam", "--out", tmp_path / "p")
    assert (done.exit_code, "did you mean 'calm'?" in done.stderr) == (2, True)
    done = scorenet(*trade, "--set", "position_rule=halv", "--out", tmp_path / "p")
    assert (done.exit_code, "did you mean 'half'?" in done.stderr) == (2, True)
    assert scorenet("check-model", model, *plugin).exit_code == 0
    ran = {"path": str(EXAMPLE), "sha256": hashlib.sha256(EXAMPLE.read_bytes()).hexdigest()}
    assert json.loads((model / "model.json").read_text())["plugins"] == [ran]
    assert json.loads((out / "manifest.json").read_text())["plugins"] == [ran]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n\ny = x / 0\n", "bad.py, line 3: ZeroDivisionError: division by zero"),
        ("def f(:\n", "bad.py, line 1: SyntaxError"),
        ("import no_such_module\n", "bad.py, line 1: ModuleNotFoundError: No module named 'no_such_module'"),
        (
            "from scorenet import register_sampler\n\nregister_sampler('heun')(print)\n",
            "line 3: ValueError: sampler 'heun' is taken",
        ),
    ],
)
def test_a_bad_file_is_one_line_with_its_number(tmp_path, text, message):
    file = tmp_path / "bad.py"
    file.write_text(text)
    done = scorenet("report", "--plugin", file, tmp_path)
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_missing_file_is_a_usage_error(tmp_path):
    done = scorenet("report", "--plugin", tmp_path / "gone.py", tmp_path)
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)
    assert "expected a Python file" in done.stderr
