"""Worker processes: the same outcomes as in this process, deaths survived, nobody left behind."""

import multiprocessing
import os

import pytest

from runs.executors import Chunk, ExecutorError, ProcessExecutor, SerialExecutor, executor_of
from scorenet import ConfigError
from tests.runs.executors.evaluators import DiesAtStart, Told

pytestmark = pytest.mark.enable_socket  # the pipes of multiprocessing are unix sockets


def drain(executor, evaluator, batches):
    """Evaluate the batches; return the outcomes by chunk."""
    try:
        executor.start(evaluator)
        for number, batch in enumerate(batches):
            executor.submit(Chunk(number, tuple(batch)))
        return dict(executor.finished() for _ in batches)
    finally:
        executor.close()


def plain(outcomes):
    return [(o.status, o.reason, dict(o.metrics), o.returns.tolist()) for o in outcomes]


def test_workers_give_what_this_process_gives_and_survive_deaths(tmp_path):
    batches = [
        [{"x": 1.0}, {"x": 2.0, "fail": True}, {"x": 3.0}],
        [{"x": 4.0}, {"x": 5.0, "die": 1}, {"x": 6.0}],  # another worker finishes them
        [{"x": 7.0}, {"x": 8.0, "die": 99}],  # no worker survives it
        [{"x": 9.0}],
    ]
    found = drain(ProcessExecutor(2), Told(str(tmp_path)), batches)
    harmless = [[{k: v for k, v in s.items() if k != "die"} for s in batch] for batch in batches]
    wanted = drain(SerialExecutor(), Told(), harmless)
    for number in (0, 1, 3):
        assert plain(found[number]) == plain(wanted[number])
    assert plain(found[2][:1]) == plain(wanted[2][:1])
    assert found[2][1].status == "failed"
    assert (
        found[2][1].reason == "its worker process died 3 times, the last by signal 9, as when memory runs out"
    )
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("kill", "3 worker processes died before their first trial"),
        ("raise", "cannot work: RuntimeError: no such model"),
    ],
)
def test_workers_that_cannot_start_are_an_error_and_not_a_loop(how, message):
    with pytest.raises(ExecutorError, match=message):
        drain(ProcessExecutor(1), DiesAtStart(how), [[{"x": 1.0}]])
    assert not multiprocessing.active_children()


def test_closing_ends_workers_in_the_middle_of_a_trial():
    executor = ProcessExecutor(1)
    executor.start(Told())
    executor.submit(Chunk(0, ({"x": 1.0},)))
    executor.submit(Chunk(1, ({"x": 2.0, "wait": 600.0},)))
    assert executor.finished()[0] == 0
    executor.close()
    assert not multiprocessing.active_children()


def test_one_thread_each_and_as_many_workers_as_cores():
    assert ProcessExecutor().slots == len(os.sched_getaffinity(0))
    assert ProcessExecutor(3).slots == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("proces",), "did you mean 'process'"),
        (("process", 0), "expected at least 1, found 0"),
        (("serial", 4), "--workers belongs to"),
        (("process", 2, "auto"), "--ray-address belongs to --executor ray"),
    ],
)
def test_impossible_options_are_said(options, message):
    with pytest.raises(ConfigError, match=message):
        executor_of(*options)
