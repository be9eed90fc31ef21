"""Parts of a training aside: whose error is shown, who is stopped, and how many cores a training uses."""

import multiprocessing
import threading
import time

import pytest
import torch

from scorenet import ConfigError
from scorenet.score import side_by_side
from scorenet.score.side_by_side import SideBySide, aside, each, keep_going, threads_of_training

CPU = torch.device("cpu")


def names():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("training")]


def endless(begun):
    begun.set()
    while True:
        keep_going()
        time.sleep(0.001)


def test_with_one_thread_a_part_runs_here_when_its_result_is_asked_for():
    done = []
    with SideBySide(1):
        part = aside(lambda: done.append(threading.get_ident()) or "ready")
        assert done == []
        assert part.result() == "ready"
    assert done == [threading.get_ident()]


def test_with_two_a_part_runs_while_the_block_goes_on_and_what_has_not_begun_runs_here():
    meeting = threading.Barrier(2, timeout=10)

    def met():
        meeting.wait()
        return threading.get_ident()

    with SideBySide(2):
        first, second = aside(met), aside(threading.get_ident)
        assert second.result() == threading.get_ident(), "the one thread aside waits for the meeting"
        meeting.wait()
        assert first.result() != threading.get_ident()
    assert names() == []


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_items_are_shared_and_the_results_keep_their_order(threads):
    with SideBySide(threads):
        assert each(lambda item: item**2, range(50)) == [item**2 for item in range(50)]
        assert aside(lambda: each(str, range(3))).result() == ["0", "1", "2"], "aside too"
    assert each(str, [1, 2]) == ["1", "2"], "without a block"


def test_a_thread_aside_computes_with_one_torch_thread():
    with SideBySide(2):
        assert aside(torch.get_num_threads).result() == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_where_the_block_raises_a_part_that_runs_aside_ends_at_its_next_step(error):
    begun = threading.Event()

    def training():
        with SideBySide(2):
            aside(lambda: endless(begun))
            assert begun.wait(10)
            raise error

    with pytest.raises(error):
        training()
    assert names() == []
    keep_going()  # nothing of it is left


def test_an_error_aside_is_raised_here_at_the_next_step_with_its_place():
    def fails():
        raise ValueError("seven")

    def training():
        with SideBySide(3):
            aside(lambda: endless(threading.Event()))
            aside(fails)
            endless(threading.Event())

    with pytest.raises(ValueError, match="seven") as caught:
        training()
    assert "fails" in [entry.name for entry in caught.traceback]
    assert names() == []


@pytest.mark.parametrize(
    ("cores", "stated", "expected"),
    [(1, None, 1), (2, None, 2), (64, None, 2), (64, "1", 1), (64, "8", 2), (64, "many", 2), (64, "0", 2)],
)
def test_without_a_number_a_training_uses_two_cores_where_they_are_free(monkeypatch, cores, stated, expected):
    monkeypatch.setattr(side_by_side, "_cores", lambda: cores)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if stated is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", stated)
    assert threads_of_training(None, CPU) == expected
    assert threads_of_training(None, torch.device("cuda")) == 1
    assert threads_of_training(3, CPU) == 3
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: "a study")
    assert threads_of_training(None, CPU) == 1, "in a worker the other cores are those of other workers"
    with pytest.raises(ConfigError, match="threads: expected at least 1, found 0"):
        threads_of_training(0, CPU)
