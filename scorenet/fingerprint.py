"""What a model is: the sections that decide its outputs, and one fingerprint over all of them.

A new part of a model that decides an output goes into `SECTIONS` (stored in model.json) or into `ModelParts.modules`
(stored in model.safetensors). It is then saved, checked at load and part of the fingerprint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch

from .bindings import bindings

if TYPE_CHECKING:
    from .parts import ModelParts
    from .score.mixture import Mixture

__all__ = ["SECTIONS", "changed_parts", "digests_of", "earlier_fingerprint", "fingerprint_of", "sections_of"]


def _features(model: ModelParts) -> dict[str, Any]:
    features = model.features
    return {
        "set": features.name,
        "names": list(features.names),
        "kinds": list(features.kinds),
        "lookback": features.lookback,
        "volatility_window": features.volatility_window,
    }


SECTIONS: Mapping[str, Callable[[ModelParts], Any]] = MappingProxyType(
    {
        "features": _features,
        "config": lambda model: model.config.to_dict(),
        "scaler": lambda model: model.scaler.to_dict(),
        "base": lambda model: model.base.to_dict(),
        "calibration": lambda model: model.calibration.to_dict(),
        "atoms": lambda model: [atom.to_dict() for atom in model.atoms],
        "regimes": lambda model: None if model.regime_map is None else model.regime_map.to_dict(),
        "own": lambda model: bindings(model.config) or None,
        "bar_ms": lambda model: model.info.get("bar_ms"),
        "calendar": lambda model: model.info.get("calendar"),
    }
)
"""Keys of model.json that decide an output, and their values; a section that is None is left out of the file."""


def sections_of(model: ModelParts) -> dict[str, Any]:
    """Return the sections of a model, as plain values for JSON."""
    found = {name: section(model) for name, section in SECTIONS.items()}
    return {name: value for name, value in found.items() if value is not None}


def digests_of(sections: Mapping[str, Any], modules: Mapping[str, torch.nn.Module]) -> dict[str, str]:
    """Return the sha256 of each section (and of the notes, if given) and of each net ("net state", ...)."""
    found = {name: _sha256(_canonical(value)) for name, value in sections.items()}
    return found | {f"net {name}": _of_net(module) for name, module in modules.items()}


def fingerprint_of(digests: Mapping[str, str]) -> str:
    """Return the sha256 over the digests: two models with one fingerprint give the same outputs. Notes do not count."""
    return _sha256(_canonical({name: digest for name, digest in digests.items() if name != "notes"}))


def changed_parts(found: Mapping[str, str], stored: Mapping[str, Any]) -> list[str]:
    """Return the names of the parts whose digests are not those of `stored`, the content of a model.json."""
    kept = stored.get("digests")
    kept = kept if isinstance(kept, dict) else {}
    changed = sorted(name for name in found.keys() | kept.keys() if found.get(name) != kept.get(name))
    if not changed and fingerprint_of(found) != stored.get("fingerprint"):
        return ["fingerprint"]
    return changed


def earlier_fingerprint(base: Mixture, modules: Mapping[str, torch.nn.Module]) -> str:
    """Return the fingerprint of format scorenet/2: the parameters of the mixture and the nets only."""
    digest = hashlib.sha256()
    for part in (base.weights, base.means, base.covariances):
        digest.update(part.double().contiguous().numpy().tobytes())
    for name, module in modules.items():
        _add_net(digest, module, f"{name}.")
    return digest.hexdigest()


def _of_net(module: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    _add_net(digest, module, "")
    return digest.hexdigest()


def _add_net(digest: Any, module: torch.nn.Module, prefix: str) -> None:
    for key, value in module.state_dict().items():
        digest.update(f"{prefix}{key}".encode())
        # Files hold float32; inference computes with the same numbers in float64.
        digest.update(value.float().cpu().contiguous().numpy().tobytes())


def _canonical(value: Any) -> bytes:
    """Return JSON that depends on the value only: read from a file or not yet written, in any order of keys."""
    plain = json.loads(json.dumps(value, allow_nan=False))
    return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
