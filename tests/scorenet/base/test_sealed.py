"""Sealed lines: what was written is read, a change or a lost line is found, reading never waits."""

import os

import pytest

from scorenet.base.sealed import BrokenLine, record_of, seal, sealed_lines, unfinished, unseal


def write(path, *records):
    crc, lines = 0, []
    for record in records:
        line, crc = seal(record, crc)
        lines.append(line)
    path.write_bytes(b"".join(lines))
    return lines, crc


def read(path):
    return [record_of(text) for _, _, text in sealed_lines(path)]


def test_what_was_written_is_read(tmp_path):
    path = tmp_path / "lines"
    records = [{}, {"a": 1}, {"crc": "x", "b": [1.5, None, "ü\n"]}]
    lines, crc = write(path, *records)
    assert read(path) == records
    ends = [(end, found) for end, found, _ in sealed_lines(path)]
    assert ends[-1] == (sum(map(len, lines)), crc)


def test_a_changed_lost_or_moved_line_is_found_and_named(tmp_path):
    path = tmp_path / "lines"
    (one, two, three), _ = write(path, {"a": 1}, {"a": 2}, {"a": 3})
    for content, line in ((one + three, 2), (two + one, 1), (one + two.replace(b"2", b"3", 1) + three, 2)):
        path.write_bytes(content)
        with pytest.raises(BrokenLine, match=f"line {line}: "):
            read(path)


def test_a_line_without_its_newline_is_unfinished_and_counts_if_it_is_whole(tmp_path):
    path = tmp_path / "lines"
    (one, two), crc = write(path, {"a": 1}, {"a": 2})
    first = unseal(one, 0)[1]
    path.write_bytes(one + two[:-1])
    assert read(path) == [{"a": 1}]
    assert unfinished(path, len(one), first) == (two, ({"a": 2}, crc))
    path.write_bytes(one + two[:-2])
    assert unfinished(path, len(one), first) == (two[:-2], None)


def test_what_is_not_json_is_no_record():
    assert [record_of(text) for text in (b"[1]", b"{", b'{"a": NaN}', b"\xff", b"[" * 99_999)] == [None] * 5


def test_a_pipe_is_refused_and_does_not_wait(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="regular file"):
        read(tmp_path / "pipe")
