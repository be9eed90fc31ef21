"""The TOML writer against the standard library's reader."""

import datetime as dt
import math
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.folder.toml import dumps, loads

SCALARS = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.datetimes(timezones=st.none() | st.just(dt.UTC))
    | st.dates()
)
TABLES = st.recursive(
    st.dictionaries(st.text(), SCALARS | st.lists(SCALARS)),
    lambda inner: st.dictionaries(st.text(), SCALARS | inner | st.lists(inner)),
    max_leaves=12,
)


@given(TABLES)
def test_what_is_written_reads_back_equal(table):
    assert tomllib.loads(dumps(table)) == table


def test_layout_is_what_a_person_would_write():
    table = {
        "signal": "forward",
        "seed": 7,
        "sizing": {"max_exposure": 1.0, "lots": {"BTC/USDT:USDT": 0.001}},
    }
    assert dumps(table) == (
        'signal = "forward"\nseed = 7\n\n[sizing]\nmax_exposure = 1.0\n\n'
        '[sizing.lots]\n"BTC/USDT:USDT" = 0.001\n'
    )


def test_none_is_left_out_and_an_empty_table_stays():
    assert tomllib.loads(dumps({"a": None, "b": {"c": None}, "d": [{"e": None, "f": 1}]})) == {
        "b": {},
        "d": [{"f": 1}],
    }


def test_paths_nan_and_lone_surrogates():
    back = tomllib.loads(dumps({"path": Path("out/run"), "nan": math.nan, "name": "a\udc80b"}))
    assert back["path"] == "out/run"
    assert math.isnan(back["nan"])
    assert back["name"] == "a\ufffdb"


@pytest.mark.parametrize("value", [object(), b"bytes", {1: "key is no string"}])
def test_what_toml_cannot_hold_is_refused(value):
    with pytest.raises(TypeError, match="TOML"):
        dumps({"key": value})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = " + "[" * 5_000 + "]" * 5_000, "levels"),
        ("a = " + "[" * 30 + "]" * 30, "levels"),
        (".".join("a" * 400) + " = 1", "levels"),
        (f"a = {'9' * 5_000}", "digits"),
        (f"a = {'9' * 400}", "digits"),
        (f"a = [1, [{'9' * 400}]]", "digits"),
        ("a = ", "Invalid value"),
    ],
    ids=["arrays", "some arrays", "tables", "long integer", "large integer", "inner integer", "no value"],
)
def test_what_cannot_be_settings_is_one_line(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        loads(text)
    assert len(str(caught.value)) < 200


def test_settings_are_read():
    assert loads("[a.b]\nc = [1, [2.5]]\n") == {"a": {"b": {"c": [1, [2.5]]}}}


def test_the_mark_at_the_beginning_of_a_windows_file_is_no_setting():
    assert loads("\ufeffcooldown = 3\r\n") == {"cooldown": 3}
