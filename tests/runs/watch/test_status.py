"""The status of a run is what its journal and its process say: by hand for each state, and for hostile folders."""

import json
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.bars.timeframes import TIMEFRAMES, to_ms
from runs.cli import main
from runs.folder.errors import CorruptJournal
from runs.watch.process import Process, is_alive
from runs.watch.status import EXIT_CODES, read_status, seconds_of
from tests.runs.watch.journals import BTC, CLOSE, START, bar, beat, gone, live, session, start, write

ROOT = Path(__file__).parents[3]
STOP = {"kind": "stop", "at": CLOSE, "signal": 15, "bars": 3}
HALT = {"kind": "halt", "at": CLOSE, "reason": "file KILL", "flatten": True}
RUNNING = (START, session(), live(), bar())
NEXT = (session(), live())


def tell(*words):
    return CliRunner().invoke(main, ["status", *map(str, words)])


@pytest.mark.parametrize(
    ("records", "more", "state", "reason"),
    [
        (RUNNING, {"session": 1, "age": 12.0}, "LIVE", ""),
        ((START, session()), {"session": 1}, "STARTING", ""),
        ((), {}, "STARTING", ""),
        ((*RUNNING, live(state="DELAYED")), {"session": 1}, "DELAYED", ""),
        ((*RUNNING, live(state="DISCONNECTED", reason="1006")), {"session": 1}, "DISCONNECTED", "1006"),
        (RUNNING, {"session": 1, "age": 121.0}, "DELAYED", "a bar closed 61 s ago and has not arrived"),
        (RUNNING, {"session": 1, "ago": 61.0}, "stuck", "no heartbeat for 61 s"),
        (RUNNING, {"session": 1, "loop_age": 301.0}, "stuck", "event loop has not turned for 301 s"),
        ((*RUNNING, HALT), {"session": 1}, "halted", "file KILL"),
        ((*RUNNING, HALT, STOP, *NEXT), {"session": 6}, "halted", "file KILL"),
        # The same run is started again, and waits for the exchange before its session is in the journal.
        ((*RUNNING, STOP), {}, "STARTING", ""),
        ((*RUNNING, STOP), {"session": 1, "ended": True}, "ended", "signal 15"),
        ((*RUNNING, STOP), {"session": 1, "ended": True, "error": "disk full"}, "failed", "disk full"),
        (RUNNING, {"session": 1, "ended": True, "error": "no network"}, "failed", "no network"),
    ],
)
def test_a_state_for_each_moment_of_a_run(tmp_path, records, more, state, reason):
    write(tmp_path, *records)
    beat(tmp_path, **more)
    found = read_status(tmp_path)
    assert found.state == state
    assert reason in found.reason
    done = tell(tmp_path)
    assert done.exit_code == EXIT_CODES[state]
    assert state in done.stdout.splitlines()[0]


def test_the_exit_code_of_a_health_check_is_0_for_live_only():
    assert [state for state, code in EXIT_CODES.items() if code == 0] == ["LIVE"]
    assert not {1, 2} & set(EXIT_CODES.values())


def test_a_process_that_is_gone_is_killed_unless_it_wrote_its_end(tmp_path):
    dead = gone()
    assert is_alive(dead) is False
    write(tmp_path, *RUNNING)
    beat(tmp_path, session=1, process=dead)
    assert read_status(tmp_path).state == "killed"
    write(tmp_path, *RUNNING, STOP)
    assert read_status(tmp_path).state == "ended"


def test_a_process_id_that_was_given_to_another_process_is_not_the_run():
    own = Process.own()
    assert is_alive(own) is True
    assert is_alive(Process(own.pid, "12345", own.place)) is False
    assert is_alive(Process(own.pid, own.started, "another machine")) is None
    assert is_alive(Process(0, "", own.place)) is is_alive(Process(-1, "", own.place)) is None


def test_without_a_process_to_ask_the_heartbeat_s_age_decides(tmp_path):
    elsewhere = Process(1, "1", "another machine")
    write(tmp_path, *RUNNING)
    beat(tmp_path, session=1, process=elsewhere)
    assert (read_status(tmp_path).state, read_status(tmp_path).alive) == ("LIVE", None)
    beat(tmp_path, session=1, process=elsewhere, ago=3600.0)
    assert read_status(tmp_path).state == "stuck"


