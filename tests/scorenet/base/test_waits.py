"""A wait takes its time in short slices, and ends as soon as it is asked to."""

import pytest

from scorenet.base.waits import wait


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.1, 1.0, 3600.0])
def test_it_takes_its_time_in_short_slices(seconds):
    slept = []
    assert wait(seconds, lambda: False, slept.append)
    assert sum(slept) == pytest.approx(seconds)
    assert all(0 < part <= 0.1 for part in slept)


def test_it_ends_within_a_slice_of_a_request_to_stop():
    slept = []
    assert not wait(3600.0, lambda: len(slept) >= 2, slept.append)
    assert sum(slept) == pytest.approx(0.2)


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 0.05])
def test_a_request_to_stop_is_heard_without_a_wait_and_after_the_last_slice(seconds):
    slept = []
    assert not wait(seconds, lambda: seconds <= 0 or bool(slept), slept.append)
