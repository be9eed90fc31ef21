"""The tests named in docs/faults.md exist, and its rows are numbered without gaps."""

import re
from itertools import groupby
from pathlib import Path

TESTS = Path(__file__).parents[2]
TEXT = (TESTS.parent / "docs" / "faults.md").read_text("utf-8")
NAMED = re.findall(r"`([\w/]+\.py)::(test_\w+)`", TEXT)
ROWS = re.findall(r"^\| ([A-Z])(\d+) \|(.*)\|$", TEXT, re.MULTILINE)


def test_every_test_that_the_table_names_exists():
    missing = [
        f"{path}::{name}"
        for path, name in NAMED
        if not re.search(rf"^def {name}\(", (TESTS / path).read_text("utf-8"), re.MULTILINE)
    ]
    assert missing == []
    assert len(NAMED) > 80


def test_rows_are_numbered_and_say_where_their_test_is():
    for _, rows in groupby(ROWS, key=lambda row: row[0]):
        numbers = [int(number) for _, number, _ in rows]
        assert numbers == list(range(1, len(numbers) + 1))
    assert all(re.search(r"::test_|[FSL]\d+", text) for _, _, text in ROWS)
