"""Model folders: `model.safetensors` for weights, `model.json` for everything else. Nothing is unpickled.

A folder is written next to its target and then renamed, so a reader sees a complete model or none. The reader does
not trust the files: it limits sizes before reading, checks shapes against the settings, and requires finite
numbers.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from .base.files import replace_folder, write_bytes
from .bindings import bindings, check_bindings
from .config import ModelConfig
from .conformal.calibration import Calibration
from .errors import CheckpointError, ScorenetError
from .features import FeatureSet, feature_set
from .parts import ModelParts, build_forward_net, build_nets, fingerprint_of
from .regimes import RegimeMap
from .sampling.atoms import Atom
from .scaling import Scaler
from .score.mixture import Mixture

__all__ = [
    "FORMAT",
    "dump_model",
    "file_hash",
    "load_model",
    "parse_model",
    "save_model",
]

FORMAT = "scorenet/2"
_WEIGHTS, _META = "model.safetensors", "model.json"
_MAX_BYTES = {_WEIGHTS: 512 << 20, _META: 16 << 20}
_MAX_FEATURES = 512
_KEYS = frozenset(
    (
        "format",
        "features",
        "config",
        "sigma_range",
        "scaler",
        "base",
        "calibration",
        "atoms",
        "regimes",
        "fingerprint",
        "own",
    )
)


def save_model(model: ModelParts, path: Path) -> Path:
    """Write a model folder atomically.

    Raises:
        CheckpointError: the target is another kind of folder, or cannot be written.
    """
    if path.exists() and not (path / _META).is_file() and (path.is_file() or any(path.iterdir())):
        raise CheckpointError(f"{path} exists and is not a model folder; choose another --out")
    meta, weights = dump_model(model)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            write_bytes(staging / _WEIGHTS, weights)
            write_bytes(staging / _META, meta)
            staging.chmod(0o755)
            replace_folder(staging, path)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise CheckpointError(f"cannot write the model to {path}: {error.strerror or error}") from error
    return path


def dump_model(model: ModelParts) -> tuple[bytes, bytes]:
    """Return the bytes of a model's two files, metadata and weights; `parse_model` is the inverse."""
    tensors = {
        f"{part}.{name}": value.float().contiguous()
        for part, module in model.modules().items()
        for name, value in module.state_dict().items()
    }
    meta = {
        "format": FORMAT,
        "features": {
            "set": model.features.name,
            "names": list(model.features.names),
            "lookback": model.features.lookback,
        },
        "config": model.config.to_dict(),
        "sigma_range": [model.config.noise.sigma_min, model.config.noise.sigma_max],
        "scaler": model.scaler.to_dict(),
        "base": model.base.to_dict(),
        "calibration": model.calibration.to_dict(),
        "atoms": [atom.to_dict() for atom in model.atoms],
        "fingerprint": model.fingerprint,
        **model.info,
    }
    if model.regime_map is not None:
        meta["regimes"] = model.regime_map.to_dict()
    own = bindings(model.config)
    if own:
        meta["own"] = own
    return json.dumps(meta, indent=1, allow_nan=False).encode(), save_tensors(tensors)


def load_model(path: Path) -> ModelParts:
    """Read a model folder; see `ScoreModel.load`."""
    if path.suffix in {".pt", ".pth", ".pkl", ".ckpt"}:
        raise CheckpointError(
            f"{path}: pickled checkpoints can run code and are refused; expected a model folder"
        )
    meta = _read_bytes(path / _META)
    _parse_meta(meta, str(path))  # errors in the metadata are reported before a missing weights file
    return parse_model(meta, _read_bytes(path / _WEIGHTS), str(path))


def parse_model(meta_bytes: bytes, weights: bytes, where: str = "model") -> ModelParts:
    """Read a model from the bytes of its two files; `where` names them in errors.

    Raises:
        CheckpointError: the bytes are damaged, invalid or of another version.
    """
    meta = _parse_meta(meta_bytes, where)
    config, own = _read_config(meta, where)
    check_bindings(config, own, where)
    try:
        features = _read_features(meta["features"], config)
        dim = len(features.names)
        scaler = Scaler.from_dict(meta["scaler"])
        base = Mixture.from_dict(meta["base"])
        calibration = Calibration.from_dict(meta["calibration"])
        atoms = tuple(Atom.from_dict(values) for values in meta.get("atoms", ()))
        _check_numbers(dim, scaler, base, calibration, {"forward", "state", *config.signals})
        if any(atom.column >= dim for atom in atoms):
            raise ValueError(f"an atom in a column above {dim - 1}")
        regime_map = RegimeMap.from_dict(meta["regimes"]) if "regimes" in meta else None
        if regime_map is not None and regime_map.states.shape[1] != dim:
            raise ValueError(f"regimes do not have {dim} features")
    except (KeyError, TypeError, ValueError, ScorenetError) as error:
        raise CheckpointError(f"{where}: {_META} is damaged or of another version ({error})") from error
    nets = build_nets(dim, config, base)
    further = {horizon: build_forward_net(dim, config.forward) for horizon in config.forward.horizons}
    modules: dict[str, torch.nn.Module] = dict(zip(("state", "density", "forward"), nets, strict=True))
    modules |= {f"forward_{horizon}": net for horizon, net in further.items()}
    _load_weights(weights, where, modules)
    info = {key: value for key, value in meta.items() if key not in _KEYS}
    denoiser, density_net, forward_net = nets
    fingerprint = fingerprint_of(base, modules)
    if fingerprint != meta.get("fingerprint"):
        raise CheckpointError(
            f"{where}: {_WEIGHTS} and {_META} do not belong together; train the model again"
        )
    return ModelParts(
        features=features,
        config=config,
        scaler=scaler,
        base=base,
        denoiser=denoiser,
        density_net=density_net,
        forward_net=forward_net,
        calibration=calibration,
        info=info,
        fingerprint=fingerprint,
        further=further,
        atoms=atoms,
        regime_map=regime_map,
    )


