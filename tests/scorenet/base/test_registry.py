"""Registries: a name is registered once, an unknown name gives a suggestion."""

import pytest

from scorenet.base.registry import Registry


def test_an_entry_is_found_by_its_name():
    rules: Registry[int] = Registry("rule")
    assert rules.register("first")(1) == 1
    assert rules["first"] == 1
    assert "first" in rules
    assert list(rules) == ["first"]
    assert len(rules) == 1


def test_an_unknown_name_is_refused_with_the_known_ones_and_a_hint():
    rules: Registry[int] = Registry("rule", LookupError)
    rules.register("kelly")(1)
    rules.register("fixed")(2)
    with pytest.raises(
        LookupError, match=r"rule: expected one of kelly, fixed; found 'kely'; did you mean 'kelly'\?"
    ):
        rules["kely"]


@pytest.mark.parametrize("name", [["fixed"], {"fixed": 1}, 3, None])
def test_what_is_no_text_is_an_unknown_name(name):
    rules: Registry[int] = Registry("rule", LookupError)
    rules.register("fixed")(1)
    assert name not in rules
    with pytest.raises(LookupError, match="expected one of fixed; found"):
        rules[name]


def test_a_name_is_taken_once_but_the_same_entry_may_come_again():
    rules: Registry[object] = Registry("rule")
    entry = object()
    rules.register("mine")(entry)
    rules.register("mine")(entry)
    with pytest.raises(ValueError, match="rule 'mine' is taken"):
        rules.register("mine")(object())


def test_a_name_that_no_setting_could_spell_is_refused():
    with pytest.raises(ValueError, match="expected a name such as 'my_rule', found 'a b'"):
        Registry("rule").register("a b")


def test_a_removed_name_is_free_again():
    rules: Registry[int] = Registry("rule")
    rules.register("mine")(1)
    rules.remove("mine")
    rules.remove("mine")
    assert "mine" not in rules
