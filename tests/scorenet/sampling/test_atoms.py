"""Values that many training rows share occur as often in samples, independently of the batch."""

import json

import numpy as np
import pytest

from feeds import simulate
from runs.markets import as_market
from scorenet import CheckpointError, ScoreModel, learn
from scorenet.fingerprint import earlier_fingerprint
from scorenet.sampling.atoms import Atom, commonest, find_atoms, onto_atoms
from tests.conftest import TINY


@pytest.fixture(scope="module")
def rows():
    """Three columns: a third of the first is 0.0003, the second has no atom, the third is constant."""
    rng = np.random.default_rng(0)
    x = np.stack([rng.normal(3e-4, 1e-3, 6_000), rng.normal(0, 1, 6_000), np.full(6_000, 2.0)], axis=1)
    x[rng.random(6_000) < 1 / 3, 0] = 3e-4
    return x


def scaled(x):
    return (x - [3e-4, 0.0, 2.0]) / [1e-3, 1.0, 1.0]


@pytest.fixture(scope="module")
def drawn(rows):
    """Samples of a density that cannot resolve distances below 0.05."""
    rng = np.random.default_rng(1)
    z = scaled(rows)[rng.permutation(len(rows))]
    return z + 0.05 * rng.standard_normal(z.shape)


def test_only_values_that_many_but_not_all_rows_share_are_atoms(rows):
    [(column, row, share)] = commonest(rows)
    assert (column, rows[row, 0]) == (0, 3e-4)
    assert share == (rows[:, 0] == 3e-4).mean()
    assert commonest(rows, share=0.5) == []


def test_draws_have_the_atom_as_often_and_mostly_where_it_was(rows, drawn):
    atoms = find_atoms(rows, scaled(rows), drawn)
    rng = np.random.default_rng(2)
    clean = rows[rng.permutation(len(rows))]
    z = scaled(clean) + 0.05 * rng.standard_normal(clean.shape)
    x = onto_atoms(clean + 1e-9, z, atoms)
    held, had = x[:, 0] == 3e-4, clean[:, 0] == 3e-4
    assert held.mean() == pytest.approx(had.mean(), abs=3 * np.sqrt(2 / 9 / 6_000) * np.sqrt(2))
    # A reach of 0.077 gives a third: 4.1 % of the rows are blurred out of it, and 4.1 % of others lie inside.
    assert atoms[0].reach == pytest.approx(0.077, abs=0.005)
    assert (held == had).mean() == pytest.approx(0.918, abs=0.012)
    np.testing.assert_array_equal(x[:, 1:], clean[:, 1:] + 1e-9)


def test_no_draw_depends_on_its_batch(rows, drawn):
    atoms = find_atoms(rows, scaled(rows), drawn)
    whole = onto_atoms(rows, drawn, atoms)
    parts = [onto_atoms(rows[k : k + 1], drawn[k : k + 1], atoms) for k in range(50)]
    np.testing.assert_array_equal(np.concatenate(parts), whole[:50])


@pytest.fixture(scope="module")
def funded():
    """A model of a market with the default funding rate in nine of ten settlements."""
    frame = simulate("regimes", seed=1, bars=6_500)
    rng, paid = np.random.default_rng(0), frame["funding_rate"].to_numpy() != 0
    rate = np.where(rng.random(len(frame)) < 0.9, 1e-4, rng.normal(1e-4, 1e-4, len(frame)))
    frame["funding_rate"] = np.where(paid, rate, 0.0)
    return learn([as_market(frame)], TINY.with_values(features="extended"), progress=False)


def test_samples_of_a_market_pay_the_default_funding_as_often_as_it_did(funded):
    [atom] = [atom for atom in funded.atoms if funded.features.names[atom.column] == "funding_24"]
    x = funded.sample(2_000, seed=7)
    # Nine in ten settlements at the default: three in a row in 0.73 of the rows.
    assert (x[:, atom.column] == atom.value).mean() == pytest.approx(0.73, abs=0.08)
    known = funded.scenarios(200, {"return_24": 0.5}, seed=7)
    assert (known[:, atom.column] == atom.value).any()


def test_atoms_survive_the_folder_and_a_folder_without_them_still_loads(funded, tmp_path):
    folder = funded.save(tmp_path / "model")
    assert ScoreModel.load(folder).atoms == funded.atoms
    meta = json.loads((folder / "model.json").read_text())
    # Folders without atoms are of the format before.
    meta |= {"format": "scorenet/2", "fingerprint": earlier_fingerprint(funded.base, funded.modules())}
    del meta["atoms"], meta["digests"]
    (folder / "model.json").write_text(json.dumps(meta))
    assert ScoreModel.load(folder).atoms == ()


@pytest.mark.parametrize(
    "change",
    [
        {"column": 99},
        {"column": -1},
        {"reach": -1.0},
        {"value": float("nan")},
        {"place": "here"},
        {"value": None},
    ],
    ids=lambda change: next(iter(change)),
)
def test_atoms_that_cannot_be_are_refused(funded, tmp_path, change):
    folder = funded.save(tmp_path / "model")
    meta = json.loads((folder / "model.json").read_text())
    meta["atoms"][0] |= change
    (folder / "model.json").write_text(json.dumps(meta))
    with pytest.raises(CheckpointError, match=r"damaged|not JSON"):
        ScoreModel.load(folder)


def test_an_atom_checks_itself():
    with pytest.raises(ValueError, match="a reach of 0 or more"):
        Atom(column=0, value=1.0, place=0.0, reach=-1.0)
