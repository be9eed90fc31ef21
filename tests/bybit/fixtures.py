"""The pytest fixture; a conftest.py that wants it imports it: `from tests.bybit.fixtures import bybit`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bybit.server import LoopbackBybit

__all__ = ["NOW", "bybit"]

NOW = 1_719_750_896_789
"""2024-06-30T12:34:56.789Z: inside an hour, so that the newest hourly candle is open."""


@pytest.fixture
def bybit() -> Iterator[LoopbackBybit]:
    """Serve a new loopback exchange whose clock is fixed at `NOW`."""
    with LoopbackBybit(clock=NOW, limit=(100_000, 5.0)) as exchange:
        yield exchange
