"""The replay delivers recorded steps unchanged, then bars with the same close together, or late bars alone."""

from feeds.live.replay import Replay, Row, Step


class Member:
    step_ms = 60

    def __init__(self, symbol, now=None):
        self.symbol, self.now = symbol, now

    def exchange_now(self):
        return self.now


def row(close):
    return Row(close, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0)


def replay_of(*members, **options):
    replay = Replay(**options)
    for member in members:
        replay.join(member)
    return replay


def round_of(replay, *symbols):
    replay.turn()
    return {symbol: taken for symbol in symbols if (taken := replay.take(symbol)) is not None}


def test_recorded_steps_come_first_as_they_were_and_feeds_are_not_asked_meanwhile():
    steps = [
        Step(True, {"A": row(60)}),
        Step(False, {"B": row(60)}),
        Step(False, {"A": row(120), "B": row(120)}),
    ]
    replay = replay_of(Member("A"), Member("B"), recorded=steps)
    for step in steps:
        assert round_of(replay, "A", "B") == step.rows
        assert replay.step == step
        assert not replay.wants("A")
    assert round_of(replay, "A", "B") == {}
    assert replay.wants("A")
    assert not replay.replaying


def test_recorded_bars_can_be_seen_before_they_are_delivered_and_live_ones_cannot():
    steps = [Step(False, {"A": row(60 * k), **({"B": row(60 * k)} if k % 2 else {})}) for k in range(1, 151)]
    replay = replay_of(Member("A"), Member("B"), recorded=iter(steps))
    assert replay.coming("A") == []
    for number, step in enumerate(steps):
        round_of(replay, "A", "B")
        read = steps[number + 1 : (number // 64 + 1) * 64]
        for symbol in ("A", "B"):
            assert replay.coming(symbol) == [s.rows[symbol] for s in read if symbol in s.rows]
        assert replay.step is step
        assert replay.replaying
    replay.turn()
    replay.hold("A", row(60 * 151))
    assert replay.coming("A") == []


def test_a_feed_is_not_asked_for_the_next_bar_before_this_one_is_delivered():
    replay = replay_of(Member("A"))
    replay.turn()
    replay.hold("A", row(60))
    replay.turn()
    assert not replay.wants("A"), "asking may wait, and the bar with it"
    assert replay.take("A")
    assert replay.wants("A")


def test_a_bar_waits_for_the_other_symbols_until_the_grace_is_over():
    now = [0.0]
    replay = replay_of(Member("A"), Member("B"), grace=10.0, monotonic=lambda: now[0])
    replay.turn()
    replay.hold("A", row(60))
    assert not replay.wants("A")
    replay.lacks("B")
    now[0] = 9.9
    assert round_of(replay, "A", "B") == {}
    now[0] = 10.0
    assert round_of(replay, "A", "B") == {"A": row(60)}
    replay.hold("B", row(60))
    replay.hold("A", row(120))
    assert round_of(replay, "A", "B") == {"B": row(60)}, "the bar that came late is delivered alone, in order"


def test_a_symbol_that_is_behind_catches_up_before_the_others_go_on():
    """As at a restart after an outage of one connection, with histories of different starts."""
    bars = {"A": [row(60), row(120), row(180), row(240)], "B": [row(180), row(240)]}
    replay, steps = replay_of(Member("A"), Member("B"), grace=0.0), []
    for _ in range(12):
        replay.turn()
        for symbol, rest in bars.items():
            if replay.wants(symbol):
                if rest:
                    replay.hold(symbol, rest.pop(0))
                else:
                    replay.lacks(symbol)
        taken = [(symbol, found.close_time) for symbol in bars if (found := replay.take(symbol))]
        steps += [taken] if taken else []
    assert steps == [[("A", 60)], [("A", 120)], [("A", 180), ("B", 180)], [("A", 240), ("B", 240)]]


def test_bars_of_one_close_leave_together_once():
    replay = replay_of(Member("A"), Member("B"))
    replay.turn()
    replay.hold("A", row(60))
    replay.hold("B", row(60))
    assert round_of(replay, "A", "B") == {"A": row(60), "B": row(60)}
    assert replay.take("A") is None


def test_a_bar_is_late_from_the_close_of_the_next_on():
    for now, late in ((60, False), (119, False), (120, True), (None, False)):
        replay = replay_of(Member("A", now))
        replay.turn()
        replay.hold("A", row(60))
        assert round_of(replay, "A")
        assert replay.step.late is late


def test_it_ends_with_its_feeds_its_limit_or_when_asked_to():
    over = replay_of(Member("A"))
    over.turn()
    over.leave("A")
    over.turn()
    assert over.ended
    limited = replay_of(Member("A"), limit=1)
    limited.turn()
    limited.hold("A", row(60))
    assert round_of(limited, "A")
    assert not limited.ended
    limited.turn()
    assert limited.ended
    asked = replay_of(Member("A"), ask_stop=lambda: True)
    asked.turn()
    assert asked.ended
    assert not asked.wants("A")


def test_an_ended_feed_is_not_waited_for():
    replay = replay_of(Member("A"), Member("B"), grace=1e9)
    replay.turn()
    replay.leave("B")
    replay.hold("A", row(60))
    assert round_of(replay, "A", "B") == {"A": row(60)}
