"""The journal of a study: one writer, nothing lost after a kill or a full disk, and no damaged line believed."""

import itertools
import resource
import signal

import pytest

from runs.executors import SerialExecutor
from runs.folder.errors import CorruptJournal, UnwritableRun
from runs.search import RandomSampler, SearchSpace
from runs.study import Outcome, Plan, Study
from runs.study.journal import FILE, Journal
from scorenet import ConfigError
from scorenet.base.sealed import seal

SPACE = SearchSpace.parse(["cooldown=0..1000"])
HEADER = {"study": {"bars": "a"}}
ROW = {
    "number": 0,
    "params": {"cooldown": 640},
    "metrics": {"sharpe_ratio": 1.0, "turnover": None},
    "status": "complete",
    "reason": "",
    "early": [0.5],
    "returns": "AAAAAA==",
}


class Flat:
    """Trials that take no time."""

    batch = 1

    def evaluate(self, batch, floors=()):
        return [Outcome({"sharpe_ratio": float(settings["cooldown"])}) for settings in batch]


def study(folder, *, resume=False):
    plan = Plan(identity=HEADER["study"])
    return Study(
        SPACE, Flat(), RandomSampler(SPACE), SerialExecutor(), plan=plan, folder=folder, resume=resume
    )


def lines(folder):
    return (folder / FILE).read_bytes().splitlines()


def at(number, action):
    """Return what is told after each trial, and acts after one of them."""
    return lambda study, row: action() if row["number"] == number else None


# Kills and full disks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [0, 4, 12, -1])
@pytest.mark.parametrize("zeros", [0, 40])
def test_a_study_that_was_killed_in_its_first_line_is_resumed(tmp_path, kept, zeros):
    study(tmp_path)
    begun = (tmp_path / FILE).read_bytes()[:kept] if not zeros else bytes(zeros)
    (tmp_path / FILE).write_bytes(begun)
    again = study(tmp_path, resume=True).run(3)
    assert [row["number"] for row in again.journal.rows()] == [0, 1, 2]
    assert len(study(tmp_path, resume=True).run(3).journal) == 3


def test_a_file_that_is_no_journal_is_left_as_it_is(tmp_path):
    for content in (b"notes", b"notes\n", b'{"kind":"start"}\n', seal({"study": 1}, 0)[0]):
        (tmp_path / FILE).write_bytes(content)
        with pytest.raises(CorruptJournal):
            study(tmp_path, resume=True)
        assert (tmp_path / FILE).read_bytes() == content


def test_a_full_disk_is_one_line_and_the_study_goes_on_when_there_is_space(tmp_path):
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, unlimited[1]))
    try:
        with pytest.raises(UnwritableRun, match="free the disk"):
            study(tmp_path).run(30)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        signal.signal(signal.SIGXFSZ, before)
    kept = lines(tmp_path)
    assert 2 < len(kept) < 31
    study(tmp_path, resume=True).run(30)
    assert lines(tmp_path)[: len(kept)] == kept
    assert len(lines(tmp_path)) == 31


# Two processes --------------------------------------------------------------------------------------------------
# Two handles on a file exclude each other as two processes do.


def test_a_second_process_neither_writes_nor_removes_a_journal(tmp_path):
    first, second = study(tmp_path), study(tmp_path, resume=True)

    def intrude():
        with pytest.raises(UnwritableRun, match="another process is running"):
            second.run(5)
        assert not len(second.journal)
        second.journal.discard()  # what `optimize` does after a search without a trial

    first.run(5, told=at(2, intrude))
    assert len(lines(tmp_path)) == 6


def test_trials_that_another_process_has_added_are_not_cut_off(tmp_path):
    study(tmp_path).run(2)
    early = study(tmp_path, resume=True)
    study(tmp_path, resume=True).run(5)
    before = lines(tmp_path)
    with pytest.raises(UnwritableRun, match="another process has gone on"):
        early.run(5)
    empty = Journal(tmp_path / FILE, HEADER)
    empty.discard()
    assert lines(tmp_path) == before


def test_a_study_without_a_trial_leaves_no_journal(tmp_path):
    study(tmp_path).journal.discard()
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize("replaced", [False, True])
def test_a_journal_that_was_deleted_or_replaced_takes_no_more_trials(tmp_path, replaced):
    def swap():
        content = (tmp_path / FILE).read_bytes()
        (tmp_path / FILE).unlink()
        if replaced:
            (tmp_path / FILE).write_bytes(content)

    with pytest.raises(CorruptJournal, match="deleted or replaced"):
        study(tmp_path).run(5, told=at(2, swap))


def test_a_journal_that_is_gone_or_cut_afterwards_is_one_line(tmp_path):
    one = study(tmp_path).run(3)
    (tmp_path / FILE).write_bytes(b"")
    with pytest.raises(CorruptJournal):
        list(one.journal.rows())
    (tmp_path / FILE).unlink()
    with pytest.raises(CorruptJournal):
        one.journal.row(1)


# What is in a line ----------------------------------------------------------------------------------------------


def journal_of(folder, *rows):
    crc, content = 0, b""
    for record in (HEADER, *rows):
        line, crc = seal(record, crc)
        content += line
    (folder / FILE).write_bytes(content)
    return Journal.reopen(folder / FILE)


WRONG = {
    "number": (None, -1, True, 0.0, "0", 10**9, 10**30),
    "params": (None, [], "x"),
    "metrics": (None, [1], {"sharpe_ratio": "1"}, {"sharpe_ratio": True}, {"sharpe_ratio": 10**400}),
    "status": (None, "done", ["complete"]),
    "reason": (None, 1),
    "early": (None, "1", [None], ["1"]),
    "returns": (5, "AAAA", "!!!!", "é"),
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_a_sealed_line_with_a_value_of_another_kind_is_refused(tmp_path, name, value):
    assert len(journal_of(tmp_path, ROW)) == 1
    with pytest.raises(CorruptJournal, match=f"line 3: {name}: "):
        journal_of(tmp_path, ROW, {**ROW, "number": 1, name: value})


def test_a_trial_that_comes_twice_is_refused(tmp_path):
    with pytest.raises(CorruptJournal, match="found trial 0 again"):
        journal_of(tmp_path, ROW, ROW)


def test_rows_may_come_in_any_order(tmp_path):
    for order in itertools.permutations(range(3)):
        journal = journal_of(tmp_path, *({**ROW, "number": number} for number in order))
        assert [row["number"] for row in journal.rows()] == [0, 1, 2]


def test_fewer_trials_than_there_are_is_refused(tmp_path):
    study(tmp_path).run(8)
    with pytest.raises(ConfigError, match="expected at least the 8"):
        study(tmp_path, resume=True).run(5)
