"""Values that many rows share exactly, such as the exchange's default funding: a density has no atoms, samples can.

At its lowest noise level a density knows an atom as a narrow hill around it. Which drawn states belong to the atom is
the share of rows that had it, nearest first: how far that reaches is measured once, on draws made for it, so that no
sample depends on its batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Atom", "commonest", "find_atoms", "onto_atoms"]

Array = NDArray[np.float64]

# What fewer rows share is left alone: features hang together (funding over a day and over a week), and each is moved
# by itself.
_SHARE = 0.2


@dataclass(frozen=True, kw_only=True)
class Atom:
    """A raw `value` of the feature in `column`, at `place` in scaled units; draws up to `reach` from there take it."""

    column: int
    value: float
    place: float
    reach: float

    def __post_init__(self) -> None:
        if not (
            self.column >= 0 and np.isfinite([self.value, self.place, self.reach]).all() and self.reach >= 0
        ):
            raise ValueError(f"expected a column, finite numbers and a reach of 0 or more, found {self}")

    def to_dict(self) -> dict[str, float | int]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild from `to_dict`.

        Raises:
            ValueError: if a value is none that an atom can have.
            KeyError: if one is missing.
        """
        numbers = {name: float(values[name]) for name in ("value", "place", "reach")}
        return cls(column=int(values["column"]), **numbers)


def commonest(x: Array, share: float = _SHARE) -> list[tuple[int, int, float]]:
    """Return (column, a row that has it, share of the rows) of values that so many rows of x [N, F], not all, share."""
    found = []
    for column, values in enumerate(x.T):
        _, first, counts = np.unique(values, return_index=True, return_counts=True)
        most = int(counts.argmax())
        if share * len(x) <= counts[most] < len(x):
            found.append((column, int(first[most]), float(counts[most] / len(x))))
    return found


def find_atoms(x: Array, z: Array, drawn: Array, share: float = _SHARE) -> tuple[Atom, ...]:
    """Return the atoms of training rows, raw x and scaled z [N, F]; `drawn` [M, F] are scaled draws."""
    atoms = []
    for column, row, weight in commonest(x, share):
        distance = np.abs(drawn[:, column] - z[row, column])
        reach = float(np.quantile(distance, weight))
        atoms.append(
            Atom(column=column, value=float(x[row, column]), place=float(z[row, column]), reach=reach)
        )
    return tuple(atoms)


def onto_atoms(x: Array, z: Array, atoms: Sequence[Atom]) -> Array:
    """Return drawn states, raw x and scaled z [N, F], raw and with those in reach of an atom on it."""
    x = x.copy()
    for atom in atoms:
        x[np.abs(z[:, atom.column] - atom.place) <= atom.reach, atom.column] = atom.value
    return x
