"""On an AR(1) market the forward score follows the drift, and the score of the last return opposes it.

With phi = +0.2 the best forecast of the next return is 0.2 times the last one, which has the right sign in 56.4 %
of bars. The score of the *realised* return points back to its usual value, so it sells after a rise. It is right in
fewer than half of the bars for phi = +0.2, and in more than half for -0.2.
"""

import math

import numpy as np
import pytest

from feeds import simulate, to_arrays
from runs.markets import as_market
from scorenet import ModelConfig, ScoreModel, learn

BARS, TRAINED = 50_000, 12_000
QUICK = ModelConfig.from_dict(
    {
        "features": "chapter",
        "state": {"hidden": 32, "blocks": 1, "steps": 200},
        "density": {"points": 300, "steps": 30, "hidden": 16},
        "forward": {"horizon": 1, "members": 4, "steps": 300, "scale_steps": 150, "batch_size": 512},
    }
)


def hit_rates(phi: float) -> dict[str, float]:
    frame = simulate("ar1", seed=21, bars=BARS, phi=phi)
    start = frame.iloc[:TRAINED]
    start.attrs = frame.attrs
    model: ScoreModel = learn([as_market(start)], QUICK, progress=False)
    unseen = to_arrays(frame.iloc[TRAINED - model.lookback :])
    coming = np.sign(np.diff(np.log(unseen["close"])))[model.lookback :]
    rates = {}
    for signal in ("forward", "state"):
        guess = np.sign(model.evaluate(unseen, signal).score[model.lookback : -1])
        rates[signal] = float((guess == coming)[coming != 0].mean())
    return rates


@pytest.mark.parametrize("phi", [0.2, -0.2])
def test_forward_is_right_on_both_signs_and_state_bets_on_reversal(phi):
    best = 0.5 + math.asin(0.2) / math.pi
    rates = hit_rates(phi)
    assert 0.55 <= rates["forward"] <= best + 0.01
    if phi > 0:
        assert 0.42 < rates["state"] < 0.48
    else:
        assert rates["state"] > 0.52
