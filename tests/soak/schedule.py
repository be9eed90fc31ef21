"""Faults drawn at random: each is a fault of the loopback, the point where it strikes, and how often."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.bybit import LoopbackBybit, faults
from tests.bybit.faults import Fault

__all__ = ["PRIVATE_POINTS", "PUBLIC_POINTS", "Planned", "draw", "draw_account", "plan"]

KLINE = "/v5/market/kline"
CREATE = "/v5/order/create"
PUBLIC_POINTS = (
    KLINE,
    "/v5/market/time",
    "/v5/market/funding/history",
    "/v5/market/open-interest",
    "/v5/market/instruments-info",
)
PRIVATE_POINTS = (
    CREATE,
    "/v5/order/realtime",
    "/v5/order/history",
    "/v5/order/cancel-all",
    "/v5/execution/list",
    "/v5/position/list",
    "/v5/account/wallet-balance",
)
_Make = Callable[[random.Random], Fault]
# Codes that mean "try again"; those that mean "never" (a ban, a missing permission) end trading, and rightly so.
_PASSING_CODES = (10000, 10006, 10016, 10018, 170001, 170032, 99999)
_PASSING_STATUS = (404, 408, 429, 500, 502, 503, 504, 524)


@dataclass(frozen=True)
class Planned:
    """A fault, its point of `LoopbackBybit.inject`, and the number of times it strikes."""

    fault: Fault
    on: str
    times: int


def _cut(share: float) -> Callable[[bytes], bytes]:
    return lambda body: body[: int(len(body) * share)]


def _without_rows(result: dict[str, Any]) -> Any:
    return {**result, "list": []}


def _without_list(result: dict[str, Any]) -> Any:
    return {key: value for key, value in result.items() if key != "list"}


_REST: tuple[_Make, ...] = (
    lambda rng: faults.Respond(rng.choice(_PASSING_STATUS)),
    lambda rng: faults.Respond(200, rng.choice((b"", b"null", b"[]", b"<html>", b'{"retCode":0}'))),
    lambda rng: faults.RetCode(rng.choice(_PASSING_CODES)),
    lambda rng: faults.Corrupt(_cut(rng.random())),
    lambda rng: faults.Mutate(_without_list),
    lambda rng: faults.Reset(),
    lambda rng: faults.DieMidBody(),
    lambda rng: faults.Hang(rng.choice((0.05, 0.3, 1.5))),
    lambda rng: faults.Trickle(0.02),
    lambda rng: faults.Swallow(rng.choice((0.05, 0.6))),
)
_AFTER: tuple[_Make, ...] = (
    lambda rng: faults.Respond(rng.choice((500, 502, 504))),
    lambda rng: faults.Respond(200, rng.choice((b"", b"null", b"<html>"))),
    lambda rng: faults.Corrupt(_cut(rng.random())),
    lambda rng: faults.Reset(),
    lambda rng: faults.DieMidBody(),
    lambda rng: faults.Hang(rng.choice((0.3, 1.5))),
)
_WEBSOCKET: tuple[tuple[str, _Make], ...] = (
    ("ws:push", lambda rng: faults.POISON),
    ("ws:push", lambda rng: faults.NAN_FRAME),
    ("ws:push", lambda rng: faults.NULL_DATA),
    ("ws:push", lambda rng: faults.UNKNOWN_TOPIC),
    ("ws:push", lambda rng: faults.DUPLICATE),
    ("ws:push", lambda rng: faults.Late(rng.choice((30_000, 90_000, 400_000)))),
    ("ws:push", lambda rng: faults.Drop(rng.choice((1000, 1001, 1006, 1011)))),
    ("ws:push", lambda rng: faults.Reset()),
    ("ws:push", lambda rng: faults.Silence(pongs=rng.random() < 0.5)),
    ("ws:push", lambda rng: faults.EARLY_CONFIRM),
    ("ws:closed", lambda rng: faults.NEVER),
    ("ws:closed", lambda rng: faults.DUPLICATE),
    ("ws:closed", lambda rng: faults.CONFLICTING),
    ("ws:closed", lambda rng: faults.WRONG_VOLUME),
    ("ws:closed", lambda rng: faults.LATE_TRADE),
    ("ws:connect", lambda rng: faults.Respond(rng.choice((500, 503)))),
    ("ws:connect", lambda rng: faults.Reset()),
    ("ws:subscribe", lambda rng: faults.RetCode(10001)),
)


def draw(rng: random.Random) -> Planned:
    """Draw one fault: of the public REST, of the websocket, or of the private REST."""
    place = rng.choice(("public", "websocket", "private"))
    if place == "websocket":
        point, make = rng.choice(_WEBSOCKET)
        return Planned(make(rng), point, rng.choice((1, 1, 3)))
    points = PUBLIC_POINTS if place == "public" else PRIVATE_POINTS
    on = rng.choice(points)
    fault = rng.choice(_REST)(rng)
    if on == CREATE and rng.random() < 0.6:
        fault = faults.Afterwards(rng.choice(_AFTER)(rng))
    if on == KLINE and rng.random() < 0.2:
        fault = faults.Mutate(_without_rows)
    return Planned(fault, on, rng.choice((1, 1, 2, 4)))


def plan(planned: Planned, public: LoopbackBybit, private: LoopbackBybit) -> None:
    """Inject a fault into the server that serves its point."""
    server = private if planned.on in PRIVATE_POINTS else public
    server.inject(planned.fault, on=planned.on, times=planned.times)


def draw_account(rng: random.Random, private: LoopbackBybit) -> str:
    """Change how the account behaves: how late it shows orders, and how much of them the market takes."""
    account = private.account
    account.lag = rng.choice((0.0, 0.0, 0.0, 0.3, 1.2))  # at the soak's speed, 1.2 s are 24 s of the exchange
    account.hidden_lookups = rng.choice((0, 0, 2))
    account.fill_share = type(account.fill_share)(rng.choice(("1", "1", "0.6")))
    account.killed = rng.random() < 0.05
    account.work()  # orders that wait are filled now
    account.queues = rng.random() < 0.15
    how = ("lag", "hidden_lookups", "fill_share", "killed", "queues")
    return ", ".join(f"{name} {getattr(account, name)}" for name in how)
