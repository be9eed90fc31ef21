"""A download killed 200 times, full disks, writers at once, flipped bytes: nothing is lost, nothing is asked twice."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.acceptance import download_driver as driver
from tests.bybit import LoopbackBybit
from tests.bybit.fixtures import NOW

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(3_600)]

ROOT = Path(__file__).parents[2]
POINTS = 200


@pytest.fixture
def exchange():
    with LoopbackBybit(clock=NOW, limit=(1_000_000, 5.0)) as exchange:
        yield exchange


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What an uninterrupted download leaves."""
    folder = tmp_path_factory.mktemp("whole")
    with LoopbackBybit(clock=NOW) as exchange:
        assert apart("download", exchange.url, folder)["code"] == 0
    return driver.tree(folder)


def apart(what, url, folder, *prepare):
    """Run something of the driver in a process of its own; return its exit code and what it returned or raised."""
    code = (
        "import json, sys\nfrom pathlib import Path\nfrom tests.acceptance import download_driver as d\n"
        f"code, said = d.forked(lambda: ({', '.join([*prepare, f'd.{what}'])},)[-1]"
        f"({f'{url!r}, ' if url else ''}Path({str(folder)!r})))\n"
        "print(json.dumps({'code': code, 'said': said}))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def scorenet_fetch(exchange, folder, **options):
    """Run the command as a person does."""
    words = ["fetch", "BTC/USDT:USDT", "--since", "2024-03-01", "--base-url", exchange.url]
    program = "from runs.cli import main\nmain(prog_name='scorenet')"
    return subprocess.run(
        [sys.executable, "-c", program, *words, "--data-dir", str(folder), "--quiet"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=600,
        **options,
    )


def test_200_kills_during_a_download(exchange, tmp_path):
    command = [
        sys.executable,
        "-m",
        "tests.acceptance.download_driver",
        exchange.url,
        str(tmp_path),
        str(POINTS),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=3_000)
    assert done.returncode == 0, done.stderr
    points = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(points) == POINTS
    killed = [point for point in points if point["code"] == -signal.SIGKILL]
    assert {point["code"] for point in points} <= {0, -signal.SIGKILL}
    for point in points:
        assert point["rows"][0] == 0, point
        assert point["resumed"][0] == 0, point
        assert point["same"], point
        assert point["again"] == [0, {"bars": 0, "funding": 0, "open_interest": 0}], point
    sys.stderr.write(
        f"\n{len(points)} points, {len(killed)} killed; rows found after a kill: "
        f"{min(p['rows'][1] for p in points)} to {max(p['rows'][1] for p in points)}\n"
    )
    assert len(killed) >= 0.9 * POINTS


@pytest.mark.parametrize("size", [100, 5_000, 60_000])
def test_a_full_disk_keeps_what_was_stored(exchange, tmp_path, whole, size):
    ended = apart("download", exchange.url, tmp_path, f"d.fill_up({size})")
    assert ended["code"] == 1
    assert ended["said"].startswith("StoreError: cannot write ")
    assert "data stored before is intact" in ended["said"]
    assert not [name for name in driver.tree(tmp_path) if name.endswith(".tmp")]
    assert apart("loads", None, tmp_path)["code"] == 0
    assert apart("download", exchange.url, tmp_path)["code"] == 0
    assert driver.tree(tmp_path) == whole


def test_the_command_says_in_a_line_that_the_disk_is_full(exchange, tmp_path):
    def full():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))

    done = scorenet_fetch(exchange, tmp_path, preexec_fn=full)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
    assert "cannot write" in done.stderr
    assert scorenet_fetch(exchange, tmp_path).returncode == 0


def test_a_read_only_folder_can_be_read_and_not_written(exchange, tmp_path, whole):
    ended = apart("download", exchange.url, tmp_path / "new", "d.make_read_only()")
    assert ended["code"] == 1
    assert "Read-only file system" in ended["said"]
    assert "StoreError" in ended["said"]
    assert apart("download", exchange.url, tmp_path / "new")["code"] == 0
    read = apart("loads", None, tmp_path / "new", "d.make_read_only()")
    assert (read["code"], read["said"] > 6_000) == (0, True)
    assert driver.tree(tmp_path / "new") == whole


def test_the_command_says_in_a_line_that_the_folder_cannot_be_written(exchange, tmp_path):
    (tmp_path / "file").write_text("where a folder should be")
    done = scorenet_fetch(exchange, tmp_path / "file" / "data")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2


def test_writers_at_once_ask_for_nothing_twice_and_leave_the_same_bytes(exchange, tmp_path, whole):
    program = (
        "import sys\nfrom pathlib import Path\nfrom tests.acceptance import download_driver as d\n"
        "d.download(sys.argv[1], Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", program, exchange.url, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    writers = [subprocess.Popen(command, env=environment) for _ in range(3)]
    assert [writer.wait(600) for writer in writers] == [0, 0, 0]
    assert driver.tree(tmp_path) == whole
    assert len(exchange.requests()) == 2 * 3  # two symbols of 3,000 bars


def rows_of(content):
    """Return the rows of a chunk and the description that its checksum covers."""
    table = pq.read_table(pa.BufferReader(content))
    return table.to_pydict(), (table.schema.metadata or {})[b"scorenet"]


def test_a_flipped_byte_is_found_or_changes_no_row_and_only_its_chunk_is_downloaded_again(
    exchange, tmp_path, whole
):
    assert apart("download", exchange.url, tmp_path)["code"] == 0
    chance = random.Random(11)
    names = [name for name in whole if name.endswith(".parquet")]
    exchange.log.clear()
    for number in range(12):
        name = names[number % len(names)]
        body = bytearray(whole[name])
        place = chance.randrange(len(body))
        body[place] ^= 1 << chance.randrange(8)
        (tmp_path / name).write_bytes(body)
        before = len(exchange.log)
        assert apart("download", exchange.url, tmp_path)["code"] == 0
        after = driver.tree(tmp_path)
        kept = {key: value for key, value in after.items() if not key.endswith(".corrupt")}
        if kept[name] != whole[name]:  # a byte of parquet that no row depends on, e.g. of its Arrow schema
            assert kept[name] == bytes(body)
            assert rows_of(kept[name]) == rows_of(whole[name]), (name, place)
            kept[name] = whole[name]
            (tmp_path / name).write_bytes(whole[name])
        assert kept == whole
        symbol = {"BTC_USDT-USDT": "BTCUSDT", "ETH_USDT-USDT": "ETHUSDT"}[Path(name).parts[1]]
        data = [r for r in exchange.log[before:] if "symbol" in r.query]
        assert {r.query["symbol"] for r in data} <= {symbol}, (name, place)
        for path in tmp_path.rglob("*.corrupt"):
            path.unlink()
