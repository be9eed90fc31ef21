"""The density of the coming return, p(y | x): its network, its training, its mean, quantiles and score."""

from .distribution import ForwardReturn, forward_target
from .net import ForwardNet
from .training import fit_forward_net

__all__ = ["ForwardNet", "ForwardReturn", "fit_forward_net", "forward_target"]
