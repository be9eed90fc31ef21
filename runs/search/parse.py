"""Read `key=v1,v2,...` and `key=low..high[,log][,int]` from the command line."""

from __future__ import annotations

from typing import Any

from scorenet import ConfigError
from scorenet.base.did_you_mean import did_you_mean

from ..settings import parse_value
from .dimensions import Choice, Dimension, FloatRange, IntRange
from .known import KnownSettings

__all__ = ["parse_dimension"]

_FLAGS = ("log", "int")
_LEFT, _RIGHT = "([{", ")]}"


def parse_dimension(text: str, known: KnownSettings) -> tuple[str, Dimension]:
    """Return the bare name of the setting and its values.

    A list has commas between its values, each written as for `--set`. A range of a setting that is a whole number is
    one of whole numbers; of any other setting it is one of numbers, unless it has the flag `int`.

    Raises:
        ConfigError: the text is not of this form, the setting is unknown, or a value has the wrong type.
    """
    key, equals, body = text.partition("=")
    if not equals or not key.strip() or not body.strip():
        raise ConfigError(f"expected key=v1,v2,... or key=low..high, found {text!r}")
    _, name = known.find(key.strip())
    default = known.default(name)
    parts = _split(body)
    try:
        if _is_range(parts[0]):
            return name, _range(parts, default)
        return name, Choice(tuple(_typed(parse_value(part, name), default) for part in parts))
    except ConfigError as error:
        raise ConfigError(f"{name}: {str(error).removeprefix(f'{name}: ')} (in {text!r})") from error


def _is_range(text: str) -> bool:
    return ".." in text and text[0] not in "\"'[{" and not text.endswith("..")


def _range(parts: list[str], default: Any) -> Dimension:
    for flag in parts[1:]:
        if flag not in _FLAGS:
            hint = did_you_mean(flag, _FLAGS)
            raise ConfigError(f"expected low..high and then log or int, found {flag!r}{hint}")
    if isinstance(default, bool | str | tuple | dict):
        raise ConfigError(f"expected a list of values, because {default!r} is not a number; found a range")
    low, high = (_number(end) for end in parts[0].split("..", 1))
    whole = "int" in parts or (isinstance(default, int) or (default is None and _whole(low, high)))
    if whole and not _whole(low, high):
        raise ConfigError(f"expected whole numbers, found {parts[0]}")
    log = "log" in parts
    return IntRange(int(low), int(high), log) if whole else FloatRange(float(low), float(high), log)


def _whole(*values: float) -> bool:
    return all(isinstance(value, int) for value in values)


def _number(text: str) -> int | float:
    value = parse_value(text.strip(), "a range")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"expected numbers as low..high, found {text!r}")
    return value


def _typed(value: Any, default: Any) -> Any:
    """Return the value as the type of the setting: 1 is 1.0 for a number, a list is a tuple."""
    if value is None or default is None:
        return value
    if isinstance(default, tuple):
        if not isinstance(value, list):
            raise ConfigError(f"expected a list in brackets for each value, found {value!r}")
        return tuple(value)
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, type(default)) or isinstance(value, bool) is not isinstance(default, bool):
        raise ConfigError(f"expected {type(default).__name__}, found {value!r}")
    return value


def _split(text: str) -> list[str]:
    """Split at the commas outside of brackets and quotes."""
    parts, depth, quote, start = [], 0, "", 0
    for place, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        else:
            depth += (sign in _LEFT) - (sign in _RIGHT)
            if sign == "," and depth == 0:
                parts.append(text[start:place].strip())
                start = place + 1
    parts.append(text[start:].strip())
    if not all(parts):
        raise ConfigError(f"expected a value between commas, found {text!r}")
    return parts