def test_figures_and_orders_are_the_journal_s(tmp_path):
    intent = {"kind": "intent", "sent": CLOSE, "symbol": BTC, "side": "buy", "quantity": "0.5"}
    done = {"kind": "outcome", "symbol": BTC, "status": "Filled", "filled": "0.428"}
    orders = (
        {"kind": "reconciled", "equity": "100", "positions": {}},
        {"kind": "adopted", "symbol": BTC, "size": "-0.2"},
        intent | {"link_id": "a"},
        done | {"link_id": "a"},
        intent | {"link_id": "b"},
        {"kind": "outcome", "symbol": BTC, "status": "unknown", "filled": "0", "link_id": "b"},
    )
    lost = live(state="DISCONNECTED"), live(state="DISCONNECTED"), live(), live(state="DISCONNECTED"), live()
    write(
        tmp_path,
        START,
        session(mode="real orders", place="testnet"),
        *orders,
        *lost,
        bar(),
        bar(CLOSE + 60_000),
    )
    beat(tmp_path, session=1, age=20.0, lag=0.4)
    found = json.loads(tell(tmp_path, "--json").stdout)
    assert found["last_bar"] == CLOSE + 60_000
    assert found["bars"] == 2
    assert 20.0 <= found["age"] < 50.0
    assert found["positions"] == {BTC: -0.674}
    assert found["real_positions"] == {BTC: "0.228"}
    (order,) = found["unknown_orders"]
    assert order == {"link_id": "b", "symbol": BTC, "side": "buy", "quantity": "0.5", "sent": CLOSE}
    assert found["disconnections"] == 2
    assert (found["mode"], found["place"], found["pid"]) == ("real orders", "testnet", os.getpid())
    text = tell(tmp_path).stdout
    assert "position        BTC/USDT:USDT -0.674 (real +0.228)" in text.replace("order b", "       ")
    assert "buy 0.5 BTC/USDT:USDT, sent 2024-06-30T16:27:00Z, outcome unknown" in text
    assert "2 in 1 session(s)" in text


def trouble(at, text, what=BTC, **more):
    said = f"real orders, {what}: {text or 'works again'}"
    return {"kind": "notice", "at": at, "symbol": what, "what": "real_orders", "text": said} | more


def test_trouble_with_real_orders_is_shown_until_it_is_over(tmp_path):
    refused = {
        "kind": "outcome",
        "at": CLOSE,
        "symbol": BTC,
        "status": "refused",
        "filled": "0",
        "link_id": "a",
    }
    records = [
        START,
        session(mode="real orders"),
        live(),
        # As an earlier version wrote it, and as this one does.
        trouble(CLOSE, "no answer", "ETH/USDT:USDT"),
        trouble(CLOSE + 1000, "", "ETH/USDT:USDT"),
        trouble(CLOSE, "no answer", problem="no answer"),
        trouble(CLOSE + 1000, "the key has\x1b[2J expired", problem="the key has\x1b[2J expired"),
        refused | {"reason": "110007: not enough"},
        refused | {"at": CLOSE + 5, "reason": "110007: still not enough"},
    ]
    write(tmp_path, *records, bar())
    beat(tmp_path, session=1, age=20.0)
    found = json.loads(tell(tmp_path, "--json").stdout)
    assert found["state"] == "LIVE"
    assert found["order_troubles"] == [{"what": BTC, "text": "the key has\x1b[2J expired", "since": CLOSE}]
    assert found["refused_orders"] == {
        BTC: {"count": 2, "reason": "110007: still not enough", "since": CLOSE}
    }
    text = tell(tmp_path).stdout
    assert f"real orders, {BTC}: the key has\\x1b[2J expired, since 2024-06-30T16:27:00Z" in text
    assert "the last 2 order(s), since 2024-06-30T16:27:00Z: 110007: still not enough" in text

    filled = refused | {"status": "Filled", "filled": "0.1"}
    write(tmp_path, *records, trouble(CLOSE, "", problem=""), filled, bar())
    found = json.loads(tell(tmp_path, "--json").stdout)
    assert (found["order_troubles"], found["refused_orders"]) == ([], {})


def test_every_key_is_explained_in_the_documentation(tmp_path):
    write(tmp_path, *RUNNING)
    beat(tmp_path, session=1)
    deploy = (ROOT / "docs" / "deploy.md").read_text()
    section = deploy.split("### Keys of `--json`")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert named == list(json.loads(tell(tmp_path, "--json").stdout))
    codes = dict(re.findall(r"^\| `(\w+)` \| (\d) \|", deploy, re.MULTILINE))
    assert {state: int(code) for state, code in codes.items()} == EXIT_CODES


def test_reading_changes_and_locks_nothing(tmp_path):
    write(tmp_path, *RUNNING, tail=b'{"n":4,"kind":"ba')
    beat(tmp_path, session=1)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}
    tmp_path.chmod(0o500)
    assert read_status(tmp_path).state == "LIVE"
    tmp_path.chmod(0o700)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()} == before


