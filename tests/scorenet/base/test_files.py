"""Files and folders: leftovers of dead processes, regular files only, permissions, and text and errors made safe."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from scorenet.base import memory
from scorenet.base.files import (
    FileTooLarge,
    make_private,
    read_regular,
    replace_folder,
    restore_folder,
    staging_folder,
    write_text,
)
from scorenet.base.locks import LockHeld, try_lock
from scorenet.base.memory import is_out_of_memory, machine_memory
from scorenet.base.printable import printable

ROOT = Path(__file__).parents[3]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_folders_of_killed_processes_are_removed_and_those_of_living_ones_are_not(tmp_path):
    final = tmp_path / "a [run]*"
    program = f"""
from pathlib import Path
from scorenet.base.files import staging_folder
with staging_folder(Path({str(final)!r})) as staging:
    (staging / "half").write_text("half")
    print(staging.name, flush=True)
    input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        theirs = process.stdout.readline().strip()
        with staging_folder(final) as staging:
            assert names(tmp_path) == sorted([staging.name, theirs])
        assert names(tmp_path) == [theirs]
        process.send_signal(signal.SIGKILL)
    (tmp_path / ".other.12345678.partial").mkdir()
    with staging_folder(final) as staging:
        assert names(tmp_path) == sorted([staging.name, ".other.12345678.partial"])
    assert names(tmp_path) == [".other.12345678.partial"]


def test_a_folder_that_is_taken_for_a_leftover_at_once_is_made_again(tmp_path, monkeypatch):
    made = []
    mkdir = Path.mkdir

    def stolen(self, *args, **kwargs):
        mkdir(self, *args, **kwargs)
        if self.name.endswith(".partial"):
            made.append(self)
            if len(made) == 1:
                self.rmdir()

    monkeypatch.setattr(Path, "mkdir", stolen)
    with staging_folder(tmp_path / "run") as staging:
        assert staging == made[1]
        assert staging.is_dir()


def test_a_lock_on_a_path_is_held_once(tmp_path):
    with try_lock(tmp_path), pytest.raises(LockHeld), try_lock(tmp_path):
        pass
    with try_lock(tmp_path):
        pass


def test_regular_files_are_read_and_others_are_not(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_regular(path, 5) == b"12345"
    with pytest.raises(FileTooLarge, match="5 bytes"):
        read_regular(path, 4)
    (tmp_path / "link").symlink_to(path)
    os.mkfifo(tmp_path / "pipe")
    for name, found in (("link", "a link"), ("pipe", "a device, a pipe")):
        with pytest.raises(OSError, match=f"expected a regular file, found {found}"):
            read_regular(tmp_path / name, 5)
    with pytest.raises(OSError, match=r"regular file|directory"):
        read_regular(tmp_path, 5)
    with pytest.raises(OSError, match="regular file"):
        read_regular(Path("/dev/zero"), 5)


@pytest.mark.parametrize(("folder", "file"), [(0o700, 0o600), (0o750, 0o640), (0o755, 0o644)])
def test_a_file_is_as_private_as_its_folder(tmp_path, folder, file):
    before = os.umask(0o022)
    try:
        tmp_path.chmod(folder)
        write_text(tmp_path / "file", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == file
    make_private(tmp_path / "file")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ü 中 +1.5 %\n\tnext", "ü 中 +1.5 %\n\tnext"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("a\rb\x00\x7f\x9b", r"a\rb\x00\x7f\x9b"),
        ("\u202egnp.exe\u2066\u2028", r"\u202egnp.exe\u2066\u2028"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_a_terminal_would_obey_is_shown(text, shown):
    assert printable(text) == shown


def test_the_memory_is_the_smallest_limit(tmp_path, monkeypatch):
    real = machine_memory()
    assert real > 10**8
    (tmp_path / "limit").write_text("1000000\n")
    monkeypatch.setattr(memory, "_CONTAINER_LIMIT", tmp_path / "limit")
    assert machine_memory() == 1_000_000
    (tmp_path / "limit").write_text("max\n")
    assert machine_memory() >= real


def test_errors_of_memory_are_known():
    torch_says = "[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried"
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError(torch_says))
    assert is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    assert not is_out_of_memory(RuntimeError("size mismatch"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_a_folder_between_two_names_is_restored_unless_its_writer_lives(tmp_path):
    final, previous = tmp_path / "out", tmp_path / ".out.previous"
    previous.mkdir()
    (previous / "a").write_text("old")
    with staging_folder(final) as staging:
        restore_folder(final)  # the writer is about to rename its own: it must find the name free
        assert not final.exists()
        (staging / "a").write_text("new")
        replace_folder(staging, final)
    assert (final / "a").read_text() == "new"
    final.rename(previous)
    restore_folder(final)
    assert (final / "a").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
