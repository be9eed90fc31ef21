"""The loopback's websocket follows the documented rules, and every fault can be injected."""

import asyncio
import json
import signal
import subprocess
import sys

import aiohttp
import pytest

from tests.bybit import (
    HOUR,
    MINUTE,
    Drop,
    Hang,
    Late,
    LoopbackBybit,
    Reset,
    Respond,
    RetCode,
    Silence,
    faults,
)
from tests.bybit.fixtures import NOW, bybit
from tests.bybit.test_rules import ask

__all__ = ["bybit"]

OPEN = NOW // MINUTE * MINUTE
TOPIC = "kline.1.BTCUSDT"


class Client:
    def __init__(self, socket):
        self._socket = socket

    async def ask(self, **request):
        await self._socket.send_json(request)
        return await self.receive()

    async def receive(self):
        """Return the next frame, its text if it is not JSON, or what ended the connection."""
        try:
            message = await self._socket.receive(timeout=5)
        except ConnectionResetError:
            return "reset"
        if message.type is not aiohttp.WSMsgType.TEXT:
            return self._socket.close_code
        try:
            return json.loads(message.data)
        except ValueError:
            return message.data

    async def quiet(self):
        """Check that nothing more arrives for a while."""
        try:
            await self._socket.receive(timeout=0.1)
        except TimeoutError:
            return True
        return False


def talk(exchange, conversation, category="linear"):
    """Run `conversation(client)` and return its result."""

    async def run():
        async with aiohttp.ClientSession() as session:
            url = f"{exchange.url.replace('http', 'ws')}/v5/public/{category}"
            async with session.ws_connect(url) as socket:
                return await conversation(Client(socket))

    return asyncio.run(run())


def subscribed(exchange, conversation, topic=TOPIC):
    """As `talk`, after a subscription and the push that comes with it."""

    async def begin(client):
        assert (await client.ask(op="subscribe", req_id=7, args=[topic]))["success"]
        await client.receive()
        return await conversation(client)

    return talk(exchange, begin)


def closing(exchange):
    """Return a conversation that closes the open candle and returns the next frame."""

    async def conversation(client):
        exchange.clock = OPEN + MINUTE + 10_000
        return await client.receive()

    return conversation


def test_pings_and_requests_are_answered_as_documented(bybit):
    async def conversation(client):
        return [await client.ask(op=op, req_id="9", args=[TOPIC]) for op in ("ping", "unsubscribe", "dance")]

    pong, left, refused = talk(bybit, conversation)
    assert (pong["ret_msg"], pong["req_id"], pong["op"], pong["success"]) == ("pong", "9", "ping", True)
    assert (left["op"], left["success"]) == ("unsubscribe", True)
    assert not refused["success"]


@pytest.mark.parametrize("topic", ["kline.7.BTCUSDT", "kline.1.NOPE", "trade.BTCUSDT", "kline.1.SOONUSDC"])
def test_an_unknown_topic_is_refused(bybit, topic):
    answer = talk(bybit, lambda client: client.ask(op="subscribe", args=[topic]))
    assert not answer["success"]
    assert topic in answer["ret_msg"]


def test_the_open_candle_comes_at_once_and_changes_with_the_clock(bybit):
    async def conversation(client):
        await client.ask(op="subscribe", args=[TOPIC])
        first = await client.receive()
        bybit.clock = first["ts"] + 2_000
        assert await client.quiet()
        bybit.clock = OPEN + MINUTE - 1
        return first, await client.receive()

    bybit.clock = OPEN + 30_000
    first, second = talk(bybit, conversation)
    assert first["topic"] == TOPIC
    candle, later = first["data"][0], second["data"][0]
    assert (candle["start"], candle["end"], candle["confirm"]) == (OPEN, OPEN + MINUTE - 1, False)
    assert later["start"] == OPEN
    assert not later["confirm"]
    assert float(later["volume"]) > float(candle["volume"])


def test_a_closed_candle_is_confirmed_once_with_the_numbers_of_the_endpoint(bybit):
    async def conversation(client):
        bybit.clock = OPEN + 3 * MINUTE
        return [await client.receive() for _ in range(4)]

    frames = subscribed(bybit, conversation)
    candles = [frame["data"][0] for frame in frames]
    assert [(c["start"], c["confirm"]) for c in candles] == [(OPEN + k * MINUTE, k < 3) for k in range(4)]
    query = {"category": "linear", "symbol": "BTCUSDT", "interval": "1", "start": OPEN, "end": OPEN}
    row = ask(bybit, "kline", **query)["result"]["list"][0]
    names = ("start", "open", "high", "low", "close", "volume", "turnover")
    assert [str(candles[0][name]) for name in names] == row
    assert frames[0]["ts"] >= OPEN + MINUTE


def test_a_candle_that_the_exchange_never_recorded_is_not_pushed(bybit):
    bybit.lose_bars("BTCUSDT", [OPEN], MINUTE)

    async def conversation(client):
        await client.ask(op="subscribe", args=[TOPIC])
        bybit.clock = OPEN + 2 * MINUTE
        return await client.receive()

    assert talk(bybit, conversation)["data"][0]["start"] == OPEN + MINUTE


