"""Evaluators whose trials do what their settings say: return, fail, or kill their process."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runs.study.outcome import Outcome, failure


@dataclass(frozen=True)
class Told:
    """Outcomes that depend on the settings only.

    `x` gives the Sharpe ratio; `fail` fails; `die` kills the process at its first `die` tries (counted in `folder`);
    `wait` sleeps so many seconds.
    """

    folder: str = ""
    batch: int = 1

    def evaluate(self, batch, floors=()):
        return [self.one(settings) for settings in batch]

    def one(self, settings):
        time.sleep(settings.get("wait", 0.0))
        if self.deaths(settings) < settings.get("die", 0):
            self.count(settings)
            os.kill(os.getpid(), signal.SIGKILL)
        if settings.get("fail"):
            return failure("it was told to")
        x = float(settings.get("x", 0.0))
        rng = np.random.default_rng(round(1000 * x))
        return Outcome(
            {"sharpe_ratio": x, "total_return": x / 10}, 0.001 * x + 0.01 * rng.standard_normal(60)
        )

    def deaths(self, settings):
        return len(list(Path(self.folder).glob(f"{settings['x']}-*"))) if "die" in settings else 0

    def count(self, settings):
        (Path(self.folder) / f"{settings['x']}-{self.deaths(settings)}").touch()


@dataclass(frozen=True)
class DiesAtStart:
    """An evaluator that cannot be brought to a worker: unpickling kills the process, or raises."""

    how: str = "kill"
    batch: int = 1

    def __setstate__(self, state):
        if state["how"] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise RuntimeError("no such model")

    def evaluate(self, batch, floors=()):
        return []
