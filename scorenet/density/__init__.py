"""Normalised log-densities from a score: heat equation, probability-flow ODE, I-MMSE and a fast network."""

from .flow_ode import flow_log_density, vp_flow_log_density
from .heat import heat_log_density
from .immse import immse_log_density
from .net import DensityNet, fit_density_net

__all__ = [
    "DensityNet",
    "fit_density_net",
    "flow_log_density",
    "heat_log_density",
    "immse_log_density",
    "vp_flow_log_density",
]