def test_an_unsubscribed_topic_is_quiet(bybit):
    async def conversation(client):
        await client.ask(op="unsubscribe", args=[TOPIC])
        bybit.clock = OPEN + HOUR
        return await client.quiet()

    assert subscribed(bybit, conversation)


def test_a_fast_clock_pushes_by_itself():
    with LoopbackBybit(clock=OPEN, speed=1_200, push_ms=20_000) as exchange:

        async def conversation(client):
            frames = [await client.receive() for _ in range(12)]
            return [f["data"][0]["start"] for f in frames if f["data"][0]["confirm"]]

        starts = subscribed(exchange, conversation)
    assert len(starts) >= 2
    assert starts == [starts[0] + k * MINUTE for k in range(len(starts))]


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        (faults.POISON, lambda text: isinstance(text, str) and text.startswith('{"topic"')),
        (faults.NAN_FRAME, lambda frame: frame["data"][0]["close"] == "NaN"),
        (faults.NULL_DATA, lambda frame: frame["data"] is None),
        (faults.UNKNOWN_TOPIC, lambda frame: "NOPE" in frame["topic"]),
        (faults.NEVER, lambda frame: not frame["data"][0]["confirm"]),
        (faults.CONFLICTING, lambda frame: frame["data"][0]["volume"] == "0.5"),
        (Drop(1001), lambda code: code == 1001),
        (Reset(), lambda end: end in ("reset", 1006)),
        (Hang(0.05), lambda frame: frame["data"][0]["confirm"]),
    ],
)
def test_the_closing_push_can_go_wrong(bybit, fault, seen):
    bybit.inject(fault, on="ws:closed")
    assert seen(subscribed(bybit, closing(bybit)))


def test_a_late_frame_is_overtaken(bybit):
    bybit.inject(Late(90_000), on="ws:closed")

    async def conversation(client):
        confirmed = []
        for minute in (1, 2, 3):
            bybit.clock = OPEN + minute * MINUTE + 10_000
            open_candle = OPEN + minute * MINUTE
            while (candle := (await client.receive())["data"][0])["start"] != open_candle:
                confirmed.append(candle["start"])
        return confirmed

    assert subscribed(bybit, conversation)[0] == OPEN + MINUTE


def test_an_early_confirmation_and_a_duplicate_can_be_had(bybit):
    bybit.inject(faults.EARLY_CONFIRM, on="ws:push")
    bybit.inject(faults.DUPLICATE, on="ws:closed")

    async def conversation(client):
        await client.ask(op="subscribe", args=[TOPIC])
        early = await client.receive()
        bybit.clock = OPEN + MINUTE
        return early, await client.receive(), await client.receive()

    early, first, second = talk(bybit, conversation)
    assert early["data"][0]["confirm"]
    assert early["ts"] < OPEN + MINUTE
    assert first == second


@pytest.mark.parametrize("pongs", [True, False])
def test_a_silent_connection_stays_open(bybit, pongs):
    bybit.inject(Silence(pongs=pongs), on="ws:closed")

    async def conversation(client):
        bybit.clock = OPEN + HOUR
        silent = await client.quiet()
        return silent and (not pongs or (await client.ask(op="ping"))["ret_msg"] == "pong")

    assert subscribed(bybit, conversation)


def test_a_subscription_can_be_refused(bybit):
    bybit.inject(RetCode(10001, "no"), on="ws:subscribe")
    answer = talk(bybit, lambda client: client.ask(op="subscribe", args=[TOPIC]))
    assert (answer["success"], answer["ret_msg"]) == (False, "error:no")


@pytest.mark.parametrize("fault", [Respond(503), Reset()])
def test_the_handshake_can_fail(bybit, fault):
    bybit.inject(fault, on="ws:connect", times=3)  # the client dials again after a reset
    with pytest.raises(aiohttp.ClientError):
        talk(bybit, lambda client: client.receive())
    assert bybit.log[-1].status in (503, 0)


def test_too_many_connections_are_refused():
    with LoopbackBybit(clock=NOW, connect_limit=(1, 60.0)) as exchange:
        talk(exchange, lambda client: client.ask(op="ping"))
        with pytest.raises(aiohttp.WSServerHandshakeError):
            talk(exchange, lambda client: client.ask(op="ping"))


def test_stopping_from_the_keyboard_with_a_connection_open_ends_without_a_word():
    command = [sys.executable, "-m", "tests.bybit", "--port", "0"]

    async def conversation(url, server):
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{url.replace('http', 'ws')}/v5/public/linear") as socket,
        ):
            await socket.send_json({"op": "subscribe", "args": [TOPIC]})
            await socket.receive(timeout=5)
            server.send_signal(signal.SIGINT)
            await asyncio.to_thread(server.wait, 10)

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            asyncio.run(conversation(server.stdout.readline().strip(), server))
        finally:
            server.kill()
        assert (server.returncode, server.stderr.read()) == (0, "")
