"""The exchange's risk tiers, from its answer to the account of a backtest."""

from __future__ import annotations

import copy

import pytest

from feeds import risk_tiers
from feeds.bybit.parse import parse_risk_tiers
from feeds.errors import BadSource, BadSymbol
from feeds.exchange.failures import Malformed
from runs.settings import Account
from strategies.account.risk_tiers import RiskTiers
from tests.bybit import LoopbackBybit

SYMBOL = "BTC/USDT:USDT"
# One row of the exchange's documentation; the amounts are made up.
ROW = {
    "id": 1,
    "symbol": "BTCUSDT",
    "riskLimitValue": "2000000",
    "maintenanceMargin": "0.005",
    "initialMargin": "0.01",
    "isLowestRisk": 1,
    "maxLeverage": "100.00",
    "mmDeduction": "",
}


def test_the_answer_becomes_the_tiers_of_an_account(bybit: LoopbackBybit):
    rows = risk_tiers(SYMBOL, base_url=bybit.url)
    assert rows == (
        (2_000_000.0, 0.005, 100.0),
        (2_600_000.0, 0.0056, 90.0, 1_200.0),
        (3_200_000.0, 0.0062, 80.0, 2_760.0),
    )
    account = Account(symbols={SYMBOL: {"risk_tiers": rows}})
    tiers = RiskTiers(account.costs_of(SYMBOL).risk_tiers)
    # 2,000,000 x 0.5 % + 500,000 x 0.56 %; at 100x the second tier allows 90x.
    assert tiers.maintenance(2_500_000.0) == pytest.approx(12_800.0)
    assert tiers.initial(2_500_000.0, 100.0) == pytest.approx(2_500_000.0 / 90.0)
    assert tiers.limit == 3_200_000.0
    assert account.costs_of("ETH/USDT:USDT").risk_tiers == ()


def test_rows_in_any_order_and_without_deductions_are_read():
    larger = {
        **ROW,
        "id": 2,
        "riskLimitValue": "5000000",
        "maintenanceMargin": "0.01",
        "initialMargin": "0.02",
    }
    larger |= {"maxLeverage": "50.00"}
    del larger["mmDeduction"]
    rows = parse_risk_tiers({"list": [larger, ROW]}, "BTCUSDT")
    assert rows == ((2_000_000.0, 0.005, 100.0), (5_000_000.0, 0.01, 50.0))


@pytest.mark.parametrize(
    "change",
    [
        {"riskLimitValue": ""},
        {"maintenanceMargin": "x"},
        {"maintenanceMargin": "-0.005"},
        {"maxLeverage": "0"},
        {"initialMargin": "1"},  # percent in place of a fraction
        {"symbol": "ETHUSDT"},
        {"mmDeduction": "nan"},
    ],
    ids=str,
)
def test_a_broken_row_never_becomes_a_margin(change):
    with pytest.raises(Malformed):
        parse_risk_tiers({"list": [copy.deepcopy(ROW) | change]}, "BTCUSDT")


def test_an_answer_without_rows_is_broken():
    with pytest.raises(Malformed, match="found none"):
        parse_risk_tiers({"list": []}, "BTCUSDT")


def test_what_has_no_tiers_says_so(bybit: LoopbackBybit):
    with pytest.raises(BadSource, match="BTC/USDT is spot"):
        risk_tiers("BTC/USDT", base_url=bybit.url)
    with pytest.raises(BadSymbol):
        risk_tiers("NONE/USDT:USDT", base_url=bybit.url)
    with pytest.raises(BadSource, match=r"binance .*risk tiers"):
        risk_tiers(SYMBOL, exchange="binance")
