"""The journal: records are read back, an incomplete last line is removed, any other damage is an error.

A record that was complete is never forgotten, whichever bit flips. A journal has one writer.
"""

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds import StoreError
from runs.folder.rundir import RunDir, UnwritableRun
from runs.live.journal import JOURNAL, CorruptJournal, Journal, open_journal
from scorenet.base.sealed import seal, unseal

ROOT = Path(__file__).parents[3]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False)
)
RECORDS = st.dictionaries(st.text(), SCALARS | st.lists(SCALARS), max_size=4)


def write(folder, *values):
    with open_journal(folder) as journal:
        for value in values:
            journal.append("bar", value=value)


def values(folder):
    with open_journal(folder) as journal:
        return [record["value"] for record in journal.records("bar")]


def test_it_is_read_back_in_order_over_several_openings(tmp_path):
    write(tmp_path, 1, 0.1 + 0.2, "ü\n")
    write(tmp_path, None)
    assert values(tmp_path) == [1, 0.1 + 0.2, "ü\n", None]
    with open_journal(tmp_path) as journal:
        assert [record["n"] for record in journal.records()] == [0, 1, 2, 3]
        assert len(journal) == 4


def test_a_line_is_plain_json(tmp_path):
    write(tmp_path, float("nan"), [1.5])
    lines = (tmp_path / JOURNAL).read_text().splitlines()
    assert [json.loads(line)["value"] for line in lines] == [None, [1.5]]


def test_what_is_returned_is_what_will_be_read(tmp_path):
    with open_journal(tmp_path) as journal:
        record = journal.append("bar", value=(1, float("nan")))
    with open_journal(tmp_path) as journal:
        assert next(journal.records()) == record


@settings(max_examples=50, deadline=None)
@given(RECORDS, st.integers(0, 2**32 - 1))
def test_a_sealed_record_opens_with_its_own_predecessor_only(record, previous):
    line, crc = seal(record, previous)
    assert unseal(line, previous) == (record, crc)
    assert unseal(line, previous ^ 1) is None
    assert line.count(b"\n") == 1


