"""AdamW on clipped gradients, by torch's fused kernel.

`torch.optim.AdamW` gives the same bits, but its first use imports torch's compiler, which takes seconds, and for nets
of this size its bookkeeping takes longer than the kernel.

References:
    Decoupled Weight Decay Regularization (Loshchilov & Hutter, 2019), arXiv 1711.05101.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["AdamW"]

_BETAS, _EPSILON = (0.9, 0.99), 1e-8
_LEAST_NORM = 1e-6  # added to the norm of the gradients, as `torch.nn.utils.clip_grad_norm_` does


class _Moments(NamedTuple):
    """A parameter with the averages of its gradient and of its square, and the number of its steps."""

    parameter: Tensor
    mean: Tensor
    square: Tensor
    steps: Tensor


class AdamW:
    """Minimise over parameters; those with more than one dimension decay. Parameters without a gradient stay."""

    def __init__(self, parameters: Sequence[Tensor], weight_decay: float) -> None:
        self._groups = [
            ([_begin(p) for p in parameters if p.dim() > 1], weight_decay),
            ([_begin(p) for p in parameters if p.dim() <= 1], 0.0),
        ]
        self._parameters = list(parameters)

    def forget(self) -> None:
        """Drop all gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, learning_rate: float, clip: float) -> None:
        """Do one step with gradients scaled down to a norm of `clip`."""
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        if not gradients:
            return
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        torch._foreach_mul_(gradients, (clip / (norm + _LEAST_NORM)).clamp(max=1.0))
        for group, weight_decay in self._groups:
            moved = [part for part in group if part.parameter.grad is not None]
            if not moved:
                continue
            steps = [part.steps for part in moved]
            torch._foreach_add_(steps, 1)
            torch._fused_adamw_(
                [part.parameter for part in moved],
                [part.parameter.grad for part in moved],  # type: ignore[misc]
                [part.mean for part in moved],
                [part.square for part in moved],
                [],
                steps,
                lr=learning_rate,
                beta1=_BETAS[0],
                beta2=_BETAS[1],
                weight_decay=weight_decay,
                eps=_EPSILON,
                amsgrad=False,
                maximize=False,
            )


def _begin(parameter: Tensor) -> _Moments:
    # The kernel wants the number of steps as a float.
    steps = torch.zeros((), dtype=torch.float32, device=parameter.device)
    return _Moments(
        parameter, torch.zeros_like(parameter).detach(), torch.zeros_like(parameter).detach(), steps
    )
