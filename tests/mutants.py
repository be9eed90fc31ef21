"""Mutation testing: break a module in one place, run the tests that mirror it, and see whether they notice.

`make mutants` runs all modules of the table; `python -m tests.mutants scorenet/windows.py --sample 10` some. The
mutations are those of cosmic-ray; a seeded sample of places is drawn from each module, and of each place one mutation.
Annotations, `__all__`, decorators and the texts of errors are no places: no test should depend on them. A mutant is
killed when its tests fail or do not end in time.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("scorenet", "feeds", "strategies", "runs", "tests", "examples", "docs", "pyproject.toml")

MODULES = {
    "scorenet/features/builtin.py": ("tests/scorenet/features",),
    "scorenet/learning.py": ("tests/scorenet/test_learning.py",),
    "scorenet/conformal/calibration.py": ("tests/scorenet/conformal/test_calibration.py",),
    "scorenet/forward/training.py": ("tests/scorenet/forward",),
    "scorenet/score/fit.py": ("tests/scorenet/score/test_fit.py",),
    "strategies/decision/decide.py": ("tests/strategies/test_decision.py",),
    "strategies/account/broker.py": ("tests/strategies/account",),
    "strategies/account/holdings.py": ("tests/strategies/account",),
    "runs/statistics.py": ("tests/runs/test_statistics.py",),
    "feeds/download/pager.py": ("tests/feeds/download",),
    "feeds/store/series_store.py": ("tests/feeds/store",),
}
"""Each module and the tests that mirror it; paths that do not exist are passed over."""

_SKIPPED = (
    "core/AddNot",
    "core/RemoveDecorator",
    "core/VariableInserter",
    "core/VariableReplacer",
    "core/NoOp",
)


class Mutant(NamedTuple):
    """One change of one module: cosmic-ray's operator and which of its places, with the line for the reader."""

    module: str
    operator: str
    occurrence: int
    line: int
    code: str


def mutants_of(module: str) -> Iterator[Mutant]:
    """Yield every mutant of a module, in the order of the file."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator, operator_names

    source = (ROOT / module).read_text()
    tree, quiet = get_ast(source), _quiet_lines(source)
    for name in operator_names():
        if name.startswith(_SKIPPED) or get_operator(name).arguments():
            continue
        operator = get_operator(name)()
        places = [place for node in ast_nodes(tree) for place in operator.mutation_positions(node)]
        for occurrence, (start, _) in enumerate(places):
            if any(first <= start < last for first, last in quiet):
                continue
            code = mutate_code(source, operator, occurrence)
            if code is not None and ast.dump(ast.parse(code)) != ast.dump(ast.parse(source)):
                yield Mutant(module, name, occurrence, start[0], code)


def _quiet_lines(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return the spans (line, column) of annotations, decorators, `__all__`, docstrings and raised messages."""
    quiet: list[ast.AST | None] = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.FunctionDef():
                quiet += [node.returns, *node.decorator_list]
            case ast.ClassDef():
                quiet += node.decorator_list
            case ast.arg() | ast.AnnAssign():
                quiet.append(node.annotation)
            case ast.Assign(targets=[ast.Name(id="__all__")]):
                quiet.append(node)
            case ast.Assign(targets=[ast.Name()], value=ast.Subscript()):
                quiet.append(node)  # an alias of a type
            case ast.Raise(exc=ast.Call()):
                quiet += list(node.exc.args)
    return [((n.lineno, n.col_offset), (n.end_lineno, n.end_col_offset)) for n in quiet if n is not None]


def sample(mutants: list[Mutant], size: int, seed: int) -> list[Mutant]:
    """Draw `size` mutants: first a line, then one of its mutants, so that long expressions do not crowd others out."""
    draw, by_line = random.Random(seed), defaultdict(list)
    for mutant in mutants:
        by_line[mutant.line].append(mutant)
    chosen: list[Mutant] = []
    while len(chosen) < size and by_line:
        for line in draw.sample(sorted(by_line), len(by_line)):
            if len(chosen) == size:
                break
            chosen.append(by_line[line].pop(draw.randrange(len(by_line[line]))))
            if not by_line[line]:
                del by_line[line]
    return chosen


def survives(copy: Path, mutant: Mutant | None, tests: list[str], seconds: float) -> bool:
    """Run tests in a copy of the tree with the mutant in it; True if they all pass."""
    target, source = None, ""
    if mutant is not None:
        target = copy / mutant.module
        source = target.read_text()
        target.write_text(mutant.code)
    command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, timeout=seconds, check=False
        )
        return done.returncode == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        if target is not None:
            target.write_text(source)


def judge(
    module: str, tests: list[str], size: int, seed: int, copies: Queue[Path], jobs: int
) -> list[Mutant]:
    """Print and return the sampled mutants of a module that its tests let live."""
    chosen = sample(list(mutants_of(module)), size, seed)
    copy = copies.get()
    begin = time.monotonic()
    if not survives(copy, None, tests, 600.0):
        sys.exit(f"{module}: its tests fail before anything is changed: {' '.join(tests)}")
    limit = 20.0 + 5.0 * (time.monotonic() - begin)
    copies.put(copy)

    def one(mutant: Mutant) -> bool:
        place = copies.get()
        try:
            return survives(place, mutant, tests, limit)
        finally:
            copies.put(place)

    with ThreadPoolExecutor(jobs) as pool:
        alive = [mutant for mutant, lives in zip(chosen, pool.map(one, chosen), strict=True) if lives]
    killed = len(chosen) - len(alive)
    print(
        f"{module:44s} {killed:3d} of {len(chosen):3d} killed  {killed / max(len(chosen), 1):6.1%}",
        flush=True,
    )
    for mutant in alive:
        before = (ROOT / module).read_text().splitlines()[mutant.line - 1].strip()
        after = mutant.code.splitlines()[mutant.line - 1].strip()
        print(f"    line {mutant.line}: {before}  ->  {after}", flush=True)
    return alive


def main() -> None:
    """Read the command line and judge modules one after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("modules", nargs="*", help="paths of modules; default: all of the table")
    parser.add_argument("--sample", type=int, default=40, help="mutants a module (default 40)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="test processes side by side")
    parser.add_argument("--json", type=Path, help="write the survivors there")
    options = parser.parse_args()
    survivors, total = [], 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies: Queue[Path] = Queue()
        for number in range(options.jobs):
            copy = Path(folder) / str(number)
            for part in PARTS:
                source = ROOT / part
                if source.is_dir():
                    shutil.copytree(source, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(source, copy / part)
            copies.put(copy)
        for module in options.modules or MODULES:
            tests = [path for path in MODULES[module] if (ROOT / path).exists()]
            total += min(options.sample, len(list(mutants_of(module))))
            survivors += judge(module, tests, options.sample, options.seed, copies, options.jobs)
    print(f"{'all':44s} {total - len(survivors):3d} of {total:3d} killed  {1 - len(survivors) / total:6.1%}")
    if options.json:
        options.json.write_text(
            json.dumps([mutant._asdict() | {"code": ""} for mutant in survivors], indent=1)
        )


if __name__ == "__main__":
    main()
