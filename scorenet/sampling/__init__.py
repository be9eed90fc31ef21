"""Sample market states: Heun, predictor-corrector, annealed Langevin, and conditional sampling given some features."""

from .atoms import Atom, commonest, find_atoms, onto_atoms
from .chapter import chapter_langevin
from .conditional import conditional_rows
from .known_values import check_known_values, scale_known_values
from .registry import SAMPLERS, Sampler, Scored, register_sampler
from .samplers import corrected_langevin, heun, langevin, predictor_corrector

__all__ = [
    "SAMPLERS",
    "Atom",
    "Sampler",
    "Scored",
    "chapter_langevin",
    "check_known_values",
    "commonest",
    "conditional_rows",
    "corrected_langevin",
    "find_atoms",
    "heun",
    "langevin",
    "onto_atoms",
    "predictor_corrector",
    "register_sampler",
    "scale_known_values",
]
