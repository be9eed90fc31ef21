"""The tape: recorded steps first and exactly as they were, then bars of one close together, or without who is away."""

from feeds.live.replay import Row, Step, Tape


class Member:
    step_ms = 60

    def __init__(self, symbol, now=None):
        self.symbol, self.now = symbol, now

    def exchange_now(self):
        return self.now


def row(close):
    return Row(close, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0)


def tape_of(*members, **options):
    tape = Tape(**options)
    for member in members:
        tape.join(member)
    return tape


def round_of(tape, *symbols):
    tape.turn()
    return {symbol: taken for symbol in symbols if (taken := tape.take(symbol)) is not None}


def test_recorded_steps_come_first_as_they_were_and_feeds_are_not_asked_meanwhile():
    steps = [
        Step(True, {"A": row(60)}),
        Step(False, {"B": row(60)}),
        Step(False, {"A": row(120), "B": row(120)}),
    ]
    tape = tape_of(Member("A"), Member("B"), recorded=steps)
    for step in steps:
        assert round_of(tape, "A", "B") == step.rows
        assert tape.step == step
        assert not tape.wants("A")
    assert round_of(tape, "A", "B") == {}
    assert tape.wants("A")
    assert not tape.replaying


def test_a_feed_is_not_asked_for_the_next_bar_before_this_one_is_delivered():
    tape = tape_of(Member("A"))
    tape.turn()
    tape.hold("A", row(60))
    tape.turn()
    assert not tape.wants("A"), "asking may wait, and the bar with it"
    assert tape.take("A")
    assert tape.wants("A")


def test_a_bar_waits_for_the_other_symbols_until_the_grace_is_over():
    now = [0.0]
    tape = tape_of(Member("A"), Member("B"), grace=10.0, monotonic=lambda: now[0])
    tape.turn()
    tape.hold("A", row(60))
    assert not tape.wants("A")
    now[0] = 9.9
    assert round_of(tape, "A", "B") == {}
    now[0] = 10.0
    assert round_of(tape, "A", "B") == {"A": row(60)}
    tape.hold("B", row(60))
    tape.hold("A", row(120))
    assert round_of(tape, "A", "B") == {"B": row(60)}, "the bar that came late is delivered alone, in order"


def test_bars_of_one_close_leave_together_once():
    tape = tape_of(Member("A"), Member("B"))
    tape.turn()
    tape.hold("A", row(60))
    tape.hold("B", row(60))
    assert round_of(tape, "A", "B") == {"A": row(60), "B": row(60)}
    assert tape.take("A") is None


def test_a_bar_is_late_from_the_close_of_the_next_on():
    for now, late in ((60, False), (119, False), (120, True), (None, False)):
        tape = tape_of(Member("A", now))
        tape.turn()
        tape.hold("A", row(60))
        assert round_of(tape, "A")
        assert tape.step.late is late


def test_it_ends_with_its_feeds_its_limit_or_when_asked_to():
    over = tape_of(Member("A"))
    over.turn()
    over.leave("A")
    over.turn()
    assert over.ended
    limited = tape_of(Member("A"), limit=1)
    limited.turn()
    limited.hold("A", row(60))
    assert round_of(limited, "A")
    assert not limited.ended
    limited.turn()
    assert limited.ended
    asked = tape_of(Member("A"), ask_stop=lambda: True)
    asked.turn()
    assert asked.ended
    assert not asked.wants("A")


def test_a_feed_that_is_over_is_not_waited_for():
    tape = tape_of(Member("A"), Member("B"), grace=1e9)
    tape.turn()
    tape.leave("B")
    tape.hold("A", row(60))
    assert round_of(tape, "A", "B") == {"A": row(60)}
