"""AdamW: the bits of torch's own, with its clipping."""

import pytest
import torch

from scorenet.score.adamw import AdamW

SHAPES = ((3, 4), (4,), (2, 4, 5), ())


def parameters():
    drawn = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=drawn)) for shape in SHAPES]


def set_gradients(wanted, seed, size, missing=()):
    drawn = torch.Generator().manual_seed(seed)
    for number, parameter in enumerate(wanted):
        gradient = size * torch.randn(parameter.shape, generator=drawn)
        parameter.grad = None if number in missing else gradient


@pytest.mark.parametrize("size", [0.01, 30.0])
def test_steps_are_those_of_torch_with_clipped_gradients(size):
    ours, theirs = parameters(), parameters()
    mine = AdamW(ours, 0.3)
    groups = [
        {"params": [theirs[0], theirs[2]], "weight_decay": 0.3},
        {"params": [theirs[1], theirs[3]], "weight_decay": 0.0},
    ]
    other = torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.99), fused=True)
    for step in range(12):
        missing = (1, 2) if step == 4 else ()
        for group in other.param_groups:
            group["lr"] = 0.1 / (1 + step)
        set_gradients(ours, step, size, missing)
        set_gradients(theirs, step, size, missing)
        torch.nn.utils.clip_grad_norm_(theirs, 1.0)
        other.step()
        mine.step(0.1 / (1 + step), 1.0)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a, b)


def test_without_gradients_nothing_moves():
    ours = parameters()
    mine = AdamW(ours, 0.3)
    set_gradients(ours, 1, 1.0)
    mine.forget()
    mine.step(0.1, 1.0)
    assert all(torch.equal(a, b) for a, b in zip(ours, parameters(), strict=True))
