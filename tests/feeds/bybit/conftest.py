"""Fixtures of the Bybit tests."""

import pytest


@pytest.fixture
def btc(client, bybit):
    """Return the BTC perpetual; the exchange's log is empty afterwards."""
    instrument = client.instrument("BTC/USDT:USDT")
    bybit.log.clear()
    return instrument
