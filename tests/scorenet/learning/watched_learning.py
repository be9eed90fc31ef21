"""Learning from small markets with nets as small as can be, and a record of what each part of it is given."""

import contextlib
import io
import math
from collections import defaultdict
from typing import NamedTuple

import numpy as np
import pytest

from scorenet import ModelConfig, ScoreModel, learn
from scorenet.learning import Market, fit, nets

HOUR = 3_600_000
COUNT = 703  # neither 70 % nor 85 % of the bars behind the warm-up is a whole number, give or take a rounding
BACK = 20  # bars before its own that a row of the chapter's features needs

QUICK = ModelConfig.from_dict(
    {
        "features": "chapter",
        "state": {"hidden": 4, "blocks": 1, "steps": 2, "batch_size": 16, "max_components": 2},
        "density": {"points": 16, "steps": 1, "hidden": 4, "batch_size": 16, "nodes": 4},
        "forward": {
            "horizon": 4,
            "horizons": (1, 9),
            "hidden": 4,
            "members": 1,
            "components": 2,
            "scale_hidden": 2,
            "scale_steps": 2,
            "steps": 2,
            "batch_size": 16,
        },
    }
)


class Stop(Exception):
    """Everything that a test asks about has happened."""


class Call(NamedTuple):
    given: tuple
    options: dict
    result: object


class Learnt(NamedTuple):
    """A model, the calls behind it by function, and what was printed meanwhile."""

    model: ScoreModel
    calls: dict[str, list[Call]]
    printed: str


def watched_learn(config, **options):
    """Learn from one market and note what is handed to the functions that fit and measure."""
    calls, printed = defaultdict(list), io.StringIO()

    def watch(module, name):
        real = getattr(module, name)

        def watched(*given, **own):
            calls[name].append(Call(given, own, real(*given, **own)))
            return calls[name][-1].result

        patch.setattr(module, name, watched)

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(printed):
        patch.setattr("scorenet.base.terminal.progress.EVERY_SECONDS", 0.0)
        for name in ("fit_base", "fit_denoiser", "fit_density_net", "fit_forward_net"):
            watch(nets, name)
        for name in ("refit_base", "refit_denoiser", "refit_forward_net", "shrinkage_factor"):
            watch(nets, name)
        watch(fit, "held_out_metrics")
        model = learn([market(bars(COUNT))], config, **{"threads": 1, **options})  # calls in their order
    return Learnt(model, calls, printed.getvalue())


def forward_calls(markets, config):
    """Return what each horizon would train on; no net is trained."""
    calls = []

    def noted(*given, **options):
        calls.append(Call(given, options, None))
        if len(calls) == len(config.forward.all_horizons):
            raise Stop
        return None, None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nets, "fit_denoiser", lambda *_, **options: (None, None))
        patch.setattr(nets, "fit_density_net", lambda *_, **options: (None, None, {}))
        patch.setattr(nets, "fit_forward_net", noted)
        with pytest.raises(Stop):
            learn(markets, config, threads=1, progress=False)
    return calls


def bars(count, seed=1, **columns):
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(0.01 * rng.standard_normal(count)))
    table = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close}
    return table | {"volume": rng.uniform(1, 2, count), "timestamp": HOUR * np.arange(count)} | columns


def market(table, name="X"):
    return Market(name, table, HOUR)


def without(table, missing):
    return market({name: np.delete(values, missing) for name, values in table.items()})


def target(table, row, horizon):
    """The log-return ahead, over the volatility of the last 20 bars and the root of the horizon."""
    close = np.log(table["close"])
    volatility = math.sqrt(np.mean(np.diff(close[row - BACK : row + 1]) ** 2))
    return (close[row + horizon] - close[row]) / (volatility * math.sqrt(horizon))


def cuts(count):
    """The first bars of the second and the third part: 70 % and 85 % of the bars behind the warm-up."""
    return BACK + int(0.70 * (count - BACK)), BACK + int(0.85 * (count - BACK))
