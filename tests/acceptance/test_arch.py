"""The bootstrap of runs/selection/ against the package arch, which shares no code with it; arch is slow to import."""

import numpy as np
import pytest

from runs.selection import Trials, superior_ability
from runs.selection.bootstrap import block_length, mean_variance, resample_rows

pytestmark = pytest.mark.acceptance
MARKET = 0.01 * np.random.default_rng(8).standard_normal(300) + 0.001


def autoregression(rho, periods, seed):
    values, noise = np.zeros(periods), np.random.default_rng(seed).standard_normal(periods)
    for t in range(1, periods):
        values[t] = rho * values[t - 1] + noise[t]
    return values


@pytest.mark.parametrize("rho", [-0.3, 0.0, 0.3, 0.6, 0.8, 0.95])
@pytest.mark.parametrize("seed", range(5))
def test_block_lengths(rho, seed):
    from arch.bootstrap import optimal_block_length

    values = autoregression(rho, 1_500, seed)
    expected = optimal_block_length(values)["stationary"].item()
    assert block_length(values) == pytest.approx(max(1.0, expected))


def test_variances_of_the_mean():
    from arch.bootstrap import SPA

    returns = np.stack([autoregression(rho, 201, seed=1) for rho in (-0.4, 0.0, 0.5)], axis=1)
    theirs = SPA(np.zeros(201), -returns, block_size=5, reps=100)
    theirs._compute_variance()
    assert mean_variance(returns, 5.0) == pytest.approx(theirs._loss_diff_var)


@pytest.mark.parametrize("seed", range(4))
def test_p_values_for_the_same_resamples(seed):
    from arch.bootstrap import SPA

    noise = 0.01 * np.random.default_rng(seed).standard_normal((300, 20))
    returns = noise + np.linspace(-0.004, 0.0015, 20)
    found = superior_ability(Trials.of(returns), MARKET, block=4.0, resamples=300, seed=5)
    difference = returns - MARKET[:, None]
    # arch 8 takes the largest mean as it is, also with `studentize`; it is studentised here beforehand.
    scaled = difference / np.sqrt(mean_variance(difference, 4.0))
    theirs = SPA(np.zeros(300), -scaled, block_size=4, reps=300)
    rows = np.concatenate(list(resample_rows(300, 4.0, 300, np.random.default_rng(5))))
    theirs.bootstrap.bootstrap = lambda reps: (((scaled[drawn],), {}) for drawn in rows)
    theirs.compute()
    expected = (theirs.pvalues * 300 + 1) / 301
    assert [found.p_lower, found.p_value, found.p_upper] == pytest.approx(expected.tolist())


def test_arch_does_not_studentise_the_statistic():
    # The reason why the test is not taken from arch: one wild trial among steady ones hides an edge from it.
    from arch.bootstrap import SPA

    returns = 0.01 * np.random.default_rng(4).standard_normal((300, 20))
    returns[:, 3] *= 50.0
    returns[:, 7] += 0.004
    theirs = SPA(np.zeros(300), -returns, block_size=1, reps=300, studentize=True, seed=0)
    theirs.compute()
    assert theirs.pvalues["consistent"] > 0.1
    assert superior_ability(Trials.of(returns), block=1.0, resamples=300).p_value < 0.01
