"""Constraints: the value of Python's own expression, from a short list of operations, without running any code."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runs.search import Constraint
from scorenet import ConfigError

NAMES = ("a", "b", "forward.horizon", "signal", "flag")
VALUES = {"a": 3, "b": 0.5, "forward.horizon": 12, "signal": "state", "flag": None}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("a < b", False),
        ("b < a <= forward.horizon", True),
        ("b < a > forward.horizon", False),
        ("a * 4 == forward.horizon and not b > 1", True),
        ("a > 5 or b <= 0.5", True),
        ("-a + 4 >= 1 and a % 2 == 1 and a // 2 == 1 and a / 2 == 1.5", True),
        ("abs(b - 1) == 0.5 and min(a, b) == b and max(a, b, 9) == 9", True),
        ("signal == 'state' and signal in ('state', 'forward')", True),
        ("signal not in ['state']", False),
        ("flag == none or flag < 0.2", True),
        ("flag != None", False),
        ("strategy.a == 3", True),
        ("not a == 3", False),
    ],
)
def test_values(text, holds):
    assert Constraint.parse(text, NAMES).holds(VALUES) is holds


_atoms = st.sampled_from(["a", "b", "2", "0.25", "-1"])
_sums = st.recursive(
    _atoms, lambda x: st.builds("({} {} {})".format, x, st.sampled_from("+-*"), x), max_leaves=6
)
_tests = st.builds("{} {} {}".format, _sums, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), _sums)
_texts = st.recursive(
    _tests,
    lambda x: (
        st.builds("({} {} {})".format, x, st.sampled_from(["and", "or"]), x) | st.builds("(not {})".format, x)
    ),
    max_leaves=5,
)


@settings(max_examples=50)
@given(text=_texts, a=st.integers(-5, 5), b=st.floats(-2, 2))
def test_it_is_python_s_own_value(text, a, b):
    expected = eval(text, {}, {"a": a, "b": b})  # noqa: S307 - the text is built from the pieces above
    assert Constraint.parse(text, NAMES).holds({"a": a, "b": b}) is bool(expected)


def test_names_are_those_that_are_used():
    assert Constraint.parse("a < b and forward.horizon > a", NAMES).names == ("a", "b", "forward.horizon")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a <", "expected an expression such as"),
        ("", "expected an expression such as"),
        ("a = 3", "expected an expression such as"),
        ("a", "expected a comparison"),
        ("a + b", "expected a comparison"),
        ("forward.horizn < 3", "did you mean 'forward.horizon'"),
        ("signal == state", "found 'state'.*a text stands in quotes"),
        ("a ** b < 3", r"found 'a \*\* b'"),
        ("a is None", "found 'a is None'"),
        ("print(a) == 1", r"found 'print\(a\)'"),
        ("(lambda: 1)() == 1", "found"),
        ("a.__class__ == 1", "found 'a.__class__'"),
        ("[x for x in (1,)] == a", "found"),
        ("abs(a, b) == 1", "abs takes one value"),
        ("min(a) == 1", "two values or more"),
        ("max(*signal) == 1", "found"),
        ("f'{a}' == 1", "found"),
        ("b'x' == a", "found"),
        ("a < " + "(" * 300 + "1" + ")" * 300, "expected"),
        ("a < " + "-" * 200 + "1", "at most 50 nested"),
        ("a < " + "1 + " * 400 + "1", "at most 1000 characters"),
    ],
)
def test_anything_else_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        Constraint.parse(text, NAMES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flag < 1", "cannot be evaluated with flag=None"),
        ("a / (b - b) < 1", "division by zero"),
        ("signal * 1000000000 == 'x'", "'state' is not a number"),
        ("abs(signal) == 1", "is not a number"),
        ("a in b", "cannot be evaluated with a=3, b=0.5"),
    ],
)
def test_what_cannot_be_evaluated_says_with_which_values(text, message):
    with pytest.raises(ConfigError, match=message):
        Constraint.parse(text, NAMES).holds(VALUES)
