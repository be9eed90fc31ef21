"""Networks of the score: residual MLPs, the chapter's two networks, energy networks, ensembles."""

from .energy import EnergyNet
from .ensemble import Ensemble
from .mlp import Mlp, NoiseConditionalMlp

__all__ = ["EnergyNet", "Ensemble", "Mlp", "NoiseConditionalMlp"]
