"""Exports of the packages, import times, and constants that separate layers must agree on."""

import ast
import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import backtrader as bt
import pytest

import feeds
import scorenet
import strategies
from feeds.bars import cells
from feeds.bars import frame as bars
from scorenet import features

ROOT = Path(__file__).parents[1]
PACKAGES = (scorenet, feeds, strategies)
HEAVY = ("backtrader", "ccxt", "pandas", "pyarrow", "quantstats", "torch", "sklearn", "matplotlib", "ray")


def loaded_after(code):
    """Return which heavy packages a fresh interpreter has imported after `code`."""
    program = f"import sys\n{code}\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-W", "error::SyntaxWarning", "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_exports_are_sorted_complete_and_there(package):
    names = package.__all__
    assert names == sorted(names)
    assert len(set(names)) == len(names)
    for name in names:
        value = getattr(package, name)
        assert not inspect.ismodule(value), name
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), f"{name} has no docstring"
    public = {
        name
        for name, value in vars(package).items()
        if not name.startswith("_")
        and name != "lazy_exports"
        and not inspect.ismodule(value)
        and str(getattr(value, "__module__", "")).partition(".")[0] == package.__name__
    }
    assert public <= set(names), "imported and not exported"


def modules():
    for package in ("scorenet", "feeds", "strategies", "runs"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("name", [name for name in modules() if "." in name])
def test_every_module_says_what_it_exports_and_what_it_is_for(name):
    module = importlib.import_module(name)
    assert module.__doc__
    assert isinstance(module.__all__, list)
    for exported in module.__all__:
        assert hasattr(module, exported), exported


def test_the_names_of_the_design_can_be_imported():
    from feeds import BarsData, ReplayData, load_bars
    from scorenet import ScoreModel, learn
    from strategies import InDistribution, PerpetualBroker, PerpetualCommission, ScoreStrategy

    for name in ("load", "save", "features", "lookback", "score", "log_density", "density_rank"):
        assert hasattr(ScoreModel, name) or name in ScoreModel.__dataclass_fields__
    for name in ("in_distribution", "denoise", "sample", "scenarios", "forward", "evaluate"):
        assert hasattr(ScoreModel, name)
    assert all((BarsData, ReplayData, load_bars, learn, InDistribution, PerpetualBroker, PerpetualCommission))
    parameters = set(dict(ScoreStrategy.params._getitems()))
    assert parameters >= {
        "model", "signal", "confidence_threshold", "density_quantile", "novelty_scaling", "consistency_window",
        "score_variance_scaling", "target_volatility", "max_exposure", "leverage", "rebalance_band", "cooldown",
        "max_drawdown_stop", "stale_after",
    }  # fmt: skip


def test_what_a_script_adds_to_cerebro_can_be_imported_from_scorenet():
    kinds = (bt.Analyzer, bt.Indicator, bt.Strategy, bt.brokers.BackBroker, bt.CommInfoBase)
    public = {name: getattr(strategies, name) for name in strategies.__all__}
    added = {name for name, item in public.items() if isinstance(item, type) and issubclass(item, kinds)}
    added |= {name for name in public if name.startswith(("add_", "register_"))}
    assert len(added) >= 24
    # It repeats the orders of a recorded run; a script of one's own has no use for it.
    assert added - set(scorenet.__all__) <= {"ReplayOrders"}


def test_feeds_and_scorenet_agree_on_the_columns_of_a_bar():
    assert ("timestamp", *features.INPUTS) == bars.COLUMNS
    account = ("filled", *cells.MARK_COLUMNS)  # the account reads these, a model never
    assert (*features.OPTIONAL_INPUTS, *account) == bars.OPTIONAL_COLUMNS


def test_the_lazy_lists_of_a_package_agree_with_what_the_type_checker_reads():
    for package in PACKAGES:
        tree = ast.parse(Path(package.__file__).read_text())
        block = next(node for node in tree.body if isinstance(node, ast.If))
        typed = {
            ("." * node.level + node.module, alias.name)
            for node in block.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        assert typed == {(module, name) for module, names in package._EXPORTS.items() for name in names}
        assert package.__all__ == sorted(name for _, name in typed)


def test_an_unknown_name_of_a_lazy_package_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'scorenet' has no attribute 'ScoreModle'"):
        _ = scorenet.ScoreModle


def test_importing_a_package_costs_nothing_until_a_name_is_used():
    assert loaded_after("import scorenet, feeds, strategies, scorenet.__main__") == set()


def test_scorenet_is_numbers_in_and_numbers_out():
    assert loaded_after("import scorenet; scorenet.ScoreModel") == {"torch"}


def test_bars_need_neither_a_net_nor_an_exchange_nor_backtrader():
    assert loaded_after("import feeds; feeds.simulate('planted', bars=10)") <= {"pandas", "pyarrow"}


def test_strategies_need_no_frames():
    assert loaded_after("import strategies; strategies.ScoreStrategy") == {"torch", "backtrader"}


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["data", "list", "--help"]], ids=" ".join)
def test_help_is_cheap(words):
    code = f"from runs.cli import main\nmain({words!r}, prog_name='scorenet', standalone_mode=False)"
    assert loaded_after(code) == set()
