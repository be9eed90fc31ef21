"""Features, decisions and orders up to a bar do not depend on later bars."""

import numpy as np
import pytest

from feeds import ReplayData, simulate
from runs.engine import Modes, run
from runs.settings import Account
from strategies import ScoreStrategy
from tests.chapter_rules import CHAPTER

HOUR = 3_600_000
BARS = 240
RULES = {
    **CHAPTER,
    "confidence_threshold": 0.1,
    "density_quantile": 0.1,
    "consistency_window": 4,
    "rebalance_band": 0.1,
    "cooldown": 2,
    "stale_after": 3,
}


def beginning(frame, bars):
    short = frame.iloc[:bars].reset_index(drop=True)
    short.attrs = dict(frame.attrs)
    return short


def tables(frames, model, signal, modes):
    result = run(frames, Account(), ScoreStrategy, {**RULES, "model": model, "signal": signal}, modes=modes)
    return {name: getattr(result, name) for name in ("decisions", "orders", "funding", "equity")}


@pytest.mark.parametrize("modes", [Modes(), Modes(feed=ReplayData)], ids=["vectorised", "live"])
@pytest.mark.parametrize("signal", ["forward", "state"])
def test_nothing_up_to_a_bar_depends_on_later_bars(tiny_model, signal, modes):
    frames = [simulate("regimes", seed=seed, bars=BARS, symbol=f"S{seed}", sigma=0.01) for seed in (21, 22)]
    full = tables(frames, tiny_model, signal, modes)
    assert len(full["orders"]) > 10
    for bars in np.random.default_rng(5).integers(1, BARS, size=10):
        part = tables([beginning(frame, bars) for frame in frames], tiny_model, signal, modes)
        cut = part["equity"]["time"].iloc[-1]
        assert len(part["equity"]) == bars
        for name, whole in full.items():
            known = whole[whole["time"] <= cut]
            assert known.equals(part[name]), f"{name} at {bars} bars"
