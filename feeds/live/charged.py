"""Which settlements earlier bars have charged, so that after a restart none is charged twice and none is forgotten.

A bar has one rate: the sum of the settlements that it charges, its own and those published after their bars. So bars
are matched with the exchange's settlements by these sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from types import MappingProxyType

__all__ = ["Charged"]

_REMEMBERED_MS = 86_400_000  # a settlement that is published later than this after its time is not looked for
_SAME = 1e-12  # rates are published with eight decimals
_MOST_IN_ONE_BAR = 3


class Charged:
    """What the bars before the first live one have charged; `rates` maps a bar's open (UTC ms) to its rate (fraction).

    Attributes:
        settled: settlements up to this time (UTC ms) are not looked for.
        last: open of the last of these bars (UTC ms), -1 without any.
    """

    def __init__(self, settled: int, rates: Mapping[int, float] = MappingProxyType({})) -> None:
        self.settled, self.last = settled, max(rates, default=-1)
        self._open = {start: rate for start, rate in sorted(rates.items()) if rate}

    @classmethod
    def before(cls, first: int, step: int, rates: Mapping[int, float]) -> Charged:
        """Return what is known at the start of a feed whose first live bar opens at `first` (UTC ms), bars `step` ms.

        A settlement that none of the earlier bars of the last day has charged belongs to the first live bar.
        """
        recent = {start: rate for start, rate in rates.items() if start >= first - _REMEMBERED_MS}
        return cls(min(recent, default=first - step + 1) - 1, recent)

    def match(self, found: Mapping[int, float]) -> set[int]:
        """Return the times (UTC ms) of the settlements `found` (time to rate) that these bars have charged.

        A bar is matched once; one whose settlement is not among `found` yet is matched by a later call.
        """
        matched = {stamp for stamp, rate in found.items() if not rate and stamp <= self.last}
        for start, rate in list(self._open.items()):
            candidates = sorted((s for s in found if s <= start and s not in matched), reverse=True)
            if candidates:
                matched |= _charged_by(rate, candidates, found)
                del self._open[start]
        return matched


def _charged_by(rate: float, candidates: Sequence[int], found: Mapping[int, float]) -> set[int]:
    """Return the settlements whose rates add up to a bar's; the newest one if none do."""
    for stamps in _few_of(candidates):
        if abs(sum(found[stamp] for stamp in stamps) - rate) < _SAME:
            return set(stamps)
    # The exchange has changed the rate since: the bar did charge a settlement, most likely its own.
    return {candidates[0]}


def _few_of(candidates: Sequence[int]) -> Iterator[tuple[int, ...]]:
    for count in range(1, _MOST_IN_ONE_BAR + 1):
        yield from combinations(candidates, count)
