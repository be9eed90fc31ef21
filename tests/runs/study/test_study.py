"""A study: the same rows whatever the order of the results, after a kill, and on any executor."""

import itertools
import json
import random

import numpy as np
import pytest

from runs.executors import SerialExecutor
from runs.folder.errors import CorruptJournal, UnwritableRun
from runs.search import GridSampler, OptunaSampler, RandomSampler, SearchSpace
from runs.study import MedianRule, Objectives, Outcome, Plan, Study
from runs.study.journal import FILE, Journal, returns_of
from runs.study.matrix import parts_of
from runs.study.table import setting_kinds, write_table
from runs.study.worth import judge
from scorenet import ConfigError

SPACE = SearchSpace.parse(
    ["density_quantile=0..1", "cooldown=0,6,12", "signal=forward,state"],
    ["cooldown < 12 or signal == 'state'"],
)


class Hill:
    """A known surface: the Sharpe ratio falls with the distance of density_quantile from 0.3."""

    def __init__(self, batch=1):
        self.batch, self.calls = batch, []

    def evaluate(self, batch, floors=()):
        self.calls += list(batch)
        return [self.one(settings, floors) for settings in batch]

    def one(self, settings, floors):
        if settings["signal"] == "state" and settings["cooldown"] == 0:
            return Outcome(status="failed", reason="ValueError: no such signal")
        value = 1.0 - abs(settings["density_quantile"] - 0.3) - settings["cooldown"] / 100
        if floors and value < floors[0]:
            return Outcome({"sharpe_ratio": value}, status="pruned", reason="below", early=(value,))
        noise = np.random.default_rng(int(1e6 * settings["density_quantile"])).standard_normal(50)
        return Outcome(
            {"sharpe_ratio": value, "turnover": -value}, value / 100 + noise / 100, early=(value, value)
        )


class Shuffled(SerialExecutor):
    """An executor of four slots whose chunks end in random order."""

    slots = 4

    def __init__(self, seed):
        super().__init__()
        self.rng = random.Random(seed)

    def finished(self):
        self._queue.rotate(self.rng.randrange(len(self._queue)))
        return super().finished()


class Killed(Exception):
    """Stands for a kill in the middle."""


def samplers():
    return {
        "random": lambda: RandomSampler(SPACE, seed=4),
        "optuna": lambda: OptunaSampler(SPACE, seed=4),
    }


def study(sampler, executor=None, *, prune=False, batch=1, **options):
    plan = Plan(prune=MedianRule(after=3) if prune else None, identity={"bars": "a", "seed": 4})
    return Study(SPACE, Hill(batch), samplers()[sampler](), executor, plan=plan, **options)


def rows(one):
    return [json.dumps(row) for row in one.journal.rows()]


@pytest.mark.parametrize("prune", [False, True], ids=["whole", "pruned"])
@pytest.mark.parametrize("sampler", ["random", "optuna"])
def test_rows_do_not_depend_on_the_order_of_the_results(sampler, prune):
    wanted = rows(study(sampler, prune=prune).run(30))
    assert rows(study(sampler, Shuffled(1), prune=prune).run(30)) == wanted
    assert len(wanted) == 30
    assert any('"pruned"' in row for row in wanted) == prune


@pytest.mark.parametrize("sampler", ["random", "optuna"])
def test_a_resumed_study_is_the_uninterrupted_one(sampler, tmp_path):
    whole = study(sampler, prune=True).run(30)
    for number, killed_after in enumerate((0, 1, 13, 29)):
        folder = tmp_path / f"{killed_after}"
        _kill(study(sampler, Shuffled(number), prune=True, folder=folder), killed_after)
        path = folder / FILE
        path.write_bytes(path.read_bytes()[: -1 - 7 * number])  # the kill has cut the last line
        again = study(sampler, Shuffled(9), prune=True, folder=folder, resume=True)
        kept = len(again.journal)
        again.run(30)
        assert len(again.evaluator.calls) == 30 - kept < 30 or not kept
        assert rows(again) == rows(whole)
        assert again.trials.equals(whole.trials)
        assert again.best == whole.best


