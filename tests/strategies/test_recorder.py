"""The decision record: its columns, and as many symbols as an account has."""

import math

import numpy as np

from strategies.decision import REASONS
from strategies.recorder import DecisionRecorder


def append(recorder, symbol, rank=0.5, reason=1):
    recorder.append(19_000.0, symbol, reason, 100.0, 1.0, 0.5, 0.25, -3.0, rank, 0.001, 0.3, 0.1, 0.2)


def test_500_symbols_keep_their_names():
    names = [f"S{i}" for i in range(500)]
    recorder = DecisionRecorder(names, 0.05)
    for i in range(500):
        append(recorder, i, reason=i % len(REASONS))
    columns = recorder.columns()
    assert columns["symbol"].tolist() == names
    assert columns["reason"].tolist() == [REASONS[i % len(REASONS)] for i in range(500)]
    assert columns["position"].tolist() == [0.2] * 500
    assert [row["symbol"] for row in recorder.rows(300)] == names[300:]


def test_a_bar_without_a_rank_is_neither_in_nor_out_of_distribution():
    recorder = DecisionRecorder(["A"], 0.05)
    for rank in (0.05, 0.04, math.nan):
        append(recorder, 0, rank)
    assert recorder.columns()["in_distribution"].tolist() == [True, False, None]
    assert np.isnan(recorder.columns()["density_rank"][2])
    assert len(recorder) == 3
