"""Strategies in a market with sessions: decisions, forecasts in force and figures a year count trading time."""

import math

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

from feeds import BarsData, ReplayData
from runs.engine import Modes, run
from runs.lookahead import Cuts, check_lookahead
from runs.settings import Account
from scorenet import FeatureMismatch
from scorenet.base.times import DAY_MS
from strategies import MarketState, Rules, ScoreStrategy, Sharpe
from strategies.datas import periods_per_year
from strategies.replay import not_compiled, prepare
from tests.chapter_rules import CHAPTER
from tests.stocks import HOUR_MS, never_closed, of_sessions, of_size, on_sessions
from tests.strategies.market import with_attrs
from tests.strategies.replay.comparison import compare

YEAR = 2_516 * 365 / 3_652  # sessions of New York in 365 days, 2010 to 2019
ACCOUNT = Account(taker=0.001, slippage=0.001, lot_step=0.01)
# Every rule with a state between bars; without a target volatility, which counts bars a year.
RULES = {
    **CHAPTER,
    "confidence_threshold": 0.2,
    "density_quantile": 0.1,
    "density_adaptation": 0.02,
    "consistency_window": 3,
    "consistency_share": 0.9,
    "rebalance_band": 0.15,
    "cooldown": 2,
    "forecast_window": 4,
    "target_volatility": None,
    "allocation": "risk",
    "allocation_every": 10,
}
FIRST = {HOUR_MS: "2023-10-02T13:30", DAY_MS: "2012-01-03"}
TABLES = ("decisions", "orders", "trades", "equity")
MODES = [
    Modes(runonce=False, preload=False, exactbars=1),
    Modes(preload=False, exactbars=-1),
    Modes(feed=ReplayData),
]


def two_symbols(step):
    """Two symbols: the first lacks one bar, the second seven; both as bars of sessions and as bars without an end."""
    timeframe = "1h" if step == HOUR_MS else "1d"
    whole = [
        never_closed(80, seed, timeframe=timeframe, symbol=name) for seed, name in ((11, "A"), (12, "B"))
    ]
    lost = ([55], [*range(45, 52)])
    plain = [
        with_attrs(frame.drop(index=rows).reset_index(drop=True), frame)
        for frame, rows in zip(whole, lost, strict=True)
    ]
    return plain, [on_sessions(frame, FIRST[step]) for frame in plain]


def play(frames, model, modes=None, **rules):
    return run(frames, ACCOUNT, ScoreStrategy, {**RULES, **rules, "model": model}, modes=modes)


def without_times(table):
    return table.drop(columns=[name for name in ("time", "decided", "opened", "closed") if name in table])


@pytest.mark.parametrize("step", [HOUR_MS, DAY_MS])
def test_decisions_are_those_of_the_same_prices_without_nights_and_weekends(tiny_model, step):
    plain, stock = two_symbols(step)
    # Equal parts: those by risk divide by volatilities a year, which differ, and so would the last digit.
    rules = {"stale_after": 2, "allocation": "equal"}
    expected = play(plain, of_size(tiny_model, step), **rules)
    found = play(stock, of_sessions(tiny_model, step), **rules)
    assert {"trade", "hold", "stale", "cooldown"} <= set(found.decisions["reason"])
    assert len(found.orders) > 5
    for name in TABLES:
        one, other = (without_times(getattr(result, name)) for result in (expected, found))
        pd.testing.assert_frame_equal(one, other, check_exact=True, obj=name)


@pytest.mark.parametrize("modes", MODES, ids=["bounded", "no preload", "live feed"])
def test_all_modes_decide_alike(stock_run, tiny_model, modes):
    frames, expected = stock_run
    found = play(frames, of_sessions(tiny_model, HOUR_MS), modes)
    for name in TABLES:
        pd.testing.assert_frame_equal(
            getattr(found, name), getattr(expected, name), check_exact=True, obj=name
        )


@pytest.fixture(scope="module")
def stock_run(tiny_model):
    frames = two_symbols(HOUR_MS)[1]
    return frames, play(frames, of_sessions(tiny_model, HOUR_MS))


@pytest.mark.parametrize("step", [HOUR_MS, DAY_MS])
def test_the_replay_is_the_same_as_cerebro(tiny_model, step):
    frames, rules = two_symbols(step)[1], {**RULES, "target_volatility": 0.5}
    real, found = compare(frames, of_sessions(tiny_model, step), rules, ACCOUNT)
    assert len(real.orders) > 5
    facts = found.market.facts
    assert facts.calendar == "XNYS"
    reason = not_compiled(Rules(**{**rules, "stale_after": 2}), ACCOUNT.costs, facts)
    assert reason == "stale_after counts the trading hours of XNYS, which are not compiled"


def test_no_decision_depends_on_later_bars(tiny_model):
    frames = two_symbols(HOUR_MS)[1][:1]  # a cut within the hole of the second would end its data earlier
    params = {**RULES, "model": of_sessions(tiny_model, HOUR_MS)}
    report = check_lookahead(frames, ACCOUNT, ScoreStrategy, params, Cuts(number=3, first=40), progress=False)
    assert report.clean
    assert report.values > 300


