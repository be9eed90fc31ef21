"""Models of a search over model settings: trained once for each configuration and data, found again later."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import scorenet
from feeds.bars.times import parse_time
from scorenet import CheckpointError, ConfigError, Market, ModelConfig, ScoreModel, learn
from scorenet.base.error_line import error_line
from scorenet.base.locks import LockHeld, file_lock
from scorenet.base.times import iso

from ..folder.jsonfile import plain
from ..folder.manifest import versions
from ..markets import LoadOptions, as_market, describe, load_markets
from ..plugins import loaded_plugins

__all__ = ["ModelCache", "training_data"]

_KEPT = 4  # models in memory of a process
_PATIENCE = 4 * 3600.0  # seconds that another process may train the same model
_NAME = "cached_as"  # the note of a model that says in which folder it was stored
_loaded: OrderedDict[Path, ScoreModel] = OrderedDict()
_log = logging.getLogger("runs")


@dataclass(frozen=True)
class ModelCache:
    """A folder of models, each under the hash of its configuration, data, code and plug-ins.

    Attributes:
        folder: where the models are.
        base: the configuration that a trial changes.
        markets: the bars to train on.
        data: descriptions of these bars, with their hashes.
        warm_start: the model whose weights each training begins with, or None.
        device, threads: as `scorenet.learn` takes them; a GPU changes a model by rounding only, threads not at all.
    """

    folder: Path
    base: ModelConfig
    markets: tuple[Market, ...]
    data: tuple[Mapping[str, Any], ...]
    warm_start: ScoreModel | None = None
    device: str = "auto"
    threads: int | None = None

    def has(self, values: Mapping[str, Any]) -> bool:
        """Return whether there is a folder of the model with these settings; `get` checks what is in it."""
        return (self.path(values) / "model.json").is_file()

    def path(self, values: Mapping[str, Any]) -> Path:
        """Return the folder of the model with these settings.

        Raises:
            ConfigError: a value is impossible.
        """
        parts = {
            "config": self.base.with_values(**values).to_dict(),
            "data": [series["sha256"] for series in self.data],
            **({"calendar": self.markets[0].calendar} if self.markets[0].calendar else {}),
            "code": _code(),
            "plugins": [plugin["sha256"] for plugin in loaded_plugins()],
        }
        if self.warm_start is not None:
            parts["warm_start"] = self.warm_start.fingerprint
        text = json.dumps(plain(parts), sort_keys=True)
        return self.folder / hashlib.sha256(text.encode()).hexdigest()[:24]

    def get(self, values: Mapping[str, Any]) -> ScoreModel:
        """Return the model with these settings; it is trained and stored if no process has done so.

        A folder that is damaged, or holds a model of other settings, is replaced with a warning.

        Raises:
            ConfigError: a value is impossible.
            ScorenetError: the bars cannot be used for training, or the folder cannot be written.
        """
        path = self.path(values)
        if path not in _loaded:
            _loaded[path] = self._stored(path, values)
            while len(_loaded) > _KEPT:
                _loaded.popitem(last=False)
        _loaded.move_to_end(path)
        return _loaded[path]

    def _stored(self, path: Path, values: Mapping[str, Any]) -> ScoreModel:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Another worker may be training the same model: wait for it, do not do its work again.
            with file_lock(path.with_suffix(".lock"), _PATIENCE):
                found = _read(path)
                if found is None:
                    trained = self._train(values)
                    replace(trained, info={**trained.info, _NAME: path.name}).save(path)
                return found or ScoreModel.load(path)
        except LockHeld as error:
            raise ConfigError(
                f"process {error.owner} has been training {path.name} for {_PATIENCE / 3600:.0f} hours; stop it, or "
                "choose another --data-dir"
            ) from error
        except OSError as error:
            raise CheckpointError(
                f"cannot keep models in {self.folder}: {error.strerror or error}; free the disk, or choose another "
                "--data-dir"
            ) from error

    def _train(self, values: Mapping[str, Any]) -> ScoreModel:
        info: dict[str, Any] = {"data": list(self.data), "versions": versions()}
        info["timeframe"] = self.data[0]["timeframe"]
        if loaded_plugins():
            info["plugins"] = loaded_plugins()
        return learn(
            list(self.markets),
            self.base.with_values(**values),
            info=info,
            device=self.device,
            threads=self.threads,
            warm_start=self.warm_start,
            progress=False,
        )


def _read(path: Path) -> ScoreModel | None:
    """Return the model of a folder; None if there is none, after removing what is there."""
    if not os.path.lexists(path):
        return None
    try:
        model = ScoreModel.load(path)
        problem = "" if model.info.get(_NAME) == path.name else "it holds a model of other settings or bars"
    except CheckpointError as error:
        problem = error_line(error)
    if not problem:
        return model
    _log.warning("%s cannot be used and is trained again: %s", path, problem)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
    return None


def training_data(
    model: ScoreModel, options: LoadOptions
) -> tuple[tuple[Market, ...], tuple[dict[str, Any], ...]]:
    """Load the bars that a model was trained on, and their descriptions: a trial's model learns from the same.

    Raises:
        ConfigError: the model does not name them, or the sources now have other bars.
        FeedError: the bars cannot be loaded.
    """
    series: Sequence[Mapping[str, Any]] = model.info.get("data") or ()
    if not series:
        raise ConfigError(
            "a search over model settings trains on the bars of --model, which does not name them; train it with "
            "`scorenet train`"
        )
    step = int(model.info["bar_ms"])
    markets, described = [], []
    for entry in series:
        span = LoadOptions(
            since=entry["start"],
            until=iso(parse_time(entry["end"]) + step),
            data_dir=options.data_dir,
            offline=options.offline,
            gaps=options.gaps,
            base_url=options.base_url,
            calendar=entry.get("calendar"),
            progress=options.progress,
        )
        (frame,) = load_markets([entry["source"]], span)
        found = describe(frame, entry["source"])
        if found["sha256"] != entry["sha256"]:
            raise ConfigError(
                f"{entry['source']} from {entry['start']} to {entry['end']} has other bars now than when --model was "
                "trained on it; train the model again, so that all models of the search learn from the same bars"
            )
        markets.append(as_market(frame))
        described.append(found)
    return tuple(markets), tuple(described)


@cache
def _code() -> str:
    """Return a hash of the source of the package that trains: another version of it trains another model."""
    digest = hashlib.sha256()
    root = Path(scorenet.__file__).parent
    for file in sorted(root.rglob("*.py")):
        digest.update(os.fsencode(file.relative_to(root)))
        digest.update(file.read_bytes())
    return digest.hexdigest()
