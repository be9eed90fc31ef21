"""A walk-forward is one account over a schedule of models and settings, each known before it is used."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from runs.engine import run
from runs.folder.rundir import NotARunDir, RunDir, UnwritableRun
from runs.markets import LoadOptions, load_markets
from runs.settings import Account
from runs.study import model_cache
from runs.walkforward import WalkRequest, walkforward
from runs.walkforward.text import format_walk
from scorenet import ConfigError, ScoreModel
from strategies import ScoreStrategy

HOUR, DAY = 3_600_000, 86_400_000
SOURCES = ("simulated:planted?seed=1&bars=1200&symbol=A", "simulated:planted?seed=2&bars=1200&symbol=B")
SET = (
    "features=chapter",
    "forward.horizon=4",
    "density_quantile=0.0",
    "close_quantile=0.0",
    "forecast_window=2",
)
GRID = ("rebalance_band=0.0,0.4", "cooldown=0,12")


class Learned(list):
    """What each training was given: symbol, first and last bar of each market."""


@pytest.fixture(scope="module")
def learned(tiny_model):
    """Training that takes no time: each model forecasts with another strength, and says what it was trained on."""
    calls = Learned()

    def learn(markets, config, *, info, warm_start=None, **_):
        calls.append([(m.symbol, int(m.bars["timestamp"][0]), int(m.bars["timestamp"][-1])) for m in markets])
        strength = tiny_model.calibration.typical_forecast * (1.0 + 0.1 * len(calls))
        calibration = replace(tiny_model.calibration, typical_forecast=strength)
        return replace(tiny_model, calibration=calibration, info=tiny_model.info | info)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_cache, "learn", learn)
        patch.setattr(model_cache, "_loaded", type(model_cache._loaded)())
        patch.setattr(
            "runs.folder.write.write_report", lambda folder: None
        )  # it takes most of the time of a small run
        yield calls


@pytest.fixture(scope="module")
def plain(learned, tmp_path_factory):
    """A walk-forward without a search: its folder, its metrics, and what was trained for it."""
    folder, before = tmp_path_factory.mktemp("plain"), len(learned)
    metrics = walkforward(request(folder))
    return folder, metrics, learned[before:]


@pytest.fixture(scope="module")
def searched(learned, tmp_path_factory):
    """A walk-forward that chooses two settings in each fold."""
    folder = tmp_path_factory.mktemp("searched")
    return folder, walkforward(searching(folder))


def request(folder: Path, **options):
    given = {"bars": SOURCES, "out": str(folder / "out"), "train": 15, "test": 10, "pairs": SET, **options}
    given.setdefault("load", LoadOptions(data_dir=str(folder / "data"), progress=False))
    return WalkRequest(**given)


def searching(folder: Path, **options):
    return request(folder, validation=8, grid=GRID, evaluator="cerebro", **options)


def test_without_a_search_it_is_one_run_over_the_schedule_of_models(plain):
    folder, metrics, _ = plain
    out = RunDir.open(folder / "out")
    frames = load_markets(SOURCES, LoadOptions(progress=False))
    first = int(frames[0]["timestamp"].iloc[0])
    # 15 days of training, a gap of 20 + 4 bars, then 10 days each.
    since = [first + (16 + 10 * number) * DAY + HOUR for number in range(4)]
    models = [ScoreModel.load(path) for path in out.read_frame("folds")["model_path"]]
    assert len({model.fingerprint for model in models}) == 4
    params = {"density_quantile": 0.0, "close_quantile": 0.0, "forecast_window": 2}
    by_hand = run(
        frames,
        Account(),
        ScoreStrategy,
        {**params, "model": list(zip(since, models, strict=True)), "trade_from": since[0]},
        since=since[0],
    )
    np.testing.assert_array_equal(out.read_frame("equity")["equity"], by_hand.equity["equity"])
    assert metrics["n_folds"] == metrics["n_trials"] == 4
    assert metrics["pbo"] is None
    assert metrics["deflated_sharpe"] == metrics["out_of_sample"]["probabilistic_sharpe"]


def test_a_model_learns_from_the_bars_of_its_training_part_only(plain):
    _, _, trained = plain
    first = int(load_markets(SOURCES[:1], LoadOptions(progress=False))[0]["timestamp"].iloc[0])
    spans = [(first + 10 * n * DAY, first + (15 + 10 * n) * DAY - HOUR) for n in range(4)]
    assert trained == [[("A", *span), ("B", *span)] for span in spans]


def test_returns_of_the_folds_compound_to_that_of_the_account(plain):
    _, metrics, _ = plain
    returns = [fold["total_return"] for fold in metrics["folds"]]
    assert np.prod([1.0 + value for value in returns]) - 1.0 == pytest.approx(
        metrics["total_return"], rel=1e-9
    )
    assert sum(fold["n_orders"] for fold in metrics["folds"]) == metrics["n_orders"] > 4


def test_the_last_model_is_kept_with_the_date_of_its_refit(plain):
    folder, metrics, _ = plain
    last = ScoreModel.load(folder / "out" / "model")
    folds = RunDir.open(folder / "out").read_frame("folds")
    assert last.fingerprint == folds["model"].iloc[-1]
    due = folds["test_since"].iloc[-1] + pd.Timedelta(days=10)
    assert last.info["refit_due"] == due.timestamp() * 1000
    assert metrics["refit_due"] == due.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_the_text_has_a_line_a_fold_and_ends_with_the_verdict(plain, searched):
    _, metrics, _ = plain
    lines = format_walk(metrics, Path("out/report.html")).splitlines()
    assert lines[-1] == metrics["verdict"]
    assert sum(line.startswith(f"   {number}  2020-") for line in lines for number in range(9)) == 4
    assert "settings" not in next(line for line in lines if line.startswith("fold"))
    found = format_walk(searched[1], Path("out/report.html"))
    assert "sharpe_ratio in validation, settings" in found
    assert "rebalance_band=" in found
    assert "settings chosen from 12 trials on earlier bars" in found


def test_another_run_with_other_thresholds_trains_nothing(plain, learned):
    folder, _, _ = plain
    trained = len(learned)
    metrics = walkforward(request(folder, out=str(folder / "other"), pairs=(*SET, "rebalance_band=0.5")))
    assert len(learned) == trained
    assert metrics["training_seconds"] == 0.0


def test_each_fold_trades_by_the_settings_that_its_validation_part_chose(searched):
    folder, metrics = searched
    out = RunDir.open(folder / "out")
    trials, folds = out.read_frame("trials"), out.read_frame("folds")
    assert len(trials) == metrics["n_trials"] == 4 * len(folds)
    for number, fold in folds.iterrows():
        own = trials[trials["fold"] == number]
        best = own.loc[own["sharpe_ratio"].idxmax()]
        chosen = json.loads(fold["settings"])
        assert (best["params_rebalance_band"], best["params_cooldown"]) == (
            chosen["rebalance_band"],
            chosen["cooldown"],
        )
        assert own["chosen"].tolist() == [row == best["number"] for row in own["number"]]
        assert fold["validation_sharpe_ratio"] == best["sharpe_ratio"]
    assert 0.0 <= metrics["pbo"] <= 1.0


def test_a_choice_does_not_depend_on_later_bars(searched):
    folder, _ = searched
    whole = RunDir.open(folder / "out").read_frame("folds")
    cut = str(whole["test_since"].iloc[1]).replace(" ", "T")
    options = LoadOptions(data_dir=str(folder / "data"), progress=False, until=cut)
    walkforward(searching(folder, out=str(folder / "short"), load=options))
    part = RunDir.open(folder / "short").read_frame("folds")
    assert len(part) == 1 < len(whole)
    for name in (
        "settings",
        "model",
        "validation_sharpe_ratio",
        "train_since",
        "train_until",
        "total_return",
    ):
        assert part[name].iloc[0] == whole[name].iloc[0], name


def test_resume_goes_on_and_gives_the_same(searched, tmp_path, monkeypatch):
    folder, whole = searched
    asked = searching(tmp_path, load=LoadOptions(data_dir=str(folder / "data"), progress=False))

    def stop(*given, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("runs.walkforward.command.run", stop)
        with pytest.raises(KeyboardInterrupt):
            walkforward(asked)
    with pytest.raises(NotARunDir, match="is not empty; go on with --resume"):
        walkforward(asked)
    journals = sorted((tmp_path / "out").glob("folds/*/trials.journal"))
    before = [path.read_bytes() for path in journals]
    resumed = walkforward(replace(asked, resume=True))
    assert [path.read_bytes() for path in journals] == before
    assert resumed["total_return"] == whole["total_return"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grid": ("taker=0.0,0.001",)}, "taker: the account is the same in all folds"),
        ({"grid": ("forward.horizon=4,8",)}, "need one horizon"),
        ({"grid": ("allocation=equal,risk",)}, "allocation cannot change on the way"),
        (
            {"grid": ("state.steps=4,8",), "warm_start": True},
            "--warm-start needs models of the same settings",
        ),
        ({"grid": ("cooldwn=4,8",)}, "did you mean 'cooldown'"),
        ({"pairs": ("cooldwn=4",)}, "did you mean 'cooldown'"),
    ],
)
def test_settings_that_cannot_differ_between_folds_are_refused(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        walkforward(request(tmp_path, validation=8, **{"grid": GRID, **options}))
    assert not (tmp_path / "out").exists()


def test_a_walk_forward_is_not_resumed_with_another_version_of_a_plug_in(searched, learned, monkeypatch):
    folder, _ = searched
    monkeypatch.setattr("runs.walkforward.choice.plugin_identity", lambda: {"plugins": ["abc123"]})
    with pytest.raises(ConfigError, match=r"has plugins = .*, this command has \['abc123'\]"):
        walkforward(searching(folder, resume=True))


def test_a_second_process_does_not_write_into_the_folder_of_the_first(tmp_path, learned, monkeypatch):
    class Reached(Exception):
        pass

    def intrude(*given, **options):
        with pytest.raises(UnwritableRun, match="another process runs a walk-forward"):
            walkforward(request(tmp_path, pairs=(*SET, "rebalance_band=0.3"), resume=True))
        raise Reached

    monkeypatch.setattr("runs.walkforward.command.run", intrude)
    with pytest.raises(Reached):
        walkforward(request(tmp_path))


@pytest.mark.parametrize(
    ("name", "content"), [("journal.jsonl", ""), ("notes.txt", ""), ("config.toml", 'command = "backtest"\n')]
)
def test_resume_writes_over_nothing_that_is_not_its_own(tmp_path, learned, name, content):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text(content)
    with pytest.raises(NotARunDir, match="choose another --out"):
        walkforward(request(tmp_path, resume=True))
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]


def test_a_folder_that_cannot_be_written_is_said_before_the_first_training(tmp_path, learned):
    before = len(learned)
    (tmp_path / "file").touch()
    with pytest.raises(UnwritableRun, match="choose another --out"):
        walkforward(replace(request(tmp_path), out=str(tmp_path / "file" / "out")))
    assert len(learned) == before


def test_combinatorial_paths_cover_all_bars_and_learn_from_none_of_theirs(learned, tmp_path):
    before = len(learned)
    metrics = walkforward(request(tmp_path, combinatorial="4,2"))
    paths = metrics["paths"]
    # C(4, 2) = 6 models; each group is tested in 3 of them, so there are 3 paths.
    assert paths["n_paths"] == len(paths["sharpe_ratios"]) == 3
    assert all(value is not None for value in paths["sharpe_ratios"])
    assert paths["sharpe_ratio_5"] <= paths["sharpe_ratio_median"] <= paths["sharpe_ratio_95"]
    frame = load_markets(SOURCES[:1], LoadOptions(progress=False))[0]
    first, last = (int(frame["timestamp"].iloc[place]) for place in (0, -1))
    # The models of the walk-forward's 4 folds come first. With groups 0 and 1 tested, the bars 600 to 1199 train but
    # for a gap of 24; with 2 and 3 tested, the first half.
    spans = [calls[0][1:] for calls in learned[before + 4 :]]
    assert spans[0] == (first + (600 + 24) * HOUR, last)
    assert spans[-1] == (first, first + (600 - 24 - 1) * HOUR)


@pytest.mark.parametrize("text", ["6", "6,2,1", "six,two", "6,6", "1,1"])
def test_impossible_groups_are_refused(tmp_path, learned, text):
    with pytest.raises(ConfigError, match="--combinatorial"):
        walkforward(request(tmp_path, combinatorial=text))