def _kill(one, after):
    def told(study, row):
        if row["number"] >= after:
            raise Killed

    with pytest.raises(Killed):
        one.run(30, told=told)


def test_more_trials_can_be_added_to_a_study_that_has_ended(tmp_path):
    one = study("random", folder=tmp_path / "a")
    one.run(10)
    more = study("random", folder=tmp_path / "a", resume=True).run(20)
    assert rows(more) == rows(study("random").run(20))
    assert len(more.evaluator.calls) == 10


def test_a_study_of_other_settings_is_not_resumed(tmp_path):
    study("random", folder=tmp_path)
    other = Plan(identity={"bars": "b", "seed": 4})
    with pytest.raises(ConfigError, match=r"has bars = 'a', this command has 'b'"):
        Study(SPACE, Hill(), RandomSampler(SPACE), plan=other, folder=tmp_path, resume=True)
    with pytest.raises(UnwritableRun, match="choose another --out"):
        study("random", folder=tmp_path)


def test_another_sampler_under_the_same_name_is_not_resumed(tmp_path):
    first = study("random", folder=tmp_path)
    first.run(3)
    plan = Plan(identity={"bars": "a", "seed": 4})
    other = Study(SPACE, Hill(), RandomSampler(SPACE, seed=5), plan=plan, folder=tmp_path, resume=True)
    with pytest.raises(ConfigError, match="resume: trial 0 was"):
        other.run(3)


def test_a_damaged_journal_is_refused(tmp_path):
    one = study("random", folder=tmp_path)
    one.run(5)
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes().replace(b'"sharpe_ratio":0', b'"sharpe_ratio":9', 1))
    with pytest.raises(CorruptJournal, match="line"):
        study("random", folder=tmp_path, resume=True)


def test_the_table_and_the_best():
    one = study("random", batch=7).run(40)
    table = one.trials
    assert list(table)[:4] == ["number", "params_density_quantile", "params_cooldown", "params_signal"]
    assert table["number"].tolist() == list(range(40))
    complete = table[table["status"] == "complete"]
    assert one.best["number"] == complete.loc[complete["sharpe_ratio"].idxmax(), "number"]
    assert set(table.loc[table["status"] == "failed", "reason"]) == {"ValueError: no such signal"}
    assert table.loc[table["status"] == "failed", "sharpe_ratio"].isna().all()
    assert [row["number"] for row in one.top[:3]] == complete.nlargest(3, "sharpe_ratio")["number"].tolist()


def test_a_table_in_pieces_is_the_table(tmp_path, monkeypatch):
    one = study("random").run(25)
    monkeypatch.setattr("runs.study.table._PIECE", 4)
    write_table(tmp_path / "trials.parquet", one.journal.rows(), setting_kinds(SPACE))
    import pandas as pd

    found = pd.read_parquet(tmp_path / "trials.parquet")
    pd.testing.assert_frame_equal(found, one.trials, check_dtype=False)


def test_a_grid_stops_at_its_end_and_ranges_need_a_number():
    space = SearchSpace.parse(["cooldown=0,6,12", "density_quantile=0.1,0.2", "signal=forward"])
    one = Study(space, Hill(batch=4))
    assert one.run().n_trials == 6
    assert Study(space, Hill(), GridSampler(space)).run(4).n_trials == 4
    with pytest.raises(ConfigError, match="set --trials N"):
        Study(SPACE, Hill(), RandomSampler(SPACE)).run()
    with pytest.raises(ConfigError, match="expected at least 1"):
        Study(SPACE, Hill(), RandomSampler(SPACE)).run(0)


