"""A schedule of rules: which values of the rules decide a bar, for parameters that are chosen anew on the way."""

from __future__ import annotations

import numbers
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from scorenet.base.did_you_mean import did_you_mean
from scorenet.base.times import float_days

from .rules import Rules

__all__ = ["RulesSchedule"]

# They shape what is remembered of the market from the first bar on.
_FIXED = ("allocation", "allocation_every", "covariance_window")


@dataclass(frozen=True)
class RulesSchedule:
    """Rules in order of time; the first hold from the first bar on.

    Attributes:
        rules: all of them, the first included.
        since: bar closes (UTC ms) from which the second and later ones hold, ascending.
    """

    rules: tuple[Rules, ...]
    since: tuple[float, ...]

    @classmethod
    def of(cls, values: Mapping[str, Any], changes: Any, horizon: int) -> Self:
        """Build from the strategy's own values and (since, values) pairs; `horizon` is the model's.

        Raises:
            ValueError: a rule is unknown, outside its range, or cannot change on the way; the times do not ascend.
        """
        rules, since = [Rules(**values).for_horizon(horizon)], list[float]()
        for start, changed in _pairs(changes):
            if since and start <= since[-1]:
                raise ValueError(
                    f"rules_from: expected times in ascending order, found {start} after {since[-1]}"
                )
            _check_names(changed)
            since.append(start)
            rules.append(Rules(**{**values, **changed}).for_horizon(horizon))
        return cls(tuple(rules), tuple(since))

    def coming(self) -> deque[tuple[float, Rules]]:
        """Return the changes in order, each with the Backtrader date from which it holds."""
        return deque(
            (float_days(start), rules) for start, rules in zip(self.since, self.rules[1:], strict=True)
        )


def _check_names(changed: Mapping[str, Any]) -> None:
    names = [item.name for item in fields(Rules)]
    for name in changed:
        if name not in names:
            raise ValueError(f"rules_from: expected a rule, found {name!r}{did_you_mean(name, names)}")
        if name in _FIXED:
            raise ValueError(f"rules_from: {name} cannot change on the way; set it for the whole run")


def _pairs(changes: Any) -> Sequence[tuple[float, Mapping[str, Any]]]:
    if changes is None:
        return ()
    for pair in changes:
        shaped = isinstance(pair, tuple | list) and len(pair) == 2
        if not shaped or not isinstance(pair[0], numbers.Real) or not isinstance(pair[1], Mapping):
            raise ValueError(f"rules_from: expected pairs (since in UTC ms, values of rules), found {pair!r}")
    return tuple(changes)