def file_hash(path: Path) -> str:
    """Return the sha256 of a model folder's two files."""
    digest = hashlib.sha256()
    for name in (_META, _WEIGHTS):
        digest.update((path / name).read_bytes())
    return digest.hexdigest()


def _read_bytes(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES[path.name]:
            raise CheckpointError(f"{path}: {size:,} bytes, more than a model of this version can have")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path.parent} is not a model folder: {path.name} is missing; make one with `scorenet train`"
        ) from error
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error


def _parse_meta(raw: bytes, where: str) -> dict[str, Any]:
    try:
        meta = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{where}: {_META} is not JSON; train the model again") from error
    found = meta.get("format") if isinstance(meta, dict) else None
    if found != FORMAT:
        raise CheckpointError(
            f"{where}: expected format {FORMAT!r}, found {found!r}; train the model again with this version"
        )
    return dict(meta)


def _read_config(meta: dict[str, Any], where: str) -> tuple[ModelConfig, dict[str, Any]]:
    try:
        config, own = ModelConfig.from_dict(meta["config"]), dict(meta.get("own", {}))
    except (KeyError, TypeError, ValueError, ScorenetError) as error:
        raise CheckpointError(f"{where}: {_META} is damaged or of another version ({error})") from error
    return config, own


def _read_features(values: dict[str, Any], config: ModelConfig) -> FeatureSet:
    full = feature_set(values["set"])
    names = tuple(values["names"])
    unknown = [name for name in names if name not in full.names]
    if (
        unknown
        or full.name != config.features
        or len(names) > _MAX_FEATURES
        or values["lookback"] != full.lookback
        or len(set(names)) != len(names)
    ):
        raise ValueError(
            f"features {unknown or list(names)[:4]} do not fit the set {full.name!r} of this version"
        )
    kinds = dict(zip(full.names, full.kinds, strict=True))
    return FeatureSet(full.name, names, tuple(kinds[n] for n in names), full.lookback, full.volatility_window)


def _check_numbers(
    dim: int, scaler: Scaler, base: Mixture, calibration: Calibration, signals: set[str]
) -> None:
    shapes = [scaler.mean.shape, scaler.std.shape, (base.dim,), (len(scaler.kinds),)]
    if any(shape != (dim,) for shape in shapes):
        raise ValueError(f"scaler or mixture do not have {dim} features")
    tables = [scaler.mean, scaler.std, calibration.log_density]
    tables += list(calibration.magnitude.values())
    if not all(table.size and np.isfinite(table).all() for table in tables) or not (scaler.std > 0).all():
        raise ValueError("empty or non-finite tables")
    if set(calibration.magnitude) != signals or not math.isfinite(scaler.clip) or scaler.clip <= 0:
        raise ValueError("incomplete calibration")


def _load_weights(raw: bytes, where: str, modules: dict[str, torch.nn.Module]) -> None:
    try:
        tensors = load_tensors(raw)
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(f"{where}: {_WEIGHTS} is damaged: {error}") from error
    expected = {
        f"{part}.{name}": v.shape for part, m in modules.items() for name, v in m.state_dict().items()
    }
    found = {name: value.shape for name, value in tensors.items()}
    if found != expected:
        wrong = sorted(
            name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)
        )
        raise CheckpointError(f"{where}: tensors do not fit the settings in {_META}: {', '.join(wrong[:4])}")
    if not all(value.is_floating_point() and bool(torch.isfinite(value).all()) for value in tensors.values()):
        raise CheckpointError(f"{where}: weights are not finite numbers; train the model again")
    for part, module in modules.items():
        module.load_state_dict({n: tensors[f"{part}.{n}"] for n in module.state_dict()})
