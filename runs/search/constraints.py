"""Constraints over the settings of a trial, e.g. `confidence_threshold < 0.5 and cooldown <= forward.horizon`.

The text is parsed into a tree of the few operations listed here; no Python code is ever run.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from scorenet import ConfigError
from scorenet.base.did_you_mean import did_you_mean

from .known import LEVELS

__all__ = ["Constraint"]

_LONGEST = 1_000  # characters
_DEEPEST = 50  # levels of brackets and operators

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.In: lambda value, known: value in known,
    ast.NotIn: lambda value, known: value not in known,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {"abs": abs, "min": min, "max": max}
_CONSTANTS = {"none": None, "true": True, "false": False}

Node = Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True, eq=False)
class Constraint:
    """An expression that the values of a trial must fulfil.

    Attributes:
        text: the expression.
        names: the settings that it names, sorted.
    """

    text: str
    names: tuple[str, ...]
    _node: Node

    @classmethod
    def parse(cls, text: str, known: Iterable[str]) -> Constraint:
        """Read an expression over `known` names: comparisons, and, or, not, + - * / // %, in, abs, min, max.

        Raises:
            ConfigError: it is no such expression, or a name is unknown; the message suggests the nearest.
        """
        if len(text) > _LONGEST:
            raise ConfigError(f"constraint: expected at most {_LONGEST} characters, found {len(text)}")
        try:
            tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ConfigError(
                f"constraint: expected an expression such as cooldown <= 24, found {text!r}"
            ) from error
        reader = _Reader(text, frozenset(known))
        if not isinstance(tree, ast.Compare | ast.BoolOp) and not (
            isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not)
        ):
            raise ConfigError(f"constraint: expected a comparison such as cooldown <= 24, found {text!r}")
        node = reader.read(tree, 0)
        return cls(text, tuple(sorted(reader.names)), node)

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Return whether the values of a trial, by name, fulfil the expression.

        Raises:
            ConfigError: it cannot be evaluated with them: text compared with a number, or a division by 0.
        """
        try:
            return bool(self._node(values))
        except (TypeError, ZeroDivisionError, OverflowError) as error:
            used = ", ".join(f"{name}={values[name]!r}" for name in self.names)
            raise ConfigError(f"constraint {self.text!r} cannot be evaluated with {used}: {error}") from error


class _Reader:
    """Turn a syntax tree into functions of the values, and collect the names."""

    def __init__(self, text: str, known: frozenset[str]) -> None:
        self.text = text
        self.names: set[str] = set()
        self._known = known

    def read(self, tree: ast.expr, depth: int) -> Node:
        if depth > _DEEPEST:
            raise ConfigError(
                f"constraint: expected at most {_DEEPEST} nested operations, found {self.text!r}"
            )
        deeper = depth + 1
        match tree:
            case ast.BoolOp(op=op, values=values):
                return _either([self.read(value, deeper) for value in values], isinstance(op, ast.Or))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                inner = self.read(operand, deeper)
                return lambda values: not inner(values)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                inner = self.read(operand, deeper)
                return lambda values: -_number(inner(values))
            case ast.Compare(left=left, ops=ops, comparators=others) if all(
                type(op) in _COMPARE for op in ops
            ):
                terms = [self.read(term, deeper) for term in (left, *others)]
                return _chain([_COMPARE[type(op)] for op in ops], terms)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return _calculate(_ARITHMETIC[type(op)], self.read(left, deeper), self.read(right, deeper))
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS and args:
                return _call(_FUNCTIONS[name], [self.read(arg, deeper) for arg in args])
            case ast.Tuple(elts=items) | ast.List(elts=items):
                terms = [self.read(item, deeper) for item in items]
                return lambda values: tuple(term(values) for term in terms)
            case ast.Constant(value=bool() | int() | float() | str() | None as value):
                return lambda values: value
            case ast.Name() | ast.Attribute():
                return self._name(tree)
        raise ConfigError(
            f"constraint: expected comparisons, and, or, not, + - * / // %, in, abs, min, max; found "
            f"{ast.unparse(tree)!r} in {self.text!r}"
        )

    def _name(self, tree: ast.expr) -> Node:
        name = ast.unparse(tree)
        level = next((level for level in LEVELS if name.startswith(f"{level}.")), "")
        bare = name.removeprefix(f"{level}.")
        found = next((known for known in (name, bare) if known in self._known), None)
        if found is not None:
            self.names.add(found)
            return lambda values: values[found]
        if name.lower() in _CONSTANTS:
            value = _CONSTANTS[name.lower()]
            return lambda values: value
        hint = did_you_mean(name, self._known) or "; a text stands in quotes"
        raise ConfigError(
            f"constraint: expected the name of a setting, found {name!r} in {self.text!r}{hint}"
        )


def _either(terms: list[Node], any_of: bool) -> Node:
    if any_of:
        return lambda values: any(term(values) for term in terms)
    return lambda values: all(term(values) for term in terms)


def _chain(compare: list[Callable[[Any, Any], Any]], terms: list[Node]) -> Node:
    def holds(values: Mapping[str, Any]) -> bool:
        left = terms[0](values)
        for test, term in zip(compare, terms[1:], strict=True):
            right = term(values)
            if not test(left, right):
                return False
            left = right
        return True

    return holds


def _calculate(operation: Callable[[Any, Any], Any], left: Node, right: Node) -> Node:
    return lambda values: operation(_number(left(values)), _number(right(values)))


def _call(function: Callable[..., Any], terms: list[Node]) -> Node:
    if function is abs and len(terms) != 1:
        raise ConfigError(f"constraint: abs takes one value, found {len(terms)}")
    if function is not abs and len(terms) < 2:
        raise ConfigError("constraint: min and max take two values or more, found 1")
    return lambda values: function(*(_number(term(values)) for term in terms))


def _number(value: Any) -> Any:
    # Text times a number would repeat the text, as long as it likes.
    if not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number")
    return value
