"""Warm start: begin a training with the weights of an earlier one."""

from __future__ import annotations

import torch
from torch import nn

from ..errors import ConfigError

__all__ = ["copy_weights"]


def copy_weights(module: nn.Module, start: nn.Module | None, what: str) -> None:
    """Copy the parameters of `start` into `module`, which must have the same shapes; None changes nothing.

    Buffers stay as they are: they describe the rows of a training, not what was learned.

    Raises:
        ConfigError: the two have other parameters; the message names the first that differs.
    """
    if start is None:
        return
    own, given = dict(module.named_parameters()), dict(start.named_parameters())
    for name in (*own, *given):
        shapes = [tuple(found[name].shape) if name in found else None for found in (own, given)]
        if shapes[0] != shapes[1]:
            raise ConfigError(
                f"warm start: the {what} has another form than the given model's: {name} is "
                f"{_shape(shapes[0])} here and {_shape(shapes[1])} there; use the settings of that model, or train "
                "without a warm start"
            )
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(given[name].to(parameter))


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else "x".join(map(str, shape)) or "one number"
