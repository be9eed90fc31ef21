"""The clock stays synchronised with the exchange over days, outages and bans; a restart waits for an answer."""

import threading

import pytest

from feeds.errors import ExchangeBanned, ExchangeUnavailable
from runs.live.market import ClockKeeper, ExchangeMarket


class Exchange:
    """Gives the answers in `answers`, then none; the last answer sets `done`."""

    def __init__(self, *answers):
        self.answers, self.done = list(answers), threading.Event()

    def __call__(self):
        answer = self.answers.pop(0)
        if not self.answers:
            self.done.set()
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_clock_that_drifted_or_slept_is_set_again_either_way():
    exchange = Exchange(5_000_000, ExchangeUnavailable("no answer"), 1_000_000, 1_000_000, 1_000_000)
    keeper = ClockKeeper(exchange, seconds=0.01)
    keeper.set_time(3_000_000)
    before = keeper.clock
    keeper.start()
    keeper.start()
    assert exchange.done.wait(10)
    keeper.stop()
    assert keeper.clock is not before
    assert 1_000_000 <= keeper.clock.now() < 1_060_000


@pytest.mark.parametrize("wrong", [2_100_000, 3_900_000])
def test_one_answer_with_another_time_is_not_believed(wrong):
    set_to = []

    class Watched(ClockKeeper):
        def set_time(self, stamp):
            set_to.append(stamp)
            super().set_time(stamp)

    exchange = Exchange(wrong, 3_000_000, 3_000_000)
    keeper = Watched(exchange, seconds=0.01)
    keeper.set_time(3_000_000)
    keeper.start()
    assert exchange.done.wait(10)
    keeper.stop()
    assert len(set_to) >= 2
    assert set(set_to) == {3_000_000}


def test_a_ban_is_waited_for():
    exchange = Exchange(ExchangeBanned("HTTP 403"), 1_000_000)
    keeper = ClockKeeper(exchange, seconds=0.01, ban=3600.0)
    keeper.set_time(3_000_000)
    keeper.start()
    assert not exchange.done.wait(0.3)
    keeper.stop()
    assert exchange.answers == [1_000_000]
    assert keeper.clock.now() >= 3_000_000


def test_a_restart_waits_ever_longer_for_an_answer_and_says_why(tmp_path):
    market, said = ExchangeMarket(data_dir=str(tmp_path), speed=1_500.0), []
    market.now = Exchange(ExchangeUnavailable("HTTP 503"), ExchangeBanned("HTTP 403"), 5_000_000)
    market.wait_for_answer(lambda: False, said.append)
    assert market.now.answers == []
    assert [text.split(";")[0] for text in said] == ["HTTP 503", "HTTP 403"]
    assert [text.rsplit(" in ", 1)[1] for text in said] == ["0.01 s", "0.02 s"]


def test_a_wait_for_an_answer_ends_when_a_halt_is_asked_for(tmp_path):
    market, said = ExchangeMarket(data_dir=str(tmp_path)), []
    market.now = Exchange(ExchangeUnavailable("HTTP 503"))
    market.wait_for_answer(lambda: bool(said), said.append)
    assert len(said) == 1
