"""Model folders: `model.safetensors` for weights, `model.json` for everything else. Nothing is unpickled.

A folder is written next to its target and then renamed, so a reader sees a complete model or none. The reader does
not trust the files: it limits sizes before reading, checks shapes against the settings, requires finite numbers, and
compares every part with the sha256 that model.json holds of it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from .base.error_line import error_line
from .base.files import (
    FileTooLarge,
    read_regular,
    replace_folder,
    restore_folder,
    staging_folder,
    write_bytes,
)
from .bindings import check_bindings
from .config import ModelConfig
from .conformal.calibration import Calibration
from .errors import CheckpointError, ScorenetError
from .features import FeatureSet, feature_set
from .fingerprint import SECTIONS, changed_parts, digests_of, earlier_fingerprint, sections_of
from .notes import check_notes
from .parts import ModelParts, build_forward_net, build_nets
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

FORMAT = "scorenet/3"
_EARLIER = "scorenet/2"  # its fingerprint covers the weights and the mixture only
_WEIGHTS, _META = "model.safetensors", "model.json"
_MAX_BYTES = {_WEIGHTS: 512 << 20, _META: 16 << 20}
_MAX_FEATURES = 512
_HUGE = 1e100  # squares of larger numbers may overflow
# Errors that damaged values raise in constructors and in torch.
_DAMAGED = (KeyError, IndexError, TypeError, AttributeError, ValueError, ArithmeticError, RuntimeError)
_OF_FILE = ("format", "fingerprint", "digests", "sigma_range")

_log = logging.getLogger("scorenet")


def save_model(model: ModelParts, path: Path) -> Path:
    """Write a model folder atomically.

    Raises:
        CheckpointError: the target is another kind of folder, or cannot be written.
    """
    if path.exists() and not (path / _META).is_file() and (path.is_file() or any(path.iterdir())):
        raise CheckpointError(f"{path} exists and is not a model folder; choose another --out")
    meta, weights = dump_model(model)
    try:
        with staging_folder(path) as staging:
            write_bytes(staging / _WEIGHTS, weights)
            write_bytes(staging / _META, meta)
            replace_folder(staging, path)
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
    sections = sections_of(model)
    notes = {
        "sigma_range": [model.config.noise.sigma_min, model.config.noise.sigma_max],
        **_notes(model.info),
    }
    meta = {
        "format": FORMAT,
        "fingerprint": model.fingerprint,
        **sections,
        **notes,
        "digests": digests_of(sections | {"notes": notes}, model.modules()),
    }
    return json.dumps(meta, indent=1, allow_nan=False).encode(), save_tensors(tensors)


def load_model(path: Path) -> ModelParts:
    """Read a model folder; see `ScoreModel.load`."""
    if path.suffix in {".pt", ".pth", ".pkl", ".ckpt"}:
        raise CheckpointError(
            f"{path}: pickled checkpoints can run code and are refused; expected a model folder"
        )
    with suppress(OSError):  # the folder above it may be read-only
        restore_folder(path)
    meta = _read_bytes(path / _META)
    _parse_meta(meta, str(path))  # errors in the metadata are reported before a missing weights file
    return parse_model(meta, _read_bytes(path / _WEIGHTS), str(path))


def parse_model(meta_bytes: bytes, weights: bytes, where: str = "model") -> ModelParts:
    """Read a model from the bytes of its two files; `where` names them in errors.

    Raises:
        CheckpointError: the bytes are damaged, invalid or of another version.
    """
    meta = _parse_meta(meta_bytes, where)
    try:
        config = ModelConfig.from_dict(meta["config"])
        check_bindings(config, dict(meta.get("own", {})), where)
        features = _read_features(meta["features"], config)
        dim = len(features.names)
        scaler = Scaler.from_dict(meta["scaler"])
        base = Mixture.from_dict(meta["base"])
        calibration = Calibration.from_dict(meta["calibration"])
        atoms = tuple(Atom.from_dict(values) for values in meta.get("atoms", ()))
        _check_numbers(features, scaler, base, calibration, {"forward", "state", *config.signals})
        if any(atom.column >= dim for atom in atoms):
            raise ValueError(f"an atom in a column above {dim - 1}")
        regime_map = RegimeMap.from_dict(meta["regimes"]) if "regimes" in meta else None
        if regime_map is not None and regime_map.states.shape[1] != dim:
            raise ValueError(f"regimes do not have {dim} features")
        info = {**_notes(meta), "bar_ms": meta.get("bar_ms")}
        info |= {"calendar": meta["calendar"]} if "calendar" in meta else {}
        check_notes(info)
        nets = build_nets(dim, config, base)
        further = {horizon: build_forward_net(dim, config.forward) for horizon in config.forward.horizons}
    except CheckpointError:
        raise
    except (*_DAMAGED, ScorenetError) as error:
        raise CheckpointError(
            f"{where}: {_META} is damaged or of another version ({error_line(error)})"
        ) from error
    denoiser, density_net, forward_net = nets
    parts = ModelParts(
        features=features,
        config=config,
        scaler=scaler,
        base=base,
        denoiser=denoiser,
        density_net=density_net,
        forward_net=forward_net,
        calibration=calibration,
        info=info,
        further=further,
        atoms=atoms,
        regime_map=regime_map,
    )
    _load_weights(weights, where, parts.modules())
    _check_identity(meta, parts, where)
    return parts


def file_hash(path: Path) -> str:
    """Return the sha256 of a model folder's two files.

    Raises:
        CheckpointError: a file is missing or cannot be read.
    """
    digest = hashlib.sha256()
    for name in (_META, _WEIGHTS):
        digest.update(_read_bytes(path / name))
    return digest.hexdigest()


def _read_bytes(path: Path) -> bytes:
    try:
        return read_regular(path, _MAX_BYTES[path.name])
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path.parent} is not a model folder: {path.name} is missing; make one with `scorenet train`"
        ) from error
    except FileTooLarge as error:
        raise CheckpointError(f"{path}: {error}, more than a model of this version can have") from error
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error


def _notes(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries that are neither a section nor a key of the file itself."""
    return {name: value for name, value in values.items() if name not in SECTIONS and name not in _OF_FILE}


