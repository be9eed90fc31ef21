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
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("scorenet", "feeds", "strategies", "runs", "tests", "examples", "docs", "pyproject.toml")

MODULES = {
    "scorenet/features/builtin.py": ("tests/scorenet/features/test_extended.py", "tests/scorenet/features"),
    "scorenet/learning/fit.py": (
        "tests/scorenet/learning/test_rows.py",
        "tests/scorenet/learning/test_nets.py",
    ),
    "scorenet/learning/nets.py": (
        "tests/scorenet/learning/test_rows.py",
        "tests/scorenet/learning/test_nets.py",
    ),
    "scorenet/learning/rows.py": (
        "tests/scorenet/learning/test_rows.py",
        "tests/scorenet/learning/test_nets.py",
    ),
    "scorenet/conformal/calibration.py": (
        "tests/scorenet/conformal/test_calibration_by_hand.py",
        "tests/scorenet/conformal/test_calibration.py",
    ),
    "scorenet/forward/training.py": ("tests/scorenet/forward/test_training.py",),
    "scorenet/score/fit.py": ("tests/scorenet/score/test_base_alone.py",),
    "strategies/decision/decide.py": (
        "tests/strategies/test_position.py",
        "tests/strategies/test_decision.py",
    ),
    "strategies/account/broker.py": (
        "tests/strategies/account/test_broker.py",
        "tests/strategies/account/test_broker_books.py",
        "tests/strategies/account/test_broker_liquidation.py",
        "tests/strategies/account/test_broker_base.py",
        "tests/strategies/account/test_accounting_modes.py",
    ),
    "strategies/account/holdings.py": (
        "tests/strategies/account/test_holdings.py",
        "tests/strategies/account/test_broker.py",
        "tests/strategies/account/test_broker_liquidation.py",
        "tests/strategies/account/test_accounting_modes.py",
    ),
    "runs/statistics.py": ("tests/runs/test_statistics.py",),
    "feeds/download/pager.py": (
        "tests/feeds/download/test_pager.py",
        "tests/feeds/download/test_pager_irregular.py",
    ),
    "feeds/store/series_store.py": (
        "tests/feeds/store/test_pages.py",
        "tests/feeds/store/test_unreadable.py",
        "tests/feeds/store/test_series_store.py",
    ),
}
"""Each module and the tests that mirror it; paths that do not exist are passed over."""

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    ["numpy", "pandas", "torch", "torch._dynamo", "backtrader", "scipy.stats", "hypothesis", "pytest"]
)

_SKIPPED = (
    "core/AddNot",
    "core/RemoveDecorator",
    "core/VariableInserter",
    "core/VariableReplacer",
    "core/NoOp",
)


class Place(NamedTuple):
    """One change that cosmic-ray can make: its operator, which of its places, and the line for the reader."""

    operator: str
    occurrence: int
    line: int


class Mutant(NamedTuple):
    """A module with one change in it."""

    module: str
    line: int
    code: str


def places_of(module: str) -> Iterator[Place]:
    """Yield every place of a module that an operator can change."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    source = (ROOT / module).read_text()
    nodes, quiet = list(ast_nodes(get_ast(source))), _quiet_lines(source)
    for name in operator_names():
        if name.startswith(_SKIPPED) or get_operator(name).arguments():
            continue
        operator = get_operator(name)()
        starts = [start for node in nodes for start, _ in operator.mutation_positions(node)]
        for occurrence, start in enumerate(starts):
            if not any(first <= start < last for first, last in quiet):
                yield Place(name, occurrence, start[0])


def mutant_at(module: str, place: Place) -> Mutant | None:
    """Return the module with one place changed; None where the change is none, or is no Python."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    source = (ROOT / module).read_text()
    code = mutate_code(source, get_operator(place.operator)(), place.occurrence)
    return Mutant(module, place.line, code) if code is not None and _is_a_change(source, code) else None


def _is_a_change(source: str, code: str) -> bool:
    """Say whether the code still parses and differs in more than its layout."""
    try:
        return ast.dump(ast.parse(code)) != ast.dump(ast.parse(source))
    except SyntaxError:
        return False


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


def sample(module: str, size: int, seed: int) -> list[Mutant]:
    """Draw `size` mutants: first a line, then one of its places, so that long expressions do not crowd others out."""
    draw, by_line = random.Random(seed), defaultdict(list)
    for place in places_of(module):
        by_line[place.line].append(place)
    chosen: list[Mutant] = []
    while len(chosen) < size and by_line:
        for line in draw.sample(sorted(by_line), len(by_line)):
            places = by_line[line]
            mutant = mutant_at(module, places.pop(draw.randrange(len(places))))
            if mutant is not None:
                chosen.append(mutant)
            if not places:
                del by_line[line]
            if len(chosen) == size:
                break
    return chosen


def survives(copy: Path, mutant: Mutant | None, tests: Sequence[str], seconds: float) -> bool:
    """Run tests in a copy of the tree with the mutant in it; True if they all pass.

    A process forked from a server that has imported the libraries runs them: only the product is imported anew.
    """
    target, source = None, ""
    if mutant is not None:
        target = copy / mutant.module
        source = target.read_text()
        target.write_text(mutant.code)
        for compiled in (target.parent / "__pycache__").glob(f"{target.stem}.*.pyc"):
            compiled.unlink()
    process = _SERVER.Process(target=_pytest, args=(copy, list(tests), mutant is None))
    try:
        process.start()
        process.join(seconds)
        return process.exitcode == 0
    finally:
        process.kill()
        process.join()
        if target is not None:
            target.write_text(source)


def _pytest(copy: Path, tests: list[str], keep_compiled: bool) -> None:
    """Run pytest on a copy of the tree and exit with its code; nothing of the original tree is imported."""
    import pytest

    os.chdir(copy)
    os.environ |= {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    sys.path[:] = [str(copy), *(entry for entry in sys.path if Path(entry or ".").resolve() != ROOT)]
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    sys.dont_write_bytecode = not keep_compiled
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    options = ["-x", "-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    sys.exit(int(pytest.main([*options, *tests])))


def judge(
    module: str, tests: list[str], size: int, seed: int, copies: Queue[Path], jobs: int
) -> tuple[int, list[Mutant]]:
    """Print the sampled mutants of a module that its tests let live; return how many were drawn, and those."""
    chosen = sample(module, size, seed)
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
    return len(chosen), alive


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
    os.environ["OMP_NUM_THREADS"] = "1"
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
            drawn, alive = judge(module, tests, options.sample, options.seed, copies, options.jobs)
            total += drawn
            survivors += alive
    print(f"{'all':44s} {total - len(survivors):3d} of {total:3d} killed  {1 - len(survivors) / total:6.1%}")
    if options.json:
        options.json.write_text(
            json.dumps([mutant._asdict() | {"code": ""} for mutant in survivors], indent=1)
        )


if __name__ == "__main__":
    main()