def test_the_users_own_optuna_study_sees_every_trial():
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    own = optuna.create_study(
        directions=["maximize", "minimize"], sampler=optuna.samplers.RandomSampler(seed=1)
    )
    objectives = Objectives(("sharpe_ratio", "turnover"))
    sampler = OptunaSampler(SPACE, directions=objectives.directions, study=own)
    one = Study(SPACE, Hill(), sampler, plan=Plan(objectives=objectives)).run(12)
    states = [trial.state.name for trial in own.trials if "refused" not in trial.user_attrs]
    wanted = {"complete": "COMPLETE", "failed": "FAIL"}
    assert states == [wanted[row["status"]] for row in one.journal.rows()]


# Which trials are compared --------------------------------------------------------------------------------------


def test_all_trials_are_compared_failed_ones_as_nan():
    one = study("random").run(20)
    ((matrix, numbers),) = parts_of(one.journal, 50)
    assert matrix.shape == (50, 20)
    assert numbers == list(range(20))
    failed = [row["number"] for row in one.journal.rows() if row["status"] == "failed"]
    assert failed
    assert np.isnan(matrix[:, failed]).all()
    assert np.isfinite(np.delete(matrix, failed, axis=1)).all()


def test_a_large_search_is_judged_as_a_small_one(monkeypatch):
    one = study("random").run(40)
    market = np.full(50, 0.001)
    whole = judge(one.journal, market)
    for name in ("matrix", "worth"):
        monkeypatch.setattr(f"runs.study.{name}.MOST_AT_ONCE", 7)
    parts = judge(one.journal, market)
    drawn = ("pbo", "probability_of_loss", "degradation_slope", "overfitting")
    block = whole.figures["against_cash"]["block"] == parts.figures["against_cash"]["block"]
    for name, value in whole.figures.items():
        if name not in drawn and (block or not isinstance(value, dict)):
            assert parts.figures[name] == pytest.approx(value, rel=1e-9), name
    assert whole.figures["n_trials"] == 40


def test_returns_come_back_as_float32(tmp_path):
    with Journal.create(tmp_path / FILE, {"study": {}}) as journal:
        journal.add(0, {"x": 1}, Outcome({}, np.array([0.1, -0.2])))
        journal.add(1, {"x": 1}, Outcome({}))
        assert np.array_equal(returns_of(journal.row(0)), np.float32([0.1, -0.2]))
        assert returns_of(journal.row(1)) is None


# Objectives -----------------------------------------------------------------------------------------------------


def test_the_front_is_that_of_a_comparison_of_all_pairs():
    objectives = Objectives(("sharpe_ratio", "turnover"))
    rng = np.random.default_rng(3)
    points = [
        dict(zip(objectives.names, pair, strict=True)) for pair in rng.integers(0, 6, (40, 2)).astype(float)
    ]
    points.append({"sharpe_ratio": 9.0, "turnover": None})

    def beats(a, b):
        better = (a["sharpe_ratio"] - b["sharpe_ratio"], b["turnover"] - a["turnover"])
        return min(better) >= 0 and max(better) > 0

    known = [p for p in points if p["turnover"] is not None]
    wanted = [n for n, p in enumerate(known) if not any(beats(q, p) for q in known)]
    assert sorted(objectives.front(points)) == wanted


@pytest.mark.parametrize(
    ("names", "message"),
    [((), "found none"), (("sharp_ratio",), "did you mean 'sharpe_ratio'"), (("fees", "fees"), "twice")],
)
def test_objectives_are_metrics(names, message):
    with pytest.raises(ConfigError, match=message):
        Objectives(names)


def test_the_median_rule_waits_and_then_knows_the_median():
    rule = MedianRule(after=3)
    for early in [(1.0, 5.0), (3.0,), (2.0, 7.0)]:
        assert rule.floors() == ()
        rule.add(early)
    assert rule.floors() == (2.0,)
    rule.add((4.0, 6.0))
    assert rule.floors() == (2.5, 6.0)
    assert list(itertools.chain(*rule._seen)) == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
