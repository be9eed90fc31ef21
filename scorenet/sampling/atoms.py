"""Snap samples near very frequent training values (atoms) onto those values, e.g. the exchange's default funding rate.

An atom is a single value with positive probability. A continuous density cannot represent one: at the lowest noise
level it has a narrow peak there instead. So samples close to the value are set to it. The distance is chosen once, on
separate samples, such that the share of snapped samples equals the share of training rows with that value. A sample
therefore does not depend on the others in its batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Atom", "commonest", "find_atoms", "onto_atoms"]

Array = NDArray[np.float64]

# Values that fewer rows share are left alone: features are related (funding over a day and over a week), but each is
# snapped independently.
_SHARE = 0.2


@dataclass(frozen=True, kw_only=True)
class Atom:
    """A frequent raw `value` of feature `column`; samples within `reach` of `place` (scaled units) are set to it."""

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
            ValueError: if a value is invalid.
            KeyError: if a value is missing.
        """
        numbers = {name: float(values[name]) for name in ("value", "place", "reach")}
        return cls(column=int(values["column"]), **numbers)


def commonest(x: Array, share: float = _SHARE) -> list[tuple[int, int, float]]:
    """Return (column, an example row, share of rows) for each column with a value in at least `share` of the rows.

    A column with the same value in all rows is left out.
    """
    found = []
    for column, values in enumerate(x.T):
        _, first, counts = np.unique(values, return_index=True, return_counts=True)
        most = int(counts.argmax())
        if share * len(x) <= counts[most] < len(x):
            found.append((column, int(first[most]), float(counts[most] / len(x))))
    return found


def find_atoms(x: Array, z: Array, drawn: Array, share: float = _SHARE) -> tuple[Atom, ...]:
    """Return the atoms of the training rows, raw x and scaled z [N, F]; `drawn` [M, F] are scaled samples."""
    atoms = []
    for column, row, weight in commonest(x, share):
        distance = np.abs(drawn[:, column] - z[row, column])
        reach = float(np.quantile(distance, weight))
        atoms.append(
            Atom(column=column, value=float(x[row, column]), place=float(z[row, column]), reach=reach)
        )
    return tuple(atoms)


def onto_atoms(x: Array, z: Array, atoms: Sequence[Atom]) -> Array:
    """Return raw samples [N, F] after snapping them onto atoms; x holds them raw, z scaled."""
    x = x.copy()
    for atom in atoms:
        x[np.abs(z[:, atom.column] - atom.place) <= atom.reach, atom.column] = atom.value
    return x
