"""Ray: the rows of serial from one node and from two, and a node that is killed in the middle."""

import importlib.util
import sys
import time

import pytest

from runs.executors import Chunk, ExecutorError, RayExecutor, SerialExecutor
from scorenet.base.error_line import error_line
from tests.runs.executors.evaluators import Told

TRIALS = [{"x": 0.5 * n, "wait": 0.05, "fail": n == 7} for n in range(40)]

ray_tests = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")


def test_without_ray_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'scorenet\[ray\]'"):
        RayExecutor(1)


def plain(outcomes):
    return [(o.status, o.reason, dict(o.metrics), o.returns.tolist()) for o in outcomes]


def chunks(size=4):
    return [Chunk(first, tuple(TRIALS[first : first + size])) for first in range(0, len(TRIALS), size)]


def drain(executor, meanwhile=lambda done: None, work=None):
    found = {}
    work = work or chunks()
    executor.start(Told())
    for chunk in work:
        executor.submit(chunk)
    for _ in work:
        number, outcomes = executor.finished()
        found[number] = plain(outcomes)
        meanwhile(len(found))
    return found


@pytest.fixture(scope="module")
def wanted():
    return drain(SerialExecutor())


@pytest.fixture
def cluster():
    """A head node without CPUs and two worker nodes, on this machine."""
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes.members = [nodes.add_node(num_cpus=1) for _ in range(2)]
    yield nodes
    nodes.shutdown()


@ray_tests
@pytest.mark.acceptance
@pytest.mark.enable_socket
@pytest.mark.filterwarnings("ignore")
def test_a_ray_of_this_machine_gives_the_rows_of_serial(wanted):
    executor = RayExecutor(2)
    try:
        assert drain(executor) == wanted
        # Once more, as for the held-out part.
        assert drain(executor) == wanted
    finally:
        executor.close()
    import ray

    assert not ray.is_initialized()


@ray_tests
@pytest.mark.acceptance
@pytest.mark.enable_socket
@pytest.mark.filterwarnings("ignore")
def test_two_nodes_one_of_them_killed_in_the_middle(wanted, cluster):
    executor = RayExecutor(address=cluster.address)
    killed = []

    def kill(done):
        if done == 2 and not killed:
            killed.append(True)
            cluster.remove_node(cluster.members[0], allow_graceful=False)

    try:
        assert executor.slots == 2
        begun = time.monotonic()
        assert drain(executor, kill) == wanted
        assert killed
        assert time.monotonic() - begun < 120
    finally:
        executor.close()


@ray_tests
@pytest.mark.acceptance
@pytest.mark.enable_socket
def test_an_address_without_a_cluster_is_an_error_of_one_line():
    with pytest.raises(ExecutorError, match=r"no Ray cluster at 127\.0\.0\.1:1") as error:
        RayExecutor(1, "127.0.0.1:1")
    assert error_line(error.value) == str(error.value)[:200]
