"""The look-ahead check: a causal strategy passes at every cut, a strategy that reads later bars is detected."""

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

from feeds import simulate
from runs.engine import Modes
from runs.lookahead import Cuts, check_lookahead, prove
from runs.markets import LoadOptions
from runs.settings import Account
from scorenet import ScoreModel, TooFewBars
from strategies import MarketScore, ScoreStrategy, traded_symbol
from tests.chapter_rules import CHAPTER

ACCOUNT = Account(lot_step=0.0, min_notional=0.0)
RULES = {
    **CHAPTER,
    "confidence_threshold": 0.1,
    "rebalance_band": 0.1,
    "cooldown": 1,
    "consistency_window": 3,
}


@pytest.fixture(scope="module")
def frame():
    return simulate("planted", seed=41, bars=500, symbol="BTC")


def check(frames, strategy, params, *, modes=None, cuts=20, **where):
    places = Cuts(number=cuts, **where)
    return check_lookahead(frames, ACCOUNT, strategy, params, places, modes=modes, progress=False)


@pytest.mark.parametrize("cuts", [20, pytest.param(100, marks=pytest.mark.acceptance)])
@pytest.mark.parametrize("signal", ["forward", "state"])
def test_the_score_strategy_is_causal_at_every_cut(frame, tiny_model, signal, cuts):
    report = check(
        [frame], ScoreStrategy, {**RULES, "model": tiny_model, "signal": signal}, cuts=cuts, first=21
    )
    assert report.clean, report.differences[0]
    assert (report.cuts, report.bars) == (cuts, 500)
    assert report.values > cuts * 12 * 21


def test_cuts_wait_until_every_symbol_has_begun(frame, tiny_model):
    late = simulate("planted", seed=42, bars=500, symbol="ETH").iloc[480:].reset_index(drop=True)
    late.attrs = dict(frame.attrs, symbol="ETH")
    report = check([frame, late], ScoreStrategy, {**RULES, "model": tiny_model}, cuts=100)
    assert report.clean
    assert report.cuts == 19, "bars 480 .. 498: the last one leaves nothing to cut off"


def test_the_same_seed_cuts_at_the_same_bars(frame):
    one, other, third = (check([frame], PeekAtClose, {}, cuts=4, seed=seed).differences for seed in (1, 1, 2))
    assert one == other
    assert [d.cut for d in one] != [d.cut for d in third]


def test_too_few_bars_to_cut_are_said(frame, tiny_model):
    short = frame.iloc[:21].reset_index(drop=True)
    short.attrs = dict(frame.attrs)
    with pytest.raises(TooFewBars, match="cut the data: need 23, have 21"):
        check([short], ScoreStrategy, {"model": tiny_model}, first=21)


class PeekAtClose(bt.Strategy):
    """Buy where the next close is higher: `close[1]` reads the future of a preloaded feed."""

    def next(self):
        if len(self.data) == self.data.buflen():
            return
        size = 1.0 if self.data.close[1] > self.data.close[0] else -1.0
        self.order_target_size(target=size)


class KnowTheEnd(bt.Strategy):
    """Sell shortly before the data end."""

    def next(self):
        if len(self.data) in (5, self.data.buflen() - 2):
            self.order_target_size(target=float(len(self.data) == 5))


def peek(lines):
    # Halved, so that two equal signals in a row cannot hide it.
    lines[:-1] = lines[1:] / 2


def normalise(lines):
    lines[:] = (lines - np.nanmean(lines)) / np.nanstd(lines)


def cheating(change):
    """Return MarketScore whose `once` changes the signal with later values of the series."""

    class Cheat(MarketScore):
        def once(self, start, end):
            super().once(start, end)
            if end == self.data.buflen():
                change(np.frombuffer(self.lines.signal.array)[self.p.model.lookback :])

    return Cheat


@pytest.mark.parametrize("change", [peek, normalise])
def test_an_indicator_that_reads_ahead_is_caught_in_the_signal(frame, tiny_model, monkeypatch, change):
    monkeypatch.setattr(traded_symbol, "MarketScore", cheating(change))
    report = check([frame], ScoreStrategy, {**RULES, "model": tiny_model}, cuts=4, first=30)
    assert not report.clean
    assert len(report.differences) == 4
    for found in report.differences:
        assert (found.table, found.column) == ("decisions", "signal")
        assert found.with_future != found.without
        assert pd.Timestamp(found.time) <= pd.Timestamp(found.cut)
        if change is peek:
            assert found.time == found.cut, "only the bar at the cut has lost its future"


def test_the_cheat_is_invisible_bar_by_bar_where_it_never_happens(frame, tiny_model, monkeypatch):
    monkeypatch.setattr(traded_symbol, "MarketScore", cheating(peek))
    params = {**RULES, "model": tiny_model}
    assert check([frame], ScoreStrategy, params, cuts=2, modes=Modes(runonce=False)).clean


def test_a_strategy_that_reads_the_next_close_is_caught_by_the_order_it_sends_at_the_cut(frame):
    report = check([frame], PeekAtClose, {}, cuts=20)
    assert len(report.differences) > 5, "wherever it changed its mind at the cut"
    for found in report.differences:
        assert (found.table, found.column) == ("requests", "rows")
        assert found.time == found.cut
        assert found.with_future == found.without + 1


def test_a_strategy_that_knows_where_the_data_end_is_caught(frame):
    report = check([frame], KnowTheEnd, {}, cuts=6, first=50)
    assert len(report.differences) == 6
    for found in report.differences:
        assert found.table == "requests"
        assert pd.Timestamp(found.time) <= pd.Timestamp(found.cut)


def test_prove_returns_plain_values_for_json(tiny_model_dir):
    found = prove(
        tiny_model_dir,
        ["simulated:planted?seed=3&bars=200"],
        ACCOUNT,
        {**RULES, "signal": "forward"},
        LoadOptions(progress=False),
        cuts=3,
        seed=0,
    )
    assert found["clean"] is True
    assert (found["cuts"], found["bars"], found["differences"]) == (3, 200, [])


def test_prove_reports_a_cheat_with_numbers_that_json_can_hold(tiny_model_dir, monkeypatch):
    def vanish(lines):
        lines[:-1] = np.where(np.arange(len(lines) - 1) % 2, np.nan, lines[1:])

    cheat = cheating(vanish)
    monkeypatch.setattr(traded_symbol, "MarketScore", cheat)
    source = ["simulated:planted?seed=3&bars=200"]
    model = ScoreModel.load(tiny_model_dir)
    monkeypatch.setattr("runs.lookahead.ScoreModel.load", lambda path: model)
    found = prove(
        tiny_model_dir,
        source,
        ACCOUNT,
        {**RULES, "signal": "forward"},
        LoadOptions(progress=False),
        cuts=8,
        seed=0,
    )
    assert found["clean"] is False
    values = [difference["with_future"] for difference in found["differences"]]
    assert None in values
    assert all(value is None or isinstance(value, float) for value in values)
