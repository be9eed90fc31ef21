"""What model.json says about a model besides its parts: spans, rows, log, metrics. Readers may rely on their types."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

__all__ = ["check_notes"]

_END_OF_TIME = 253_402_300_800_000  # year 10000, UTC ms: later times have no calendar date
_LONGEST_BAR = 366 * 86_400_000


class _Rule(NamedTuple):
    expected: str
    holds: Callable[[Any], bool]
    needed: bool = False


def check_notes(notes: Mapping[str, Any]) -> None:
    """Check the keys that the program reads; other keys are the user's.

    Raises:
        ValueError: a key is missing or has another type; the message names it.
    """
    for name, rule in _RULES.items():
        if name not in notes:
            if rule.needed:
                raise ValueError(f"{name!r} is missing, expected {rule.expected}")
        elif not rule.holds(notes[name]):
            raise ValueError(f"{name!r}: expected {rule.expected}, found {_short(notes[name])}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _time(value: Any) -> bool:
    return _whole(value, 0, _END_OF_TIME - 1)


def _span(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(_time, value))


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


def _table(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, Mapping)
        and all(isinstance(key, str) and holds(item) for key, item in value.items())
    )


def _log(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    steps, losses = value.get("steps"), value.get("validation")
    return (
        isinstance(steps, list)
        and isinstance(losses, list)
        and len(steps) == len(losses)
        and all(_whole(step, 0, 2**53) for step in steps)
        and all(loss is None or _number(loss) for loss in losses)
        and _whole(value.get("best_step"), 0, 2**53)
    )


_SPAN = "two times in UTC ms"
_RULES: Mapping[str, _Rule] = MappingProxyType(
    {
        "bar_ms": _Rule("the size of a bar in ms", lambda v: _whole(v, 1, _LONGEST_BAR), needed=True),
        "calendar": _Rule("the name of a trading calendar", lambda v: isinstance(v, str) and bool(v)),
        "symbols": _Rule("a list of symbols", _texts, needed=True),
        "training_span": _Rule(_SPAN, _span, needed=True),
        "calibration_span": _Rule(_SPAN, _span, needed=True),
        "test_span": _Rule(_SPAN, _span, needed=True),
        "metrics": _Rule(
            "a table of numbers",
            _table(lambda v: v is None or isinstance(v, bool) or _number(v)),
            needed=True,
        ),
        "selection_span": _Rule(_SPAN, _span),
        "metrics_from": _Rule(_SPAN, _span),
        "seen_until": _Rule("a time in UTC ms", _time),
        "timeframe": _Rule("a timeframe such as '1h'", lambda v: isinstance(v, str)),
        "refit": _Rule("true or false", lambda v: isinstance(v, bool)),
        "rows": _Rule("a table of numbers of rows", _table(lambda v: _whole(v, 0, 2**53))),
        "log": _Rule("a table of training logs, each with steps, validation and best_step", _table(_log)),
    }
)
