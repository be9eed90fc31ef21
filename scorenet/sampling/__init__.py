"""Draw market states: Heun, predictor-corrector, annealed Langevin, and states some of whose features are known."""

from .atoms import Atom, commonest, find_atoms, onto_atoms
from .conditional import conditional_rows
from .known_values import check_known, scale_known
from .samplers import heun

__all__ = [
    "Atom",
    "check_known",
    "commonest",
    "conditional_rows",
    "find_atoms",
    "heun",
    "onto_atoms",
    "scale_known",
]
