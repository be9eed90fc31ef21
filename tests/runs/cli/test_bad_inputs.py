"""Every bad input of the table ends with its exit code, one or two clear lines, and nothing written."""

import pytest

from tests.runs.cli.bad_inputs import DOCS, INPUTS, prepare, row, run


@pytest.fixture(scope="module")
def place(tiny_model_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad").resolve()
    prepare(folder, tiny_model_dir)
    return folder


@pytest.fixture(scope="module")
def printed():
    return {line.split(" | ")[0].removeprefix("| "): line for line in DOCS.read_text("utf-8").splitlines()}


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_the_table_has_seventy_five_and_the_page_all_of_them(printed):
    assert len(INPUTS) >= 75
    assert [name for name in printed if name in INPUTS] == list(INPUTS)


@pytest.mark.parametrize("name", INPUTS)
def test_a_bad_input_is_one_clear_message_and_leaves_nothing(place, monkeypatch, name):
    monkeypatch.chdir(place)
    words, code, hint = INPUTS[name]
    before = tree(place)
    result = run(words)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.startswith("scorenet: ")
    assert hint in result.stderr
    assert 1 <= len(result.stderr.strip().splitlines()) <= 2
    assert tree(place) == before


@pytest.mark.parametrize("name", INPUTS)
def test_the_page_prints_what_the_command_says(place, printed, monkeypatch, name):
    monkeypatch.chdir(place)
    assert row(name, place) == printed[name]
