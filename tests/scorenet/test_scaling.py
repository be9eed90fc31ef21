"""Scaling: fitted once, smooth, invertible, one row at a time."""

import json

import numpy as np
import pytest

from scorenet import FeatureMismatch
from scorenet.scaling import Scaler

KINDS = ("linear", "log", "logit")


def raw(n: int = 4_000) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.column_stack(
        (3 + 2 * rng.standard_normal(n), np.exp(rng.standard_normal(n)), rng.uniform(0, 1, n))
    )


def test_scaled_training_features_have_unit_scale():
    x = raw()
    z = Scaler.fit(x, KINDS).transform(x)
    np.testing.assert_allclose(z.mean(0), 0, atol=0.05)
    np.testing.assert_allclose(z.std(0), 1, atol=0.08)


def test_inverse_undoes_transform():
    x = raw()
    scaler = Scaler.fit(x, KINDS)
    np.testing.assert_allclose(scaler.inverse(scaler.transform(x)), x, rtol=1e-8, atol=1e-8)


def test_outliers_bend_below_the_clip_and_keep_their_order():
    scaler = Scaler.fit(raw(), KINDS)
    far = np.column_stack((np.array([5.0, 50.0, 500.0, 1e9]), np.full(4, 1.0), np.full(4, 0.5)))
    z = scaler.transform(far)[:, 0]
    assert (np.diff(z) > 0).all()
    assert z.max() <= 5.0
    assert np.isfinite(scaler.inverse(scaler.transform(far))).all()


def test_a_row_depends_on_no_other_row():
    x = raw(50)
    scaler = Scaler.fit(raw(), KINDS)
    single = np.concatenate([scaler.transform(row[None]) for row in x])
    assert np.array_equal(scaler.transform(x), single)


def test_a_constant_feature_stays_at_zero():
    x = np.column_stack((np.full(10, 0.1), np.arange(10.0)))
    z = Scaler.fit(x, ("linear", "linear")).transform(x)
    np.testing.assert_allclose(z[:, 0], 0, atol=1e-12)
    assert np.isfinite(z).all()


def test_edges_of_log_and_logit_are_finite():
    scaler = Scaler.fit(raw(), KINDS)
    assert np.isfinite(scaler.transform(np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))).all()


def test_it_survives_json_bit_for_bit():
    scaler = Scaler.fit(raw(), KINDS)
    again = Scaler.from_dict(json.loads(json.dumps(scaler.to_dict())))
    assert np.array_equal(again.transform(raw()), scaler.transform(raw()))


def test_the_wrong_width_is_named():
    with pytest.raises(FeatureMismatch, match=r"expected raw features of shape \[N, 3\], found \[2, 4\]"):
        Scaler.fit(raw(), KINDS).transform(np.zeros((2, 4)))
