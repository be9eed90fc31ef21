"""The exchange of a soak: a market whose clock is moved minute by minute, and an account in the machine's time."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

from tests.bybit import MINUTE, Deposit, Listing, LoopbackBybit
from tests.bybit.private import Account
from tests.bybit.virtual_time import VirtualTime

__all__ = ["SYMBOLS", "Exchange"]

SYMBOLS = {f"{coin}/USDT:USDT": f"{coin}USDT" for coin in ("BTC", "ETH", "SOL", "XRP", "ADA")}
START = 1_717_200_000_000  # 2024-06-01


class Exchange:
    """The two sides of the loopback exchange: a market whose clock is moved bar by bar, and a private account."""

    def __init__(self, folder: Path, symbols: Mapping[str, str] = SYMBOLS) -> None:
        listings = [Listing(name, name.removesuffix("USDT"), "USDT") for name in symbols.values()]
        loose: dict[str, Any] = {
            "listings": listings,
            "limit": (1_000_000, 5.0),
            "connect_limit": (1_000_000, 5.0),
        }
        account = Account(Deposit(balance=Decimal(10_000_000)))
        self.time = VirtualTime(folder / "time")
        self.public = LoopbackBybit(clock=START, push_ms=30_000, timer=self.time, **loose)
        self.private = LoopbackBybit(clock=START, speed=1.0, account=account, **loose)

    def __enter__(self) -> Self:
        self.public.start()
        self.private.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.public.stop()
        self.private.stop()

    def pass_minutes(self, minutes: int) -> int:
        """Move the market's clock to 100 ms after a close; return that close, UTC ms."""
        close = self.public.clock // MINUTE * MINUTE + minutes * MINUTE
        self.public.clock = close + 100
        self.public.log.clear()
        self.private.log.clear()
        return close

    def heal(self) -> None:
        """Remove every fault."""
        self.public.heal()
        self.private.heal()
        account = self.private.account
        account.lag, account.hidden_lookups, account.killed, account.fill_share = 0.0, 0, False, Decimal(1)
        account.work()