def test_the_last_line_of_a_killed_run_may_be_torn_at_any_byte(tmp_path):
    write(tmp_path, *RUNNING, bar(CLOSE + 60_000))
    whole = (tmp_path / "journal.jsonl").read_bytes()
    first = whole[:-1].rindex(b"\n") + 1
    beat(tmp_path, session=1, process=gone())
    for cut in (*range(first, len(whole), 37), len(whole) - 2, len(whole) - 1):
        (tmp_path / "journal.jsonl").write_bytes(whole[:cut])
        found = read_status(tmp_path)
        # A record that lacks only its newline counts, as it does for the next session.
        counts = cut == len(whole) - 1
        assert found.facts.last_bar == CLOSE + 60_000 * counts
        assert found.torn == (0 if counts else cut - first)
        assert found.state == "killed"


def test_a_damaged_journal_is_named_with_its_line(tmp_path):
    write(tmp_path, *RUNNING)
    path = tmp_path / "journal.jsonl"
    content = bytearray(path.read_bytes())
    content[content.index(b"\n") + 5] ^= 1
    path.write_bytes(content)
    done = tell(tmp_path)
    assert done.exit_code == 1
    assert "line 2: expected a record sealed after the one before" in done.stderr


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: None, "no run folder"),
        (lambda path: path.write_text("x"), "holds no live run"),
        (lambda path: path.mkdir(), "no journal.jsonl"),
        (lambda path: (path.mkdir(), os.mkfifo(path / "journal.jsonl")), "expected a regular file"),
        (lambda path: (path / "journal.jsonl").mkdir(parents=True), "cannot read"),
        (lambda path: write(path, {"kind": "bar", "time": 10**17}), "time: expected a time in UTC ms"),
        (lambda path: write(path, {"kind": "start", "run": "\x1b[2J"}), "settings: expected an object"),
        (lambda path: write(path, bar(equity="9" * 5000)), "equity: expected a number"),
        (lambda path: write(path, bar(decisions=[3])), "decisions: expected a list of objects"),
        (
            lambda path: write(path, {"kind": "adopted", "symbol": "x", "size": "1e999999999"}),
            "size: expected",
        ),
        (lambda path: write(path, {"kind": "adopted", "symbol": "x", "size": "NaN"}), "size: expected"),
    ],
)
def test_what_is_no_run_is_said_in_a_line(tmp_path, make, told):
    make(tmp_path / "run")
    done = tell(tmp_path / "run")
    assert done.exit_code == 1
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not done.stdout
    assert "\x1b" not in done.stderr


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
KEYS = (
    "time",
    "equity",
    "positions",
    "decisions",
    "symbol",
    "state",
    "at",
    "n",
    "mode",
    "settings",
    "filled",
)
KINDS = (
    "start",
    "session",
    "status",
    "bar",
    "halt",
    "stop",
    "intent",
    "outcome",
    "adopted",
    "reconciled",
    "new",
)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(KEYS), VALUES)), max_size=4)
)
def test_whatever_a_record_holds_there_is_a_status_or_one_line(tmp_path_factory, records):
    folder = tmp_path_factory.mktemp("run")
    write(folder, *RUNNING, *({"kind": kind, **more} for kind, more in records))
    try:
        found = read_status(folder)
    except CorruptJournal:
        return
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["state"] in EXIT_CODES


@pytest.mark.parametrize(
    "content", [b"", b"[" * 50_000, b"{}", b'{"process": 3}', b"\xff", b'{"at": 1e999}', b"9" * 70_000]
)
def test_a_heartbeat_that_cannot_be_read_counts_as_none(tmp_path, content):
    write(tmp_path, *RUNNING)
    (tmp_path / "status.json").write_bytes(content)
    assert read_status(tmp_path).state == "stuck"
    assert read_status(tmp_path).alive is None
    write(tmp_path, *RUNNING, STOP)
    assert read_status(tmp_path).state == "ended"


def test_deep_json_that_is_sealed_is_no_record(tmp_path):
    deep = b'{"n":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    (tmp_path / "journal.jsonl").write_bytes(deep[:-1] + b',"crc":"%08x"}\n' % zlib.crc32(deep))
    assert "line 1: expected a JSON object" in tell(tmp_path).stderr


def test_bar_sizes_are_those_of_the_feeds():
    assert {name: 1000 * (seconds_of(name) or 0) for name in TIMEFRAMES} == {n: to_ms(n) for n in TIMEFRAMES}
    assert seconds_of("") is seconds_of("h") is seconds_of("9999h") is None


def test_a_health_check_loads_neither_torch_nor_pandas_nor_an_exchange(tmp_path):
    write(tmp_path, *RUNNING)
    beat(tmp_path, session=1)
    program = (
        "import sys\nfrom runs.cli import main\n"
        f"try: main(['status', {str(tmp_path)!r}])\n"
        "except SystemExit as end: print(end.code, sorted({'torch','pandas','ccxt','backtrader'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "0 []"


def test_a_symbol_that_has_said_nothing_yet_is_waited_for(tmp_path):
    write(tmp_path, start(symbols=[BTC, "ETH/USDT:USDT"]), session(), live())
    beat(tmp_path, session=1)
    assert read_status(tmp_path).state == "STARTING"
