"""ScoreDensity: scikit-learn's own checks, closed forms, densities that integrate to one, raw tables of all kinds."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scorenet import ScoreDensity

ROOT = Path(__file__).parents[3]
CHECKS = """
import warnings
from sklearn.exceptions import SkipTestWarning
from sklearn.utils.estimator_checks import check_estimator
from scorenet import ScoreDensity
warnings.simplefilter("error")
results = check_estimator(ScoreDensity())
assert {r["status"] for r in results} == {"passed"}, results
print(len(results))
"""


def table(n=600, seed=0):
    random = np.random.default_rng(seed)
    mixing = np.array([[1.0, 0.6, 0.0], [0.0, 0.8, 0.3], [0.0, 0.0, 0.5]])
    return random.standard_normal((n, 3)) @ mixing * [10.0, 1.0, 0.01] + [5.0, 0.0, -1.0]


def quick(**settings):
    return ScoreDensity(**({"random_state": 0, "steps": 40, "hidden": 16} | settings))


def test_every_check_of_scikit_learn_passes_and_none_is_skipped():
    # The array-API check is skipped unless this is set before SciPy is imported.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SCIPY_ARRAY_API": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CHECKS], capture_output=True, text=True, env=environment, timeout=240
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 40


def test_standardised_gaussian_score_is_the_closed_form():
    random = np.random.default_rng(0)
    covariance = np.array([[4.0, 1.2], [1.2, 0.5]])
    x = random.multivariate_normal([3.0, -1.0], covariance, size=10_000)
    model = quick(transform="standardize", max_components=1, steps=1).fit(x)
    at = random.multivariate_normal([3.0, -1.0], covariance, size=200)
    for sigma in (0.3, 1.0, 4.0):
        noisy = np.cov(x.T) + sigma**2 * np.diag(x.var(axis=0))
        truth = -(at - x.mean(axis=0)) @ np.linalg.inv(noisy)
        error = model.score_function(at, sigma) - truth
        assert np.sqrt(np.mean(error**2) / np.mean(truth**2)) < 0.05


@pytest.mark.parametrize("transform", ["auto", "standardize"])
def test_the_score_is_the_gradient_of_the_log_density_in_the_units_of_the_table(transform):
    x = table()
    x[:, 1] = np.exp(x[:, 1])
    model = quick(transform=transform).fit(x)
    at, steps = x[:12], 1e-6 * x.std(axis=0)
    slope = np.stack(
        [(model.score_samples(at + h) - model.score_samples(at - h)) for h in np.diag(steps)], axis=1
    ) / (2 * steps)
    # The net's score is not an exact gradient; after this short training it is close to one.
    gap = np.abs(model.score_function(at) - slope) * x.std(axis=0)
    assert np.median(gap) < 0.1


@pytest.mark.parametrize("transform", ["auto", "standardize"])
def test_densities_integrate_to_one(transform):
    random = np.random.default_rng(1)
    x = np.exp(random.normal(size=(300, 1)))
    grid = np.concatenate([np.linspace(-2, 12, 4_001), np.geomspace(12, 1e4, 1_001)[1:]])
    density = np.exp(quick(transform=transform).fit(x).score_samples(grid[:, None]))
    assert np.trapezoid(density, grid) == pytest.approx(1.0, abs=0.01)

    x = np.column_stack([random.normal(size=450), random.standard_t(4, size=450)])
    x[:, 0] += 0.1 * x[:, 1] ** 2
    axis = np.linspace(-10, 14, 110)
    square = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    density = np.exp(quick(transform=transform).fit(x).score_samples(square))
    assert density.sum() * (axis[1] - axis[0]) ** 2 == pytest.approx(1.0, abs=0.03)


def test_a_mixture_is_recovered():
    random = np.random.default_rng(2)
    pick = random.random(4000) < 0.3
    x = np.where(
        pick[:, None], random.normal([-20, 5], [3, 0.5], (4000, 2)), random.normal([10, 4], [6, 1], (4000, 2))
    )
    model = quick(transform="standardize").fit(x[:3000])
    parts = [
        np.log(w) + multivariate_normal(m, np.diag(np.square(s))).logpdf(x[3000:])
        for w, m, s in ((0.3, [-20, 5], [3, 0.5]), (0.7, [10, 4], [6, 1]))
    ]
    truth = np.logaddexp(*parts)
    gap = model.score_samples(x[3000:]) - truth
    assert abs(gap.mean()) < 0.05
    assert np.corrcoef(truth, truth + gap)[0, 1] > 0.98
    assert abs((model.sample(4000, random_state=0)[:, 0] < -5).mean() - 0.3) < 0.03


def test_a_unit_changes_the_log_density_by_its_logarithm():
    x = table()
    models = [
        quick(transform=t).fit(x * unit) for t in ("auto", "standardize") for unit in (1.0, [1e3, 1, 1e-6])
    ]
    for plain, scaled in (models[:2], models[2:]):
        moved = scaled.score_samples(x * [1e3, 1, 1e-6]) - plain.score_samples(x)
        np.testing.assert_allclose(moved, -np.log(1e-3), atol=1e-2)


def test_constant_duplicate_integer_and_collinear_columns():
    random = np.random.default_rng(3)
    base = table(500, seed=3)
    x = np.column_stack(
        [
            base,
            base[:, 0],
            base[:, 0] - 2 * base[:, 1],
            np.full(500, 3.0),
            random.poisson(2, 500),
            np.zeros(500),
        ]
    )
    model = quick().fit(x)
    rows = x[:50].copy()
    usual = model.score_samples(rows)
    assert np.isfinite(usual).all()
    rows[:, 5] = 4.0
    assert (model.score_samples(rows) < usual - 5).all()
    rows = x[:50].copy()
    rows[:, 3] += base[:, 0].std()  # move the duplicate away from the original row
    assert (model.predict(rows) == -1).mean() > 0.9
    assert (model.score_function(x[:5])[:, [5, 7]] == 0).all()
    drawn = model.sample(100, random_state=1)
    assert (drawn[:, 5] == 3.0).all()
    assert (drawn[:, 6] == np.round(drawn[:, 6])).all()
    assert np.abs(drawn[:, 3] - drawn[:, 0]).max() < base[:, 0].std()


def test_the_density_of_an_integer_column_is_its_share_of_a_cell():
    counts = np.random.default_rng(4).binomial(4, 0.5, (1000, 1)).astype(float)
    model = quick(transform="standardize").fit(counts)
    grid = np.linspace(-1, 5, 2401)
    density = np.exp(model.score_samples(grid[:, None]))
    for value in range(5):
        cell = np.abs(grid - value) <= 0.5
        share = (counts == value).mean()
        assert density[cell].sum() * (grid[1] - grid[0]) == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize(("rows", "columns"), [(2, 1), (3, 5), (50, 3), (50, 60), (400, 12)])
def test_tables_of_many_shapes(rows, columns):
    x = np.random.default_rng(5).normal(size=(rows, columns))
    model = quick(steps=5).fit(x)
    assert np.isfinite(model.score_samples(x)).all()
    assert model.score_function(x).shape == model.denoise(x).shape == x.shape
    assert model.sample(7).shape == (7, columns)
    far = np.vstack([1e300 * np.ones(columns), -1e6 * np.ones(columns)])
    assert np.isfinite(model.score_samples(far)).all()
    assert (model.predict(far) == -1).all()


def test_denoising_brings_rows_nearer_to_what_they_were():
    x = table(2000)
    model = quick(transform="standardize").fit(x)
    clean = table(500, seed=9)
    noisy = clean + 0.5 * x.std(axis=0) * np.random.default_rng(6).normal(size=clean.shape)
    before, after = (
        np.mean(((rows - clean) / x.std(axis=0)) ** 2) for rows in (noisy, model.denoise(noisy, 0.5))
    )
    assert after < 0.8 * before


def test_fewer_than_half_of_the_rows_are_unusual_as_asked():
    x = table(500)
    for contamination in (0.02, 0.2):
        model = quick(contamination=contamination, novelty=False).fit(x)
        assert (model.predict(x) == -1).mean() == pytest.approx(contamination, abs=0.002)
        np.testing.assert_allclose(model.decision_function(x), model.score_samples(x) - model.offset_)


def test_new_rows_are_unusual_as_often_as_asked_and_fitted_ones_hardly_ever():
    x, new = table(400), table(2_000, seed=77)
    model = quick(contamination=0.1).fit(x)
    assert (model.predict(new) == -1).mean() == pytest.approx(0.1, abs=0.05)
    assert (model.predict(x) == -1).mean() < (model.predict(new) == -1).mean()
    with pytest.raises(AttributeError) as refused:
        model.fit_predict(x)
    assert "novelty=False" in str(refused.value.__cause__)
    assert (quick(contamination=0.1, novelty=False).fit_predict(x) == -1).sum() == 40


def test_same_seed_same_density_and_pickles_and_clones():
    x = table(450)
    one, two = (quick().fit(x) for _ in range(2))
    scores = one.score_samples(x)
    np.testing.assert_array_equal(scores, two.score_samples(x))
    np.testing.assert_array_equal(scores, pickle.loads(pickle.dumps(one)).score_samples(x))  # noqa: S301
    np.testing.assert_array_equal(one.sample(5, random_state=3), two.sample(5, random_state=3))
    assert clone(quick(transform="standardize")).get_params()["transform"] == "standardize"
    assert one.score(x) == pytest.approx(scores.mean())
    shuffled = np.random.default_rng(0).permutation(len(x))
    np.testing.assert_allclose(one.score_samples(x[shuffled]), scores[shuffled], rtol=1e-9)


def test_it_ends_a_pipeline_and_is_no_transformer():
    model = quick()
    assert not hasattr(model, "transform")
    assert "transform='standardize'" in repr(model.set_params(transform="standardize"))
    piped = make_pipeline(StandardScaler(), quick(steps=2)).fit(table(100))
    assert np.isfinite(piped.score_samples(table(5))).all()


@pytest.mark.parametrize(
    ("x", "words"),
    [
        ([[1.0, np.nan], [2.0, 3.0]], "NaN"),
        ([[1.0, np.inf], [2.0, 3.0]], "infinity"),
        ([1.0, 2.0, 3.0], "Expected 2D array, got 1D array"),
        ([[1.0, 2.0]], "1 sample"),
        ([[1.0, 2.0]] * 5, "at least one column that varies"),
        ([[1e200], [-1e200]], "rescale"),
    ],
)
def test_what_cannot_be_fitted_is_said(x, words):
    with pytest.raises(ValueError, match=words):
        quick().fit(x)


@pytest.mark.parametrize(
    "setting",
    [{"transform": "log"}, {"objective": "x"}, {"sigma": 0.0}, {"contamination": 0.7}, {"steps": 0}],
)
def test_settings_that_cannot_be_are_refused(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        quick(**setting).fit(table(50))


def test_the_time_limit_is_kept():
    import time

    x = np.random.default_rng(7).normal(size=(1000, 4)) ** 3
    started = time.monotonic()
    ScoreDensity(random_state=0, max_seconds=2.0, steps=10**9).fit(x)
    assert time.monotonic() - started < 60


def test_the_log_density_of_a_normal_column_is_known():
    x = norm(loc=100, scale=20).rvs((5000, 1), random_state=0)
    at = np.linspace(60, 140, 9)[:, None]
    truth = norm(loc=100, scale=20 * np.sqrt(1 + 0.05**2)).logpdf(at[:, 0])
    np.testing.assert_allclose(quick().fit(x).score_samples(at), truth, atol=0.15)


@pytest.mark.parametrize(
    "names",
    [
        {"objective": "sliced"},
        {"objective": "dual", "network": "energy"},
        {"objective": "denoising", "network": "multi_scale", "members": 2, "sampler": "langevin"},
    ],
    ids=lambda names: names["objective"],
)
def test_the_chapters_names_work_in_a_table(names):
    x = np.random.default_rng(0).normal(size=(500, 2))
    x[:, 1] = x[:, 0] ** 2 + 0.3 * x[:, 1]
    found = ScoreDensity(steps=20, hidden=16, max_components=2, random_state=0, **names).fit(x)
    assert np.isfinite(found.score_samples(x[:20])).all()
    assert found.sample(7, random_state=1).shape == (7, 2)
    assert np.isfinite(found.score_function(x[:5])).all()


def test_a_wrong_name_is_named_even_where_no_network_is_trained():
    x = np.random.default_rng(0).normal(size=(30, 2))
    with pytest.raises(ValueError, match="did you mean 'sliced'"):
        ScoreDensity(objective="slced").fit(x)
    with pytest.raises(ValueError, match=r"state\.network=energy"):
        ScoreDensity(objective="dual").fit(x)
    with pytest.raises(ValueError, match="did you mean 'heun'"):
        ScoreDensity(sampler="heum").fit(x)
