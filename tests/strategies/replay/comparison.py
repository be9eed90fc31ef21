"""Run the same set by Cerebro and by the replay, and compare orders, reason codes, equity and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from feeds.bars.frame import to_arrays
from feeds.bars.timeframes import to_ms
from runs.engine import Result, run
from runs.settings import Account
from runs.statistics import compute_metrics
from strategies import Rules, ScoreStrategy
from strategies.replay import ReplayResult, prepare, replay

__all__ = ["assert_same", "by_cerebro", "by_replay", "compare"]

FIGURES = (
    "total_return",
    "annual_return",
    "volatility",
    "sharpe_ratio",
    "sortino_ratio",
    "max_drawdown",
    "calmar_ratio",
    "bar_win_rate",
    "win_rate",
    "profit_factor",
    "n_trades",
    "n_orders",
    "turnover",
    "exposure",
    "fees",
    "funding",
    "slippage",
    "liquidations",
    "in_distribution_ratio",
    "avg_confidence",
)


def by_cerebro(
    frames: Sequence[pd.DataFrame],
    model: Any,
    rules: Mapping[str, Any],
    account: Account,
    since: int | None = None,
) -> Result:
    """Return the tables of a real run."""
    params = {**rules, "model": model, "trade_from": since}
    return run(frames, account, ScoreStrategy, params, since=since)


def by_replay(
    frames: Sequence[pd.DataFrame],
    model: Any,
    rules: Mapping[str, Any],
    account: Account,
    since: int | None = None,
) -> ReplayResult:
    """Return the replay of the same run, with curves and traces."""
    bars = {str(frame.attrs["symbol"]): to_arrays(frame) for frame in frames}
    market = prepare(
        bars,
        model,
        to_ms(frames[0].attrs["timeframe"]),
        trade_from=since,
        since=since,
        tails=True,
        regimes=bool(rules.get("regimes")),
    )
    costs = [account.costs_of(symbol) for symbol in bars]
    return replay(market, [Rules(**rules)], [costs], cash=account.cash, threads=1, curves=True, trace=True)


def compare(
    frames: Sequence[pd.DataFrame],
    model: Any,
    rules: Mapping[str, Any],
    account: Account,
    since: int | None = None,
) -> tuple[Result, ReplayResult]:
    """Run a set both ways, assert that the results are the same, and return them."""
    real = by_cerebro(frames, model, rules, account, since)
    compiled = by_replay(frames, model, rules, account, since)
    assert_same(real, compiled, 0, account)
    return real, compiled


def assert_same(real: Result, compiled: ReplayResult, number: int, account: Account) -> None:
    """Assert that set `number` has the orders, reason codes, equity (1e-9 relative) and figures of the real run."""
    _assert_same_reasons(real.decisions, compiled, number)
    _assert_same_orders(real.orders, compiled.orders(number))
    equity = real.equity["equity"].to_numpy()
    times = pd.DatetimeIndex(real.equity["time"]).as_unit("ms").asi8
    np.testing.assert_array_equal(times, compiled.market.times)
    np.testing.assert_allclose(compiled.equity[number], equity, rtol=1e-9, atol=1e-9 * account.cash)
    table = real.equity.assign(benchmark=account.cash)
    expected = compute_metrics(
        table, real.orders, real.trades, real.decisions, real.funding, compiled.market.facts.clock
    )
    found = compiled.metrics(number)
    for name in FIGURES:
        _assert_close(name, found[name], expected[name])
    _assert_close("insurance", found["insurance"], real.insurance)


def _assert_close(name: str, found: float | None, expected: float | None) -> None:
    assert (found is None) == (expected is None), (name, found, expected)
    if found is not None and expected is not None:
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9, err_msg=name)


def _assert_same_reasons(decisions: pd.DataFrame, compiled: ReplayResult, number: int) -> None:
    assert compiled.codes is not None
    counted = {name: int(values[number]) for name, values in compiled.reasons.items() if values[number]}
    assert counted == decisions["reason"].value_counts().to_dict()
    names = np.array(list(compiled.reasons), dtype=object)
    clock = compiled.market.clock
    for place, symbol in enumerate(compiled.market.facts.symbols):
        own = decisions[decisions["symbol"] == symbol]
        at = np.searchsorted(clock, pd.DatetimeIndex(own["time"]).as_unit("ms").asi8)
        codes = compiled.codes[number, place]
        assert (names[codes[at]] == own["reason"].to_numpy(dtype=object)).all(), symbol
        first = compiled.market.first
        assert (codes[first:] >= 0).sum() == len(own)


def _assert_same_orders(orders: pd.DataFrame, found: Mapping[str, Any]) -> None:
    mine = pd.DataFrame(found).sort_values(["decided", "symbol", "liquidation"], kind="stable")
    theirs = orders.assign(
        decided=pd.DatetimeIndex(orders["decided"]).as_unit("ms").asi8 if len(orders) else []
    ).sort_values(["decided", "symbol", "liquidation"], kind="stable")
    # A forced order is stamped by its market's bar in one account, and by the account's clock in another.
    assert len(mine) == len(theirs)
    for name in ("symbol", "status", "liquidation", "settlement"):
        assert mine[name].astype(str).tolist() == theirs[name].astype(str).tolist(), name
    for name in ("decided", "requested", "size", "value", "fee", "slippage"):
        np.testing.assert_allclose(
            mine[name].to_numpy(dtype=float),
            theirs[name].to_numpy(dtype=float),
            rtol=1e-9,
            atol=1e-9,
            err_msg=name,
        )
