"""Value and input gradient of a small MLP in closed form, differentiable once more, for training on slopes.

A net that is trained on its own gradient needs second derivatives, for which autograd records the graph of a graph.
Here the gradient is a second forward recursion, and the derivatives of both recursions are written out.

For layers a_l = h_(l-1) W_l + b_l, h_l = h_(l-1) + f(a_l) (the first without the skip) and the output h_L w + c:

    q_L = w,   p_l = f'(a_l) q_l,   q_(l-1) = q_l + p_l W_l',   gradient = p_1 W_1'.

References:
    Sobolev Training for Neural Networks (Czarnecki et al., 2017), arXiv 1706.04859.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..score.networks import Mlp

__all__ = ["value_and_gradient"]


def value_and_gradient(mlp: Mlp, u: Tensor) -> tuple[Tensor, Tensor]:
    """Return the output [N] of an MLP with one member and one output, and its gradient [N, in] with respect to u.

    Both can be differentiated with respect to the parameters; u [N, in] counts as constant.
    """
    parts = [p[0] for p in (*mlp.weights, *mlp.biases)]
    value, gradient = _ValueAndGradient.apply(u, *parts)  # type: ignore[no-untyped-call]
    return value, gradient


class _ValueAndGradient(torch.autograd.Function):
    """The forward recursions above, and their derivatives with respect to all weights and biases."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, *parts: Tensor) -> tuple[Tensor, Tensor]:
        half = len(parts) // 2
        (*weights, last), (*biases, constant) = parts[:half], parts[half:]
        inputs, slopes, curvatures = [u], [], []
        for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            activated, slope, curvature = _silu(torch.addmm(bias, inputs[-1], weight))
            inputs.append(activated if index == 0 else inputs[-1] + activated)
            slopes.append(slope)
            curvatures.append(curvature)
        value = torch.addmm(constant, inputs[-1], last)[:, 0]
        pulls = [last[:, 0].expand_as(inputs[-1])]  # q_l, from the last layer to the first
        for slope, weight in zip(reversed(slopes[1:]), reversed(weights[1:]), strict=True):
            pulls.append(torch.addmm(pulls[-1], slope * pulls[-1], weight.T))
        pulls.reverse()
        ctx.save_for_backward(*weights, last, *inputs, *slopes, *curvatures, *pulls)
        ctx.layers = len(weights)
        return value, (slopes[0] * pulls[0]) @ weights[0].T

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        by_value, by_gradient = upstream
        saved, n = list(ctx.saved_tensors), ctx.layers
        weights, last, inputs = saved[:n], saved[n], saved[n + 1 : 2 * n + 2]
        slopes, curvatures, pulls = (saved[2 * n + 2 + k * n : 2 * n + 2 + (k + 1) * n] for k in range(3))
        weight_grads: list[Tensor] = []
        by_activation = []
        # Through the gradient's recursion, from its end, the first layer, to its start.
        by_pull = by_gradient
        for index in range(n):
            passed, slope = by_pull @ weights[index], slopes[index]
            weight_grads.append(by_pull.T @ (slope * pulls[index]))
            by_activation.append(curvatures[index] * pulls[index] * passed)
            by_pull = slope * passed if index == 0 else by_pull + slope * passed
        by_last = by_pull.sum(0) + by_value @ inputs[-1]
        # Through the value's recursion, from the last layer to the first.
        by_hidden = by_value[:, None] * last.T
        bias_grads = []
        for index in reversed(range(n)):
            by_activation[index].addcmul_(slopes[index], by_hidden)
            weight_grads[index].addmm_(inputs[index].T, by_activation[index])
            bias_grads.append(by_activation[index].sum(0, keepdim=True))
            if index:
                by_hidden = torch.addmm(by_hidden, by_activation[index], weights[index].T)
        return (
            None, *weight_grads, by_last[:, None], *reversed(bias_grads), by_value.sum()[None, None]
        )  # fmt: skip


def _silu(a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return f(a) = a sigmoid(a), f'(a) and f''(a)."""
    share = torch.sigmoid(a)
    value = a * share
    rest = 1.0 - share
    slope = torch.addcmul(share, value, rest)
    # f'' = s (1 - s) (2 + a (1 - 2 s)), with s (1 - s) = rest * share.
    return value, slope, rest.mul_(share).mul_(torch.addcmul(torch.add(a, 2.0), value, a.new_tensor(-2.0)))
