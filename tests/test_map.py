"""docs/map.md and CONTRIBUTING.md name existing places, and the tree keeps the limits that they state."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("scorenet", "feeds", "strategies", "runs")
MAP = (ROOT / "docs" / "map.md").read_text("utf-8")
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
RUNS = [path for path in FILES if path.is_relative_to(ROOT / "runs")]


@pytest.mark.parametrize("document", ["docs/map.md", "CONTRIBUTING.md"])
def test_every_place_that_is_named_exists(document):
    text = (ROOT / document).read_text("utf-8")
    places = re.findall(r"`((?:scorenet|feeds|strategies|runs|tests|benchmarks|examples)/[\w/.]*)`", text)
    assert [place for place in places if not (ROOT / place).exists()] == []
    assert len(places) >= 8


def test_every_room_is_on_the_map():
    rooms = {path.parent.relative_to(ROOT).as_posix() for path in FILES}
    named = set(re.findall(r"`([\w/]+)/`", MAP))
    assert rooms > set(PACKAGES)
    inner = {"scorenet/siblings"}  # the other packages under names that cannot collide
    assert {room for room in rooms if room not in named and room not in inner} == set()


def test_no_folder_is_crowded_and_long_files_are_explained():
    for folder in {path.parent for path in FILES}:
        modules = [path for path in FILES if path.parent == folder and path.name != "__init__.py"]
        assert len(modules) <= 14, folder
    long = [p.relative_to(ROOT).as_posix() for p in FILES if len(p.read_text().splitlines()) > 300]
    explained = re.findall(r"`([\w/]+\.py)`", MAP.split("## Files above 300 lines")[1])
    assert sorted(explained) == sorted(long)


def test_no_function_of_runs_takes_more_than_eight_parameters():
    crowded = []
    assert RUNS
    for path in RUNS:
        for node in ast.walk(ast.parse(path.read_text())):
            # A click command has a parameter for each of its options.
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not _is_command(node):
                names = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                if len([name for name in names if name.arg not in ("self", "cls")]) > 8:
                    crowded.append(f"{path.relative_to(ROOT)}:{node.name}")
    assert crowded == []


def _is_command(node):
    return any("command" in ast.unparse(decorator) for decorator in node.decorator_list)