def test_every_cut_of_the_last_line_is_recognised(tmp_path):
    write(tmp_path, 1, 2)
    path = tmp_path / JOURNAL
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(first, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with open_journal(tmp_path) as journal:
            assert journal.torn == cut - first
            assert [record["value"] for record in journal.records()] == [1]
            journal.append("bar", value=2)
        assert path.read_bytes() == whole


def test_a_record_without_its_newline_is_complete(tmp_path):
    write(tmp_path, 1, 2)
    path = tmp_path / JOURNAL
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with open_journal(tmp_path) as journal:
        assert journal.torn == 0
        assert [record["value"] for record in journal.records()] == [1, 2]
        journal.append("bar", value=3)
    assert path.read_bytes().startswith(whole)
    assert values(tmp_path) == [1, 2, 3]


def test_zeros_after_the_last_record_are_a_torn_write(tmp_path):
    write(tmp_path, 1)
    with (tmp_path / JOURNAL).open("ab") as handle:
        handle.write(bytes(100))
    with open_journal(tmp_path) as journal:
        assert journal.torn == 100
        assert [record["value"] for record in journal.records()] == [1]


def test_whatever_bit_flips_no_record_is_forgotten(tmp_path):
    with open_journal(tmp_path) as journal:
        journal.append("start", value=1)
        journal.append("bar", value=2)
        journal.append("halt", reason="equity 1.00", flatten=True)
        expected = list(journal.records())
    path = tmp_path / JOURNAL
    whole = path.read_bytes()
    last = whole.rindex(b"\n", 0, -1)  # the newline before the last line
    said = set()
    for bit in range(8 * last, 8 * len(whole)):
        broken = bytearray(whole)
        broken[bit // 8] ^= 1 << bit % 8
        path.write_bytes(broken)
        if bit // 8 == len(whole) - 1:  # the last newline, the only byte that can be restored
            with contextlib.closing(Journal(path)) as journal:
                assert list(journal.records()) == expected
            assert path.read_bytes() == whole
            continue
        with pytest.raises(CorruptJournal, match=r"line [23]: expected a record") as caught:
            Journal(path)
        said.add(str(caught.value).partition(":")[0][-6:])
        assert path.read_bytes() == broken, "a damaged journal must be left as it was found"
    assert said == {"line 2", "line 3"}


def test_with_its_lock_file_deleted_a_journal_still_has_one_writer(tmp_path):
    with open_journal(tmp_path) as journal:
        journal.append("bar", value=1)
        (tmp_path / ".live.lock").unlink()
        with pytest.raises(StoreError, match="another process; stop it"):
            Journal(tmp_path / JOURNAL)
        with pytest.raises(StoreError, match="another process"), open_journal(tmp_path):
            pass
        journal.append("bar", value=2)
    assert values(tmp_path) == [1, 2]


@pytest.mark.parametrize("replaced", [False, True])
def test_a_journal_that_was_deleted_or_replaced_takes_no_more_records(tmp_path, replaced):
    with open_journal(tmp_path) as journal:
        journal.append("bar", value=1)
        content = journal.path.read_bytes()
        journal.path.unlink()
        if replaced:
            journal.path.write_bytes(content)
        with pytest.raises(CorruptJournal, match="deleted or replaced"):
            journal.append("bar", value=2)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_the_owner_can_read_a_journal_and_a_private_folder(tmp_path, umask):
    before = os.umask(umask)
    try:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / JOURNAL).touch()
        with open_journal(tmp_path / "run", private=True) as journal:
            RunDir(tmp_path / "run").write_metrics({"total_return": 0.5})
            journal.append("bar", value=1)
        with open_journal(tmp_path / "paper"):
            pass
    finally:
        os.umask(before)
    assert mode(tmp_path / "run") == 0o700
    assert mode(tmp_path / "run" / "metrics.json") == 0o600
    assert mode(tmp_path / "run" / JOURNAL) == mode(tmp_path / "paper" / JOURNAL) == 0o600
    assert mode(tmp_path / "paper") == 0o777 & ~umask


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_leftovers_of_a_killed_session_are_removed(tmp_path):
    (tmp_path / ".report.html.12345678.tmp").write_text("half")
    write(tmp_path, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".live.lock", JOURNAL]


def test_a_flipped_bit_before_the_last_line_is_an_error(tmp_path):
    write(tmp_path, 1, 2, 3)
    path = tmp_path / JOURNAL
    whole = bytearray(path.read_bytes())
    last = whole.rindex(b"\n", 0, -1)
    for place in range(0, last, 7):
        broken = whole.copy()
        broken[place] ^= 1
        path.write_bytes(broken)
        with pytest.raises(CorruptJournal, match=r"line [12]: expected a record"), open_journal(tmp_path):
            pass
        assert path.read_bytes() == broken, "a damaged journal must be left as it was found"


def test_a_missing_or_moved_line_is_an_error(tmp_path):
    write(tmp_path, 1, 2, 3)
    path = tmp_path / JOURNAL
    a, b, c = path.read_bytes().splitlines(keepends=True)
    for lines in ((b, c), (a, c, b), (a, a, b, c)):
        path.write_bytes(b"".join(lines))
        with pytest.raises(CorruptJournal), open_journal(tmp_path):
            pass


def test_two_processes_do_not_share_a_journal(tmp_path):
    with open_journal(tmp_path), pytest.raises(StoreError, match="another process"), open_journal(tmp_path):
        pass


def test_a_full_disk_leaves_the_records_before(tmp_path):
    program = f"""
import resource, signal, sys
from pathlib import Path
from runs.live.journal import open_journal
from runs.folder.rundir import UnwritableRun
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
with open_journal(Path({str(tmp_path)!r})) as journal:
    try:
        for value in range(100):
            journal.append("bar", value=value)
    except UnwritableRun as error:
        print(error)
        sys.exit(7)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    assert "free the disk" in done.stdout
    kept = values(tmp_path)
    assert kept == list(range(len(kept)))
    assert len(kept) > 3


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnwritableRun, match="choose another --out"), open_journal(tmp_path / "file" / "run"):
        pass


def test_killed_between_any_two_records_it_goes_on(tmp_path):
    program = f"""
import sys
from pathlib import Path
from runs.live.journal import open_journal
with open_journal(Path({str(tmp_path)!r})) as journal:
    start = len(journal)
    print("ready", flush=True)
    for value in range(start, 100_000):
        journal.append("bar", value=value)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE
        ) as process:
            process.stdout.readline()
            process.send_signal(signal.SIGKILL)
    kept = values(tmp_path)
    assert kept == list(range(len(kept)))
