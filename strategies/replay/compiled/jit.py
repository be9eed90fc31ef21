"""Give numba the functions that Cerebro calls, so that there is one source of the rules; and the hash of all sources.

A function registered here is still the plain Python function. Compiled code that calls it gets a compiled copy of the
same code. The hash is part of the key of numba's cache on disk: numba itself looks only at the file of the outermost
function, and would go on with old rules after one of them has changed.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from numba import njit
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from scorenet.base import times
from scorenet.conformal import adaptive

from ... import sizing
from ...account import holdings, slippage
from ...decision import Observation
from . import steps

__all__ = ["allocating", "borrowed", "compiled", "inlined", "outermost", "shared", "source_hash"]

_F = TypeVar("_F", bound=Callable[..., Any])

_jit: Any = njit  # its types leave out some of its options

_decision = {
    name: sys.modules[f"{Observation.__module__.rpartition('.')[0]}.{name}"]
    for name in ("caps", "decide", "forecast", "portfolio", "position")
}

SHARED: dict[Any, tuple[str, ...]] = {
    _decision["decide"]: (
        "_pays",
        "_stepped",
        "agreement",
        "asked",
        "is_silent",
        "settled",
        "with_order",
    ),
    _decision["forecast"]: ("filtered", "is_unknown"),
    _decision["caps"]: ("_net_factor", "_scale", "capped", "fixed_exposure", "has_caps", "scale_to_caps"),
    _decision["portfolio"]: ("exposure_of", "watch_equity"),
    _decision["position"]: ("_kelly", "_largest", "confidence", "cvar", "kelly", "proportional"),
    adaptive: ("adapted",),
    times: ("float_days",),
    holdings: ("only_reduces", "split_trade"),
    sizing: ("exposure_to_size",),
    slippage: ("square_root_move",),
    steps: ("on_step", "on_tick"),
}
"""The modules and the functions that Cerebro and the replay have in common."""


def shared(function: _F) -> _F:
    """Let compiled code call a Python function, and return it unchanged."""
    # Division by zero gives infinity or NaN, as numpy does: no check at each division. Compiled into its callers, a
    # function costs no copy of its arguments, and what it does not read is not loaded.
    return register_jitable(error_model="numpy", forceinline=True)(function)  # type: ignore[no-any-return]


# Python calls none of them, so the code that converts arguments, often longer than the function, need not be compiled.
_INNER: dict[str, Any] = {
    "error_model": "numpy",
    "nogil": True,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}


def compiled(function: _F) -> _F:
    """Return a function that is compiled as a part of the functions that call it, and that makes no arrays.

    It does not count references to arrays, for which `borrowed` has the reasons.
    """
    return _jit(**_INNER, _nrt=False)(function)  # type: ignore[no-any-return]


def inlined(function: _F) -> _F:
    """Return a function like `compiled`, copied into each of its callers: for what happens at every bar."""
    return _jit(**_INNER, _nrt=False, forceinline=True)(function)  # type: ignore[no-any-return]


def allocating(function: _F) -> _F:
    """Return a function that is compiled as a part of the functions that call it, and that may make arrays."""
    return _jit(**_INNER, _nrt=True)(function)  # type: ignore[no-any-return]


def outermost(function: Callable[..., Any], *, cache: bool) -> Any:
    """Return the compiled function that Python calls; with `cache` numba keeps it on disk."""
    return _jit(error_model="numpy", nogil=True, no_cfunc_wrapper=True, cache=cache)(function)


@intrinsic
def _borrowed(_context: Any, array: Any) -> Any:
    """Return an array that does not count its references: its owner must outlive it.

    Counting takes an atomic instruction for each array of each call, several times as long as the work of a bar.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        view = context.make_array(signature.args[0])(context, builder, arguments[0])
        view.meminfo = cgutils.get_null_value(view.meminfo.type)
        view.parent = cgutils.get_null_value(view.parent.type)
        return view._getvalue()

    return array(array), generate


borrowed: Any = _borrowed

for _module, _names in SHARED.items():
    for _name in _names:
        shared(getattr(_module, _name))


def source_hash() -> int:
    """Return a hash of all sources that the compiled code is made of, 63 bits."""
    here, decision = Path(__file__).parent, Path(str(_decision["decide"].__file__)).parent
    files = {Path(str(module.__file__)) for module in SHARED}
    files |= {here.parent / name for name in ("columns.py", "numbers.py")}
    digest = hashlib.sha256()
    for file in sorted(files | set(decision.glob("*.py")) | set(here.glob("*.py"))):
        digest.update(file.read_bytes())
    return int.from_bytes(digest.digest()[:8], "little") >> 1