def _check_identity(meta: Mapping[str, Any], parts: ModelParts, where: str) -> None:
    """Compare every part of the folder with its sha256 in model.json, and these with the fingerprint."""
    modules = parts.modules()
    if meta["format"] == _EARLIER:
        if earlier_fingerprint(parts.base, modules) != meta.get("fingerprint"):
            raise CheckpointError(
                f"{where}: {_WEIGHTS} and {_META} do not belong together; train the model again"
            )
        _log.warning(
            "%s was written by an earlier version, which could not notice changes of scaler and calibration; "
            "if you trust it, write it again: ScoreModel.load(path).save(path)",
            where,
        )
        return
    # Of the file's own values, not of the objects: a setting that a later version adds is not in the file.
    sections = {name: meta[name] for name in SECTIONS if name in meta}
    notes = {"sigma_range": meta.get("sigma_range"), **_notes(meta)}
    changed = changed_parts(digests_of(sections | {"notes": notes}, modules), meta)
    if changed:
        raise CheckpointError(
            f"{where}: {_WEIGHTS} and {_META} do not belong together, or were changed after training: "
            f"{', '.join(changed[:4])}; restore the folder from a copy, or train the model again"
        )


def _parse_meta(raw: bytes, where: str) -> dict[str, Any]:
    try:
        meta = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{where}: {_META} is not JSON; train the model again") from error
    found = meta.get("format") if isinstance(meta, dict) else None
    if found not in (FORMAT, _EARLIER):
        raise CheckpointError(
            f"{where}: expected format {FORMAT!r}, found {repr(found)[:40]}; train the model again with this version"
        )
    return dict(meta)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _read_features(values: dict[str, Any], config: ModelConfig) -> FeatureSet:
    full = feature_set(values["set"])
    names = tuple(values["names"])
    unknown = [name for name in names if name not in full.names]
    kinds = dict(zip(full.names, full.kinds, strict=True))
    features = FeatureSet(
        full.name, names, tuple(kinds.get(n, "") for n in names), full.lookback, full.volatility_window
    )
    defined = {
        "lookback": full.lookback,
        "volatility_window": full.volatility_window,
        "kinds": list(features.kinds),
    }
    if (
        unknown
        or full.name != config.features
        or not 1 <= len(names) <= _MAX_FEATURES
        or len(set(names)) != len(names)
        or "lookback" not in values
        or any(values.get(name, here) != here for name, here in defined.items())
    ):
        raise ValueError(
            f"features {unknown or list(names)[:4]} do not fit the set {full.name!r} of this version"
        )
    return features


def _check_numbers(
    features: FeatureSet, scaler: Scaler, base: Mixture, calibration: Calibration, signals: set[str]
) -> None:
    dim = len(features.names)
    shapes = [scaler.mean.shape, scaler.std.shape, (base.dim,), (len(scaler.kinds),)]
    if any(shape != (dim,) for shape in shapes):
        raise ValueError(f"scaler or mixture do not have {dim} features")
    if scaler.kinds != features.kinds or not 0 < scaler.clip < math.inf:
        raise ValueError("the scaler does not fit the features")
    tables = [calibration.log_density, *calibration.magnitude.values()]
    numbers = [scaler.mean, scaler.std, *tables]
    if (
        not all(table.size and (np.abs(table) < _HUGE).all() for table in numbers)
        or not (scaler.std > 0).all()
    ):
        raise ValueError("empty or non-finite tables")
    if any(table.ndim != 1 or (np.diff(table) < 0).any() for table in tables) or calibration.rows < 1:
        raise ValueError("calibration tables that are not sorted")
    if calibration.typical_forecast <= 0.0 or calibration.typical_forecast == math.inf:
        raise ValueError(
            f"typical_forecast: expected a positive number, found {calibration.typical_forecast}"
        )
    if set(calibration.magnitude) != signals:
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