def test_the_volatility_of_a_year_counts_sessions(tiny_model):
    """The replay's column is the model's volatility per bar times the root of the bars in a year."""
    (stock, _) = two_symbols(DAY_MS)[1]
    model = of_sessions(tiny_model, DAY_MS)
    bars = {name: stock[name].to_numpy() for name in ("timestamp", "open", "high", "low", "close", "volume")}
    market = prepare({"A": bars}, model, DAY_MS)
    volatility = model.features.volatility(bars)
    np.testing.assert_allclose(
        market.column("annual_volatility")[0][25:], volatility[25:] * math.sqrt(YEAR), rtol=1e-12
    )
    assert periods_per_year(DAY_MS, model.clock) == pytest.approx(YEAR, rel=1e-12)


class Hold(bt.Strategy):
    """Not a strategy of ours: buy once."""

    def next(self):
        if not self.position:
            self.buy(size=50)


def test_the_sharpe_ratio_of_a_stock_is_annualised_by_its_sessions():
    """Seven weeks only: by time alone their 34 returns would be 34 * 365 / 48 = 259 a year, or 365 in one week."""
    stock = on_sessions(never_closed(35, timeframe="1d"), FIRST[DAY_MS])
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(BarsData(dataname=stock), name="SPY")
    cerebro.addstrategy(Hold)
    cerebro.addanalyzer(Sharpe, _name="sharpe", warmup=True)
    strategy = cerebro.run()[0]
    close, open_ = stock["close"].to_numpy(), stock["open"].to_numpy()
    equity = 10_000 + np.concatenate([[0.0], 50 * (close[1:] - open_[1])])
    change = equity[1:] / equity[:-1] - 1
    by_hand = change.mean() / change.std(ddof=1) * math.sqrt(YEAR)
    assert strategy.analyzers.sharpe.get_analysis()["sharpe_ratio"] == pytest.approx(by_hand, rel=1e-9)


class Stamped(bt.feeds.PandasData):
    """Backtrader's own feed: a day is stamped by its date, without a word about its calendar."""


class WithState(ScoreStrategy):
    def __init__(self):
        super().__init__()
        self.state = MarketState(self.data, features="chapter", calendar="XNYS")


def test_a_feed_of_backtrader_takes_the_calendar_of_the_model(tiny_model):
    stock = on_sessions(never_closed(60, timeframe="1d"), FIRST[DAY_MS])
    frame = stock.set_index(pd.to_datetime(stock["timestamp"], unit="ms"))[
        ["open", "high", "low", "close", "volume"]
    ]
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(Stamped(dataname=frame), name="SPY")
    cerebro.addstrategy(WithState, model=of_sessions(tiny_model, DAY_MS))
    strategy = cerebro.run()[0]
    known = np.isfinite(strategy.decisions.columns()["log_density"])
    assert known.sum() == 60 - 20  # across twelve weekends
    assert np.isfinite(strategy.state.lines.return_20.array).sum() == 60 - 20


def test_a_feed_with_local_times_is_answered_with_the_line_that_mends_it(tiny_model):
    stock = on_sessions(never_closed(60), FIRST[HOUR_MS])
    local = pd.to_datetime(stock["timestamp"], unit="ms", utc=True).dt.tz_convert("America/New_York")
    frame = stock.set_index(local.dt.tz_localize(None))[["open", "high", "low", "close", "volume"]]
    cerebro = bt.Cerebro(stdstats=False)
    data = Stamped(dataname=frame, timeframe=bt.TimeFrame.Minutes, compression=60)
    cerebro.adddata(data, name="SPY")
    cerebro.addstrategy(ScoreStrategy, model=of_sessions(tiny_model, HOUR_MS))
    with pytest.raises(
        FeatureMismatch, match=r"SPY: most bars do not follow .* of XNYS.*tz_convert\('UTC'\)"
    ):
        cerebro.run()


@pytest.mark.parametrize(
    ("calendar", "words"),
    [
        (None, r"with the calendar XNYS, SPY has no calendar.*as_bars\(frame, calendar='XNYS'\)"),
        ("XLON", "with the calendar XNYS, SPY has the calendar XLON"),
    ],
)
def test_bars_with_another_calendar_than_the_model_are_refused(tiny_model, calendar, words):
    stock = on_sessions(never_closed(60, timeframe="1d"), FIRST[DAY_MS])
    stock.attrs["calendar"] = calendar
    with pytest.raises(FeatureMismatch, match=words):
        play([stock], of_sessions(tiny_model, DAY_MS))


def test_a_model_without_a_calendar_refuses_bars_with_one(tiny_model):
    stock = on_sessions(never_closed(60, timeframe="1d"), FIRST[DAY_MS])
    with pytest.raises(FeatureMismatch, match="a market that never closes, SPY has the calendar XNYS"):
        play([stock], of_size(tiny_model, DAY_MS))


def test_regimes_are_those_of_the_same_prices_without_nights_and_weekends(regime_model):
    frame = never_closed(400)
    stock, model = on_sessions(frame, FIRST[HOUR_MS]), of_sessions(regime_model, HOUR_MS)
    bars = {name: frame[name].to_numpy() for name in ("timestamp", "open", "high", "low", "close", "volume")}
    x = model.features.compute(bars)[20:]
    expected = regime_model.regimes(x, frame["timestamp"].to_numpy()[20:])
    np.testing.assert_array_equal(model.regimes(x, stock["timestamp"].to_numpy()[20:]), expected)
    assert len(np.unique(expected)) > 1
