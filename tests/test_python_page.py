"""docs/python.md names every public name of scorenet and no other, and its code imports what exists."""

import ast
import re
from pathlib import Path

import scorenet
from strategies import ScoreStrategy

PAGE = (Path(__file__).parents[1] / "docs" / "python.md").read_text("utf-8")


def test_every_public_name_is_in_the_list_of_all_names():
    listed = PAGE.split("## All names")[1].split("An indicator alone")[0]
    named = set(re.findall(r"`(\w+)`", listed))
    assert named == set(scorenet.__all__)


def test_the_code_of_the_page_is_python_and_its_imports_exist():
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 5
    for block in blocks:
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module == "scorenet":
                assert all(item.name in scorenet.__all__ for item in node.names)


def test_the_methods_that_can_be_overridden_exist():
    table = PAGE.split("| method |")[1].split("```")[0]
    methods = re.findall(r"^\| `(\w+)\(", table, re.MULTILINE)
    assert methods == ["allow", "decide", "conditions", "order_sent"]
    assert all(callable(getattr(ScoreStrategy, name)) for name in methods)
