"""A device that this machine has not: tensors that say they are elsewhere, and refuse to be mixed with those here.

torch allows such a mixture only for numbers (tensors without dimensions) and for row numbers of an indexing.
"""

import contextlib

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from scorenet.density import net as density_net
from scorenet.diagnostics import held_out
from scorenet.forward import training as forward_training
from scorenet.score import fit as state_fit
from scorenet.score.training import _Descent

__all__ = ["OTHER", "Elsewhere", "other_device"]

OTHER = torch.device("meta")
_DRAWS = {
    getattr(torch.ops.aten, name)
    for name in (
        "randn",
        "rand",
        "randint",
        "randperm",
        "randn_like",
        "rand_like",
        "randint_like",
        "bernoulli_",
    )
}
_COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)


class Elsewhere(torch.Tensor):
    """A tensor on the other device; its numbers are in `here`."""

    @staticmethod
    def __new__(cls, here):
        made = torch.Tensor._make_wrapper_subclass(
            cls, here.shape, strides=here.stride(), storage_offset=here.storage_offset(), dtype=here.dtype, device=OTHER
        )  # fmt: skip
        made.here = here
        return made

    def __repr__(self):
        return f"Elsewhere({self.here!r})"

    @classmethod
    def __torch_dispatch__(cls, function, types, given=(), options=None):
        return _run(function, given, options or {})


class _Making(TorchDispatchMode):
    """Tensors that are made or moved there."""

    def __torch_dispatch__(self, function, types, given=(), options=None):
        return _run(function, given, options or {})


class _Numbers(TorchFunctionMode):
    """Numbers that become tensors there; torch makes these without asking the mode above."""

    def __torch_function__(self, function, types, given=(), options=None):
        options = dict(options or {})
        if function in (torch.tensor, torch.as_tensor) and options.get("device") == OTHER:
            if isinstance(given[0], Elsewhere):
                return given[0].to(options["dtype"])
            return function(*given, **options | {"device": "cpu"}).to(OTHER)
        if function is torch.Tensor.new_tensor and isinstance(given[0], Elsewhere):
            return torch.tensor(*given[1:], dtype=given[0].dtype).to(OTHER)
        return function(*given, **options)


def _run(function, given, options):
    tensors = [
        part for part in torch.utils._pytree.tree_leaves((given, options)) if isinstance(part, torch.Tensor)
    ]
    there = any(isinstance(part, Elsewhere) for part in tensors)
    if there and function not in _COPIES:
        mixed = [t for t in tensors if not isinstance(t, Elsewhere) and t.dim() and t.dtype != torch.int64]
        assert not mixed, f"{function}: {len(mixed)} tensors of {len(tensors)} are not on the device"
    goes = options.get("device")
    if goes is not None:
        there = torch.device(goes) == OTHER
        options = {**options, "device": torch.device("cpu")}
    assert not (there and function.overloadpacket in _DRAWS), f"{function} draws on the device"
    out = function(*map(_unwrap, given), **{name: _unwrap(part) for name, part in options.items()})
    if function is torch.ops.aten.copy_.default:
        return given[0]
    if not there:
        return out
    known = {id(part.here): part for part in tensors if isinstance(part, Elsewhere)}

    def wrapped(part):
        return known[id(part)] if id(part) in known else Elsewhere(part)

    return tree_map(lambda part: wrapped(part) if isinstance(part, torch.Tensor) else part, out)


def _unwrap(part):
    if isinstance(part, list | tuple):
        return type(part)(map(_unwrap, part))
    return part.here if isinstance(part, Elsewhere) else part


class _Trained:
    """The names of the nets whose parameters were there while they were trained."""

    def __init__(self):
        self.trained = set()

    def __call__(self, real):
        def note(descent, module, recipe, name):
            if all(isinstance(part.data, Elsewhere) for part in module.parameters()):
                self.trained.add(name)
            real(descent, module, recipe, name)

        return note


@contextlib.contextmanager
def other_device():
    """Make "cuda" the other device inside the block; yield what was trained there."""
    trained = _Trained()
    with pytest.MonkeyPatch.context() as patch, _Making(), _Numbers():
        for user in (state_fit, density_net, forward_training, held_out):
            patch.setattr(user, "pick_device", lambda name: OTHER if name == "cuda" else torch.device("cpu"))
        patch.setattr(_Descent, "__init__", trained(_Descent.__init__))
        yield trained
