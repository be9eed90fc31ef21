"""The wheel in a fresh environment: everything is in it, also where a user's folder has taken the packages' names."""

import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).parents[2]


def run(*words, cwd):
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(folder),
        str(ROOT),
        cwd=folder,
    )
    [found] = folder.glob("scorenet-*.whl")
    return found


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """A new environment with the wheel; what it depends on is lent by the environment of the tests."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", str(folder), cwd=folder)
    own = folder / "bin" / "python"
    site = Path(
        run(
            str(own), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder
        ).stdout.strip()
    )
    run(
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(site),
        str(wheel),
        cwd=folder,
    )
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return str(own)


def test_the_wheel_holds_every_module_and_no_test(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in ("scorenet", "feeds", "strategies", "runs"):
        for path in (ROOT / package).rglob("*.py"):
            assert path.relative_to(ROOT).as_posix() in names
    assert "runs/report/page.css" in names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "examples/"))]


def test_it_works_in_a_folder_whose_names_collide(python, tmp_path):
    (tmp_path / "strategies").mkdir()
    (tmp_path / "strategies" / "__init__.py").write_text("class MyStrategy: ...\n")
    (tmp_path / "feeds.py").write_text("MINE = True\n")
    (tmp_path / "run.py").write_text(
        "import feeds, strategies\n"
        "from scorenet import BarsData, InDistribution, PerpetualBroker, ScoreStrategy, load_bars\n"
        "print(feeds.MINE, strategies.MyStrategy.__name__, ScoreStrategy.__name__)\n"
        "print(len(load_bars('simulated:planted?bars=100')))\n"
    )
    done = run(python, "run.py", cwd=tmp_path)
    assert done.stdout.splitlines() == ["True MyStrategy ScoreStrategy", "100"]
    assert len(done.stderr.splitlines()) == 2
    done = run(python, "-m", "scorenet", "data", "check", "simulated:planted?bars=100", cwd=tmp_path)
    assert re.search(r"^rows +100$", done.stdout, re.MULTILINE), "the source has a 100, too"
