"""The density of the forward return, p(y | x): its network, training, mean, quantiles and score."""

from .distribution import ForwardReturn, forward_target
from .net import ForwardNet
from .training import fit_forward_net

__all__ = ["ForwardNet", "ForwardReturn", "fit_forward_net", "forward_target"]
